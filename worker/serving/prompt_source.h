// Where prompts come from: token ids as a function of request and position, the same on every rank,
// so that plans need not carry them. Pure; any thread.
#pragma once

#include <cstdint>

namespace rackmark {

// Of a name of its own: a request, or a block that several requests begin with.
int32_t PromptToken(uint64_t seed, uint64_t name, uint32_t position, uint32_t vocab);

class PromptSource {
 public:
  virtual ~PromptSource() = default;
  virtual int32_t Token(uint64_t request, uint32_t position) const = 0;
};

// Every request has a prompt of its own.
class SeededPrompts : public PromptSource {
 public:
  SeededPrompts(uint64_t seed, uint32_t vocab) : seed_(seed), vocab_(vocab) {}
  int32_t Token(uint64_t request, uint32_t position) const override {
    return PromptToken(seed_, request, position, vocab_);
  }

 private:
  const uint64_t seed_;
  const uint32_t vocab_;
};

}  // namespace rackmark

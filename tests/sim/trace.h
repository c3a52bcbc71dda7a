// One line per thing that happens, in fixed columns (README), and a hash over all of them: the same
// seed must give the same hash. Lines are made only if somebody wants to read them. One thread.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "common/random.h"
#include "common/time.h"

namespace rackmark::sim {

// Who it happens to.
enum class Who : char {
  kWorker = 'w',
  kRank = 'r',
  kCoordinator = 'c',
  kClient = 'u',
  kWorld = '-'
};

class Trace {
 public:
  explicit Trace(std::FILE* out) : out_(out) {}

  // `what`: at most eight letters.
  void Line(Nanos at, Who who, uint64_t index, std::string_view what, uint64_t a = 0,
            uint64_t b = 0, uint64_t c = 0) {
    uint64_t word = 0;
    std::memcpy(&word, what.data(), what.size() < 8 ? what.size() : 8);
    for (const uint64_t part :
         {static_cast<uint64_t>(at), static_cast<uint64_t>(who), index, word, a, b, c}) {
      hash_ = Mix64(hash_ ^ part);
    }
    ++lines_;
    if (out_ == nullptr) return;
    std::fprintf(out_, "%14.6f %c%-6llu %-8.*s %llu %llu %llu\n",
                 static_cast<double>(at) / static_cast<double>(kSecond), static_cast<char>(who),
                 static_cast<unsigned long long>(index), static_cast<int>(what.size()), what.data(),
                 static_cast<unsigned long long>(a), static_cast<unsigned long long>(b),
                 static_cast<unsigned long long>(c));
  }
  uint64_t hash() const { return hash_; }
  uint64_t lines() const { return lines_; }
  std::FILE* out() const { return out_; }

 private:
  std::FILE* const out_;
  uint64_t hash_ = 0;
  uint64_t lines_ = 0;
};

}  // namespace rackmark::sim

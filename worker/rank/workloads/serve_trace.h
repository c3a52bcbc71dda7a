// The trace of a serving run: parsed from the file that the daemon sent, counted again, and turned
// into arrivals, lengths and prompts. Every rank makes it alike, because every rank must know every
// prompt. Runner's thread.
#pragma once

#include <memory>
#include <vector>

#include "common/status.h"
#include "rackmark/v1/job.pb.h"
#include "trace/replay.h"
#include "worker/load/arrivals.h"
#include "worker/rank/artifacts.h"
#include "worker/serving/prompt_source.h"

namespace rackmark {

class ServeTrace : public PromptSource {
 public:
  struct Options {
    uint64_t seed = 0;
    uint32_t vocab = 0;
  };
  // FAILED_PRECONDITION if the file gives other counts than the job promises.
  static absl::StatusOr<std::unique_ptr<ServeTrace>> Create(const v1::Load& load,
                                                            const Artifacts& artifacts,
                                                            const Options& options);

  const Replay& replay() const { return replay_; }
  // Whether prompts may begin alike, so that their keys and values can be shared.
  bool shares_prefixes() const { return !trace_.hashes.empty(); }
  // Tokens of a block = f(seed, hash, position in the block); equal hashes, equal tokens. Requests
  // that are none of the trace's, and traces without hashes, have prompts of their own.
  int32_t Token(uint64_t request, uint32_t position) const override;

 private:
  ServeTrace(Trace trace, Replay replay, const Options& options)
      : trace_(std::move(trace)), replay_(std::move(replay)), options_(options) {}

  const Trace trace_;
  const Replay replay_;
  const Options options_;
};

}  // namespace rackmark

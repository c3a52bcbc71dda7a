// What of a trace is replayed, when, and how large (PROTOCOL 7): the one place where scales, limits
// and counts are worked out, for the client that promises them and the rank that keeps them. Pure.
//
//   offset' = offset * time_scale
//   length' = max(1, round(length * length_scale)), of prompt and output alike
//   block'  = max(1, round(512 * length_scale)), so that prompts share what they shared
//
// A request of more than length_max tokens after scaling is dropped and counted, never cut: cut
// prompts would share nearly everything.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/status.h"
#include "common/time.h"
#include "rackmark/v1/job.pb.h"
#include "trace/trace.h"

namespace rackmark {

struct ReplaySettings {
  double time_scale = 1;
  double length_scale = 1;
  std::optional<uint32_t> length_max;
  std::optional<uint64_t> request_limit;
  std::optional<Nanos> duration_ns;  // of the window; missing = as long as the trace
};

struct ReplayRequest {
  Nanos offset_ns = 0;  // from T0, in [0, duration)
  uint32_t prompt_tokens = 0;
  uint32_t output_tokens = 0;
  uint32_t source = 0;  // in Trace::requests: its hashes, its line
};

struct Replay {
  std::vector<ReplayRequest> requests;  // at least one; in the order of the trace
  Nanos duration_ns = 0;
  uint32_t block_tokens = 0;  // of a hash, scaled; 0 if the trace has none
  uint64_t dropped_long = 0;
  uint64_t input_tokens = 0;
  uint64_t output_tokens = 0;
  // Of blocks, and of their tokens, those that an earlier prompt began with too: the hit rate of a
  // cache that never forgets. Missing if the trace has no hashes.
  std::optional<double> prefix_block_share;
  std::optional<double> prefix_share;

  // The request with the most tokens.
  const ReplayRequest& Longest() const;
};

// INVALID_ARGUMENT: nothing is left, or a request is beyond every bound; with the remedy.
absl::StatusOr<Replay> MakeReplay(const Trace& trace, const ReplaySettings& settings);

// Which of a request's hashes a prompt position belongs to, and where in that block it is. The last
// hash takes what rounding left over.
struct BlockPosition {
  uint32_t hash = 0;
  uint32_t offset = 0;
};
BlockPosition BlockOf(uint32_t position, uint32_t block_tokens, uint32_t hash_count);

ReplaySettings SettingsOf(const v1::TraceLoad& load);
// Writes the counts, the format and the duration to where a job keeps them.
void PutFacts(const Trace& trace, const Replay& replay, v1::Load& load);
// FAILED_PRECONDITION if another count was promised: the programs are not of one build.
absl::Status CheckFacts(const Trace& trace, const Replay& replay, const v1::TraceLoad& promised);

}  // namespace rackmark

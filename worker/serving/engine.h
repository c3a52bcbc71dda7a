// The tensor-parallel serving engine of one rank: synthetic weights of its shard, a paged KV cache,
// and steps that every rank of the gang runs alike. Rank 0 leads: it takes requests, plans each
// step one ahead and sends the plan on the host channel; the others follow. One thread per engine.
//
//   leader:    Submit(...); Step() until idle; ...; EndPhase()
//   follower:  FollowStep(limit) until kPhaseEnded
//
// A phase (warm-up + calibration, measure, verify) ends with EndPhase: all sequences are gone and
// all KV blocks free. An idle leader sends nothing: followers block in the host channel, no
// collective spins. After any error the engine is dead: abort the collective, so that no other rank
// hangs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "common/status.h"
#include "common/time.h"
#include "kernels/collective.h"
#include "kernels/host_channel.h"
#include "kernels/ops.h"
#include "model/presets.h"
#include "worker/serving/batcher.h"
#include "worker/serving/prompt_source.h"

namespace rackmark {

struct EngineOptions {
  ModelShape shape;
  uint64_t seed = 0;  // of weights and prompts
  bool deterministic = false;
  uint32_t kv_block_tokens = 16;
  uint64_t kv_memory_bytes = 0;  // of the whole gang
  uint32_t max_batch = 1;
  uint32_t prefill_chunk = 256;
  size_t queue_max = 1 << 20;       // waiting requests; more are refused
  Nanos send_limit = 30 * kSecond;  // how long a plan may wait for a slow follower
};

// What the engine works with; all outlive it. Rank and world are the collective's.
struct EngineSeams {
  Ops* ops = nullptr;
  Collective* collective = nullptr;
  HostChannel* channel = nullptr;  // null only if world is 1
  const Clock* clock = nullptr;
  const PromptSource* prompts = nullptr;  // null: every request has a prompt of its own
};

// One request got one token. Stamped when the rank knew it.
struct TokenEvent {
  uint64_t request = 0;   // EngineRequest::index
  uint32_t position = 0;  // 0-based among the request's output tokens
  int32_t token = 0;
  float logit = 0;  // the largest one
  Nanos t_ns = 0;
  bool first = false;
  bool last = false;
  uint32_t cached_tokens = 0;  // of its prompt: not computed, because it began as another one did
};

enum class CollectiveOp : uint8_t { kAllReduce, kAllGather };

struct CollectiveRecord {
  CollectiveOp op = CollectiveOp::kAllReduce;
  uint64_t bytes = 0;
  Nanos wait = 0;
  Nanos transfer = 0;
  Nanos t_end_ns = 0;
};

struct StepStats {
  Nanos t_end_ns = 0;
  double compute_s = 0;  // of the forward pass, without its collectives
  double collective_wait_s = 0;
  double collective_transfer_s = 0;
  double plan_wait_s = 0;       // follower: for the plan; leader: for room in the channel
  double host_s = 0;            // planning, applying; and what was done with the result before
  double lateness_s = 0;        // own arrivals after the first rank's, summed
  uint32_t decode_tokens = 0;   // sequences that decoded one token
  uint32_t prefill_tokens = 0;  // prompt tokens
  uint32_t running = 0;         // sequences with a slot in this step
  uint32_t waiting = 0;         // leader: not yet admitted, when this step ended
  uint32_t kv_blocks_used = 0;
};

// Preallocated; valid until the engine's next call.
struct StepResult {
  bool idle = false;  // nothing to run: no step was made, the rest is empty
  StepStats stats;
  std::vector<TokenEvent> tokens;             // of every rank alike
  std::vector<CollectiveRecord> collectives;  // empty if world is 1
};

enum class FollowOutcome {
  kRanStep,     // see last_step()
  kNoPlanYet,   // nothing came within the limit; call again
  kPhaseEnded,  // the leader's EndPhase
};

struct PhaseEnd {
  uint32_t aborted_running = 0;
  size_t aborted_waiting = 0;
  bool ran_step = false;  // one step was already planned and had to run: see last_step()
};

class Engine {
 public:
  // Allocates and fills weights and KV cache; no collective. RESOURCE_EXHAUSTED if the memory is
  // not there, INVALID_ARGUMENT with a sentence if shape, degree or sizes do not work.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(const EngineOptions& options,
                                                        const EngineSeams& seams);
  // The sentence of Create, before anything is allocated.
  static absl::Status Check(const EngineOptions& options, uint32_t tensor_parallel);
  // What Create will take from this rank's memory.
  static absl::StatusOr<uint64_t> BytesWanted(const EngineOptions& options,
                                              uint32_t tensor_parallel);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Leader. INVALID_ARGUMENT: the request can never run here. RESOURCE_EXHAUSTED: queue full.
  absl::Status Submit(const EngineRequest& request);
  // Leader: runs one step, after planning and sending the one behind it.
  absl::StatusOr<const StepResult*> Step();
  // Leader: aborts what is left, in at most one more step; followers see kPhaseEnded.
  absl::StatusOr<PhaseEnd> EndPhase();

  // Follower: waits at most `limit` for a plan, and runs it.
  absl::StatusOr<FollowOutcome> FollowStep(Nanos limit);

  const StepResult& last_step() const;
  bool leader() const;
  const EngineOptions& options() const;
  uint32_t kv_blocks_total() const;
  uint32_t kv_blocks_free() const;
  uint64_t weight_bytes() const;  // of this rank
  uint64_t kv_bytes() const;      // of this rank
  // Reads this rank's weights once: the caller takes the time, for the read bandwidth.
  ReadPass ReadWeights();

  // Test hook: this rank's logits (rows, shard.vocab) of each sampled row, before sampling. `first`
  // is the first vocabulary row of the shard.
  struct LogitsView {
    uint64_t request = 0;
    uint32_t position = 0;  // as in TokenEvent
    const float* logits = nullptr;
    uint32_t first = 0;
    uint32_t rows = 0;
  };
  void SetLogitsObserver(std::function<void(const LogitsView&)> observer);

 private:
  class Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace rackmark

// Decides what each step runs: continuous batching with chunked prefill. Rank 0 only, pure logic:
// no tokens, no clocks, no memory of its own beyond counts, so it is tested without an engine.
//
// A request is admitted, first come first served, only when a slot is free and there is room:
//   blocks in use + blocks that those who run may still take + the new one's <= all blocks,
// where the new one's are its worst case (prompt + output), less what it shares with those who run.
// Blocks are then given as they are needed: each adds one in use and takes one off what may still
// be taken, and an end gives back what nobody else holds, so the sum never grows but by an
// admission. A running sequence never lacks a block, and nothing can deadlock.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <vector>

#include "common/status.h"
#include "worker/serving/block_cache.h"
#include "worker/serving/plan_state.h"
#include "worker/serving/step_plan.h"

namespace rackmark {

struct EngineRequest {
  uint64_t index = 0;  // the caller's name for it; also what its prompt is made of
  uint32_t prompt_tokens = 0;
  uint32_t output_tokens = 0;  // exactly so many come: there is no stop token
  bool share = false;          // use, and leave, blocks that begin alike
};

// The names of a prompt's whole blocks, in order: equal names, equal tokens up to there.
using BlockNames = std::function<void(const EngineRequest&, std::vector<uint64_t>&)>;

struct BatcherOptions {
  PlanLimits limits;
  uint32_t prefill_chunk = 0;  // prompt tokens in one step, over all sequences
  uint32_t context_max = 0;    // prompt + output of one request
  size_t queue_max = 0;        // waiting requests
  BlockNames names = nullptr;  // for requests that share
};

class Batcher {
 public:
  explicit Batcher(const BatcherOptions& options);

  // INVALID_ARGUMENT: can never run, with the bound that it breaks. RESOURCE_EXHAUSTED: the queue
  // is full now.
  absl::Status Submit(const EngineRequest& request);
  // The next step's plan, already applied to the planning mirror. False if there is nothing to run.
  bool PlanNext(StepPlan& plan);
  // The plan that ends a phase; everything waiting or running is forgotten.
  StepPlan PlanEnd();

  uint32_t running() const { return state_.active(); }
  size_t waiting() const { return queue_.size(); }

 private:
  struct Budget;
  void GiveDecodeBlocks(StepPlan& plan, Budget& budget);
  void AddChunk(uint32_t slot, const SequenceView& sequence, StepPlan& plan, Budget& budget);
  void Admit(StepPlan& plan, Budget& budget);
  // What of a prompt's beginning is there already.
  struct Beginning {
    uint32_t blocks = 0;
    uint32_t idle = 0;  // of these, held by nobody: they would be in use again
  };
  const std::vector<uint64_t>& NamesOfHead();
  Beginning FindShared(const Budget& budget);
  void AttachShared(const Beginning& shared, uint32_t slot, StepPlan& plan, Budget& budget);
  uint64_t WorstOf(uint32_t prompt_tokens, uint32_t output_tokens) const;
  uint64_t Promised(const StepPlan& plan) const;
  void Apply(StepPlan& plan);

  const BatcherOptions options_;
  PlanState state_;  // one step ahead of what runs
  BlockCache cache_;
  std::vector<std::vector<uint64_t>> names_;  // (max_batch): of the slot's prompt, if it shares
  std::vector<uint16_t> running_;             // slots that a plan may end; scratch
  std::deque<EngineRequest> queue_;
  std::optional<std::vector<uint64_t>> head_names_;  // of the queue's first, once they are known
};

}  // namespace rackmark

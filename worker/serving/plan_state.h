// The state that step plans change, mirrored by every rank: which sequence has which slot, how far
// it is, which KV blocks it owns. Apply turns a plan into the rows of its step, and a running hash
// shows two mirrors that drifted apart. Pure, one thread.
#pragma once

#include <cstdint>
#include <vector>

#include "common/status.h"
#include "worker/serving/block_pool.h"
#include "worker/serving/step_plan.h"

namespace rackmark {

// Slots are 16 bits on the wire.
constexpr uint32_t kMaxBatchLimit = 4096;

struct PlanLimits {
  uint32_t max_batch = 0;
  uint32_t block_tokens = 0;
  uint32_t blocks = 0;
};

// KV positions and blocks that a request needs in the end. Its last token is never fed back.
inline uint64_t KvPositions(uint32_t prompt_tokens, uint32_t output_tokens) {
  return uint64_t{prompt_tokens} + output_tokens - 1;
}
inline uint64_t BlocksFor(uint64_t positions, uint32_t block_tokens) {
  return (positions + block_tokens - 1) / block_tokens;
}

struct SequenceView {
  uint64_t request = 0;
  uint32_t prompt_tokens = 0;
  uint32_t output_tokens = 0;
  uint32_t done = 0;     // KV positions written
  uint32_t emitted = 0;  // output tokens made
  bool active = false;
  uint32_t cached = 0;  // of done: what another sequence had computed
  bool prefilling() const { return active && done < prompt_tokens; }
};

// One token of the step: of the prompt, or the last one that its slot emitted.
struct WorkRow {
  uint16_t slot = 0;
  uint32_t position = 0;
  bool prompt = false;
};
// A row whose logits give a token.
struct WorkSample {
  uint32_t row = 0;  // in rows
  uint64_t request = 0;
  uint32_t position = 0;  // among the output tokens
  bool last = false;
  uint32_t cached = 0;  // prompt tokens that its sequence did not compute
};
struct StepWork {
  std::vector<WorkRow> rows;
  std::vector<WorkSample> samples;
  uint32_t decode_tokens = 0;
  uint32_t prefill_tokens = 0;
  uint32_t running = 0;
  uint32_t blocks_used = 0;
  void Clear();
};

class PlanState {
 public:
  explicit PlanState(const PlanLimits& limits);

  // Fills work (replaced; may be null) and checks plan.state_hash. INTERNAL: the plan does not fit
  // this mirror, with what is wrong; the mirror is then unusable.
  absl::Status Apply(const StepPlan& plan, StepWork* work);
  // The leader's way: applies to its own mirror and writes the hash into the plan.
  void ApplyAndSeal(StepPlan& plan, StepWork* work);

  const SequenceView& slot(uint32_t slot) const { return sequences_[slot]; }
  // A slot's blocks; stays readable until the Apply after the sequence's end.
  const std::vector<int32_t>& table(uint32_t slot) const { return tables_[slot]; }
  // Active slots, oldest first.
  const std::vector<uint16_t>& order() const { return order_; }
  uint32_t active() const { return static_cast<uint32_t>(order_.size()); }
  const BlockPool& pool() const { return pool_; }
  uint64_t step() const { return step_; }
  const PlanLimits& limits() const { return limits_; }

 private:
  absl::Status Advance(const StepPlan& plan, StepWork* work);
  absl::Status ApplyAdmits(const StepPlan& plan);
  absl::Status ApplyShares(const StepPlan& plan);
  absl::Status ApplyBlocks(const StepPlan& plan);
  absl::Status RunChunks(const StepPlan& plan, StepWork* work);
  void RunDecodes(StepWork* work);
  void EmitSample(uint32_t slot, StepWork* work);
  void ReleaseEnded();
  void Forget(uint32_t slot);
  void Mix(uint64_t value);
  bool HasBlocksFor(uint32_t slot, uint32_t positions) const;

  const PlanLimits limits_;
  BlockPool pool_;
  std::vector<SequenceView> sequences_;       // (max_batch)
  std::vector<std::vector<int32_t>> tables_;  // (max_batch, blocks of the sequence)
  std::vector<uint8_t> ran_;                  // (max_batch): had its prompt's end in this step
  std::vector<uint16_t> order_;
  uint64_t step_ = 0;
  uint64_t hash_ = 0;
};

}  // namespace rackmark

#include "worker/serving/batcher.h"

#include <algorithm>

namespace rackmark {

// What one plan may still hold.
struct Batcher::Budget {
  size_t bytes = kPlanBytesMax - kPlanHeaderBytes;
  uint32_t prefill = 0;
  uint32_t blocks_taken = 0;

  bool Spend(size_t n) {
    if (bytes < n) return false;
    bytes -= n;
    return true;
  }
};

Batcher::Batcher(const BatcherOptions& options) : options_(options), state_(options.limits) {
  RACKMARK_CHECK(options.prefill_chunk > 0 && options.queue_max > 0);
}

absl::Status Batcher::Submit(const EngineRequest& request) {
  if (request.prompt_tokens == 0 || request.output_tokens == 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("request ", request.index, " needs at least one prompt and one output token"));
  }
  const uint64_t tokens = uint64_t{request.prompt_tokens} + request.output_tokens;
  if (tokens > options_.context_max) {
    return absl::InvalidArgumentError(absl::StrCat("request ", request.index, " has ", tokens,
                                                   " tokens, the context holds ",
                                                   options_.context_max));
  }
  const PlanLimits& limits = options_.limits;
  const uint64_t blocks =
      BlocksFor(KvPositions(request.prompt_tokens, request.output_tokens), limits.block_tokens);
  if (blocks > limits.blocks) {
    return absl::InvalidArgumentError(absl::StrCat(
        "request ", request.index, " needs ", blocks, " KV blocks, the whole cache has ",
        limits.blocks, "; raise kv_memory or shorten the request"));
  }
  if (queue_.size() >= options_.queue_max) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the waiting queue is full: ", options_.queue_max, " requests"));
  }
  queue_.push_back(request);
  return absl::OkStatus();
}

// Oldest first, so that a plan too small for all blocks never starves the same sequence for ever:
// the older ones end.
void Batcher::GiveDecodeBlocks(StepPlan& plan, Budget& budget) {
  for (const uint16_t slot : state_.order()) {
    const SequenceView& sequence = state_.slot(slot);
    if (sequence.prefilling()) continue;
    const uint64_t needed = BlocksFor(uint64_t{sequence.done} + 1, options_.limits.block_tokens);
    if (state_.table(slot).size() >= needed) continue;
    if (!budget.Spend(kPlanBlockBytes)) return;
    plan.blocks.push_back({state_.pool().Peek(budget.blocks_taken++), slot});
  }
}

// As much of the sequence's prompt as tokens and bytes allow; `sequence` may be one that this plan
// admits, and then has no table yet.
void Batcher::AddChunk(uint32_t slot, const SequenceView& sequence, StepPlan& plan,
                       Budget& budget) {
  if (budget.prefill == 0 || !budget.Spend(kPlanChunkBytes)) return;
  const uint32_t block_tokens = options_.limits.block_tokens;
  const uint64_t owned = BlocksFor(sequence.done, block_tokens);
  const uint64_t affordable = (owned + budget.bytes / kPlanBlockBytes) * block_tokens;
  const uint32_t wanted = std::min(sequence.prompt_tokens - sequence.done, budget.prefill);
  const auto end =
      static_cast<uint32_t>(std::min<uint64_t>(uint64_t{sequence.done} + wanted, affordable));
  if (end <= sequence.done) {
    budget.bytes += kPlanChunkBytes;
    return;
  }
  for (uint64_t b = owned; b < BlocksFor(end, block_tokens); ++b) {
    RACKMARK_CHECK(budget.Spend(kPlanBlockBytes));
    plan.blocks.push_back({state_.pool().Peek(budget.blocks_taken++), static_cast<uint16_t>(slot)});
  }
  plan.chunks.push_back({sequence.done, end, static_cast<uint16_t>(slot)});
  budget.prefill -= end - sequence.done;
}

void Batcher::Admit(StepPlan& plan, Budget& budget) {
  const PlanLimits& limits = options_.limits;
  uint64_t reserved = 0;
  for (const uint16_t slot : state_.order()) {
    const SequenceView& s = state_.slot(slot);
    reserved += BlocksFor(KvPositions(s.prompt_tokens, s.output_tokens), limits.block_tokens);
  }
  uint32_t slot = 0;
  while (!queue_.empty() && budget.prefill > 0) {
    while (slot < limits.max_batch && state_.slot(slot).active) ++slot;
    if (slot == limits.max_batch) return;
    const EngineRequest& next = queue_.front();
    const uint64_t worst =
        BlocksFor(KvPositions(next.prompt_tokens, next.output_tokens), limits.block_tokens);
    // The head of the queue waits for room; nobody overtakes it.
    if (reserved + worst > limits.blocks) return;
    if (budget.bytes < kPlanAdmitBytes + kPlanChunkBytes + kPlanBlockBytes) return;
    budget.bytes -= kPlanAdmitBytes;
    plan.admits.push_back(
        {next.index, next.prompt_tokens, next.output_tokens, static_cast<uint16_t>(slot)});
    const SequenceView fresh{next.index, next.prompt_tokens, next.output_tokens, 0, 0, true};
    AddChunk(slot, fresh, plan, budget);
    reserved += worst;
    queue_.pop_front();
    ++slot;
  }
}

bool Batcher::PlanNext(StepPlan& plan) {
  if (state_.active() == 0 && queue_.empty()) return false;
  plan.kind = PlanKind::kStep;
  plan.after_idle = false;
  plan.step = state_.step() + 1;
  plan.admits.clear();
  plan.blocks.clear();
  plan.chunks.clear();
  Budget budget;
  budget.prefill = options_.prefill_chunk;
  GiveDecodeBlocks(plan, budget);
  for (const uint16_t slot : state_.order()) {
    if (state_.slot(slot).prefilling()) AddChunk(slot, state_.slot(slot), plan, budget);
  }
  Admit(plan, budget);
  state_.ApplyAndSeal(plan, nullptr);
  return true;
}

StepPlan Batcher::PlanEnd() {
  queue_.clear();
  StepPlan plan;
  plan.kind = PlanKind::kEndPhase;
  plan.step = state_.step() + 1;
  state_.ApplyAndSeal(plan, nullptr);
  return plan;
}

}  // namespace rackmark

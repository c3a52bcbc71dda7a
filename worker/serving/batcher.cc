#include "worker/serving/batcher.h"

#include <algorithm>
#include <optional>

namespace rackmark {

// What one plan may still hold.
struct Batcher::Budget {
  size_t bytes = kPlanBytesMax - kPlanHeaderBytes;
  uint32_t prefill = 0;

  bool Spend(size_t n) {
    if (bytes < n) return false;
    bytes -= n;
    return true;
  }
};

Batcher::Batcher(const BatcherOptions& options)
    : options_(options),
      state_(options.limits),
      cache_(options.limits.blocks),
      names_(options.limits.max_batch) {
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
    plan.blocks.push_back({cache_.Fresh(), slot});
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
    plan.blocks.push_back({cache_.Fresh(), static_cast<uint16_t>(slot)});
  }
  plan.chunks.push_back({sequence.done, end, static_cast<uint16_t>(slot)});
  budget.prefill -= end - sequence.done;
}

uint64_t Batcher::WorstOf(uint32_t prompt_tokens, uint32_t output_tokens) const {
  return BlocksFor(KvPositions(prompt_tokens, output_tokens), options_.limits.block_tokens);
}

// Blocks in use, and those that the running sequences may still take.
uint64_t Batcher::Promised(const StepPlan& plan) const {
  uint64_t promised = cache_.held();
  for (const uint16_t slot : state_.order()) {
    const SequenceView& s = state_.slot(slot);
    promised += WorstOf(s.prompt_tokens, s.output_tokens) - state_.table(slot).size();
  }
  return promised - plan.blocks.size();  // in use by now, and in no table yet
}

const std::vector<uint64_t>& Batcher::NamesOfHead() {
  if (!head_names_) {
    head_names_.emplace();
    if (queue_.front().share && options_.names) options_.names(queue_.front(), *head_names_);
  }
  return *head_names_;
}

// In whole blocks, as many as fit the plan; the last token is always computed, because it gives the
// first output.
Batcher::Beginning Batcher::FindShared(const Budget& budget) {
  const std::vector<uint64_t>& names = NamesOfHead();
  const uint32_t prompt = queue_.front().prompt_tokens;
  // What is left must hold a chunk with its first block.
  constexpr size_t kLeave = kPlanAdmitBytes + kPlanChunkBytes + kPlanBlockBytes;
  const size_t most = std::min({names.size(), size_t{(prompt - 1) / options_.limits.block_tokens},
                                (budget.bytes - std::min(budget.bytes, kLeave)) / kPlanBlockBytes});
  Beginning found;
  while (found.blocks < most) {
    const std::optional<bool> held = cache_.Held(names[found.blocks]);
    if (!held) break;
    ++found.blocks;
    if (!*held) ++found.idle;
  }
  return found;
}

void Batcher::AttachShared(const Beginning& shared, uint32_t slot, StepPlan& plan, Budget& budget) {
  names_[slot] = NamesOfHead();
  for (uint32_t b = 0; b < shared.blocks; ++b) {
    const std::optional<uint32_t> block = cache_.Share(names_[slot][b]);
    RACKMARK_CHECK(block && budget.Spend(kPlanBlockBytes));
    plan.shares.push_back({*block, static_cast<uint16_t>(slot)});
  }
}

void Batcher::Admit(StepPlan& plan, Budget& budget) {
  const PlanLimits& limits = options_.limits;
  uint64_t promised = Promised(plan);
  uint32_t slot = 0;
  while (!queue_.empty() && budget.prefill > 0) {
    while (slot < limits.max_batch && state_.slot(slot).active) ++slot;
    if (slot == limits.max_batch) return;
    if (budget.bytes < kPlanAdmitBytes + kPlanChunkBytes + kPlanBlockBytes) return;
    const EngineRequest& next = queue_.front();
    const Beginning shared = FindShared(budget);
    const uint64_t more =
        WorstOf(next.prompt_tokens, next.output_tokens) - (shared.blocks - shared.idle);
    // The head of the queue waits for room; nobody overtakes it.
    if (promised + more > limits.blocks) return;
    budget.bytes -= kPlanAdmitBytes;
    plan.admits.push_back(
        {next.index, next.prompt_tokens, next.output_tokens, static_cast<uint16_t>(slot)});
    AttachShared(shared, slot, plan, budget);
    const uint32_t cached = shared.blocks * limits.block_tokens;
    const SequenceView fresh{next.index, next.prompt_tokens, next.output_tokens, cached, 0, true,
                             cached};
    AddChunk(slot, fresh, plan, budget);
    promised += more;
    queue_.pop_front();
    head_names_.reset();
    ++slot;
  }
}

// The mirror takes the plan; what it computed gets its names, and what it ended lets its blocks go,
// the end of a prompt first: without its beginning it is of no use.
void Batcher::Apply(StepPlan& plan) {
  running_.assign(state_.order().begin(), state_.order().end());
  for (const StepPlan::Admit& admit : plan.admits) running_.push_back(admit.slot);
  state_.ApplyAndSeal(plan, nullptr);
  const uint32_t block_tokens = options_.limits.block_tokens;
  for (const StepPlan::Chunk& chunk : plan.chunks) {
    const std::vector<uint64_t>& names = names_[chunk.slot];
    const size_t whole = std::min<size_t>(names.size(), chunk.end / block_tokens);
    for (size_t b = chunk.begin / block_tokens; b < whole; ++b) {
      cache_.Name(static_cast<uint32_t>(state_.table(chunk.slot)[b]), names[b]);
    }
  }
  for (const uint16_t slot : running_) {
    if (state_.slot(slot).active) continue;
    const std::vector<int32_t>& table = state_.table(slot);
    for (auto block = table.rbegin(); block != table.rend(); ++block) {
      cache_.Release(static_cast<uint32_t>(*block));
    }
  }
}

bool Batcher::PlanNext(StepPlan& plan) {
  if (state_.active() == 0 && queue_.empty()) return false;
  plan.kind = PlanKind::kStep;
  plan.after_idle = false;
  plan.step = state_.step() + 1;
  plan.admits.clear();
  plan.shares.clear();
  plan.blocks.clear();
  plan.chunks.clear();
  Budget budget;
  budget.prefill = options_.prefill_chunk;
  GiveDecodeBlocks(plan, budget);
  for (const uint16_t slot : state_.order()) {
    if (state_.slot(slot).prefilling()) AddChunk(slot, state_.slot(slot), plan, budget);
  }
  Admit(plan, budget);
  Apply(plan);
  return true;
}

StepPlan Batcher::PlanEnd() {
  queue_.clear();
  head_names_.reset();
  cache_ = BlockCache(options_.limits.blocks);  // the next phase begins with an empty cache
  StepPlan plan;
  plan.kind = PlanKind::kEndPhase;
  plan.step = state_.step() + 1;
  state_.ApplyAndSeal(plan, nullptr);
  return plan;
}

}  // namespace rackmark

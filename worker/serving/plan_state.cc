#include "worker/serving/plan_state.h"

#include <algorithm>

#include "common/random.h"

namespace rackmark {
namespace {

absl::Status Misfit(const StepPlan& plan, std::string_view what, uint64_t which) {
  return absl::InternalError(
      absl::StrCat("step plan ", plan.step, " does not fit: ", ToAbsl(what), " ", which));
}

}  // namespace

void StepWork::Clear() {
  rows.clear();
  samples.clear();
  decode_tokens = prefill_tokens = running = blocks_used = 0;
}

PlanState::PlanState(const PlanLimits& limits)
    : limits_(limits),
      pool_(limits.blocks),
      sequences_(limits.max_batch),
      tables_(limits.max_batch),
      ran_(limits.max_batch) {
  RACKMARK_CHECK(limits.max_batch > 0 && limits.max_batch <= kMaxBatchLimit);
  RACKMARK_CHECK(limits.block_tokens > 0 && limits.blocks > 0);
  order_.reserve(limits.max_batch);
}

absl::Status PlanState::Apply(const StepPlan& plan, StepWork* work) {
  RETURN_IF_ERROR(Advance(plan, work));
  if (plan.state_hash != hash_) {
    return absl::InternalError(absl::StrCat("step plan ", plan.step,
                                            " has another state hash than this rank's mirror: the "
                                            "ranks disagree about what runs"));
  }
  return absl::OkStatus();
}

void PlanState::ApplyAndSeal(StepPlan& plan, StepWork* work) {
  const absl::Status status = Advance(plan, work);
  RACKMARK_CHECK(status.ok());  // the batcher made a plan that its own state refuses
  plan.state_hash = hash_;
}

void PlanState::Mix(uint64_t value) { hash_ = Mix64(hash_ ^ value); }

absl::Status PlanState::Advance(const StepPlan& plan, StepWork* work) {
  if (work != nullptr) work->Clear();
  if (plan.step != step_ + 1) return Misfit(plan, "it should be step", step_ + 1);
  step_ = plan.step;
  Mix(step_);
  if (plan.kind == PlanKind::kEndPhase) {
    for (const uint16_t slot : order_) Forget(slot);
    order_.clear();
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(ApplyAdmits(plan));
  RETURN_IF_ERROR(ApplyShares(plan));
  RETURN_IF_ERROR(ApplyBlocks(plan));
  if (work != nullptr) {
    work->running = active();
    work->blocks_used = pool_.used();
  }
  std::fill(ran_.begin(), ran_.end(), uint8_t{0});
  RETURN_IF_ERROR(RunChunks(plan, work));
  RunDecodes(work);
  ReleaseEnded();
  return absl::OkStatus();
}

absl::Status PlanState::ApplyAdmits(const StepPlan& plan) {
  for (const StepPlan::Admit& admit : plan.admits) {
    if (admit.slot >= limits_.max_batch || sequences_[admit.slot].active) {
      return Misfit(plan, "not a free slot:", admit.slot);
    }
    const uint64_t positions = KvPositions(admit.prompt_tokens, admit.output_tokens);
    if (admit.prompt_tokens == 0 || admit.output_tokens == 0 ||
        BlocksFor(positions, limits_.block_tokens) > limits_.blocks) {
      return Misfit(plan, "impossible lengths of request", admit.request);
    }
    sequences_[admit.slot] = {
        admit.request, admit.prompt_tokens, admit.output_tokens, 0, 0, true, 0};
    tables_[admit.slot].clear();
    order_.push_back(admit.slot);
    Mix(admit.slot);
    Mix(admit.request);
    Mix(uint64_t{admit.prompt_tokens} << 32 | admit.output_tokens);
  }
  return absl::OkStatus();
}

absl::Status PlanState::ApplyShares(const StepPlan& plan) {
  for (const StepPlan::NewBlock& shared : plan.shares) {
    if (shared.slot >= limits_.max_batch || !sequences_[shared.slot].active) {
      return Misfit(plan, "a shared block for the empty slot", shared.slot);
    }
    SequenceView& sequence = sequences_[shared.slot];
    std::vector<int32_t>& table = tables_[shared.slot];
    // Only at the beginning of a prompt, and never all of it: its last token gives the first
    // output.
    if (sequence.done != table.size() * limits_.block_tokens || sequence.done != sequence.cached ||
        uint64_t{sequence.done} + limits_.block_tokens >= sequence.prompt_tokens) {
      return Misfit(plan, "a shared block too many for slot", shared.slot);
    }
    if (!pool_.Share(shared.block)) return Misfit(plan, "no such block:", shared.block);
    table.push_back(static_cast<int32_t>(shared.block));
    sequence.cached = sequence.done += limits_.block_tokens;
    Mix(~(uint64_t{shared.slot} << 32 | shared.block));
  }
  return absl::OkStatus();
}

absl::Status PlanState::ApplyBlocks(const StepPlan& plan) {
  for (const StepPlan::NewBlock& given : plan.blocks) {
    if (given.slot >= limits_.max_batch || !sequences_[given.slot].active) {
      return Misfit(plan, "a block for the empty slot", given.slot);
    }
    if (!pool_.Take(given.block)) return Misfit(plan, "not a free block:", given.block);
    tables_[given.slot].push_back(static_cast<int32_t>(given.block));
    Mix(uint64_t{given.slot} << 32 | given.block);
  }
  return absl::OkStatus();
}

bool PlanState::HasBlocksFor(uint32_t slot, uint32_t positions) const {
  return tables_[slot].size() >= BlocksFor(positions, limits_.block_tokens);
}

void PlanState::EmitSample(uint32_t slot, StepWork* work) {
  SequenceView& sequence = sequences_[slot];
  if (work != nullptr) {
    work->samples.push_back({static_cast<uint32_t>(work->rows.size()) - 1, sequence.request,
                             sequence.emitted, sequence.emitted + 1 == sequence.output_tokens,
                             sequence.cached});
  }
  ++sequence.emitted;
}

absl::Status PlanState::RunChunks(const StepPlan& plan, StepWork* work) {
  for (const StepPlan::Chunk& chunk : plan.chunks) {
    if (chunk.slot >= limits_.max_batch) return Misfit(plan, "no such slot:", chunk.slot);
    SequenceView& sequence = sequences_[chunk.slot];
    if (!sequence.prefilling() || chunk.begin != sequence.done || chunk.end <= chunk.begin ||
        chunk.end > sequence.prompt_tokens || !HasBlocksFor(chunk.slot, chunk.end)) {
      return Misfit(plan, "a wrong chunk for slot", chunk.slot);
    }
    Mix(uint64_t{chunk.slot} << 32 | chunk.end);
    if (work != nullptr) {
      for (uint32_t p = chunk.begin; p < chunk.end; ++p) {
        work->rows.push_back({chunk.slot, p, true});
      }
      work->prefill_tokens += chunk.end - chunk.begin;
    }
    sequence.done = chunk.end;
    ran_[chunk.slot] = 1;
    if (chunk.end == sequence.prompt_tokens) EmitSample(chunk.slot, work);
  }
  return absl::OkStatus();
}

// A decoding sequence runs if it has a block for its next position: one whose block did not fit
// into this plan stands still for a step (that is how an overlong step splits).
void PlanState::RunDecodes(StepWork* work) {
  for (const uint16_t slot : order_) {
    SequenceView& sequence = sequences_[slot];
    if (sequence.done < sequence.prompt_tokens || ran_[slot] != 0) continue;
    if (!HasBlocksFor(slot, sequence.done + 1)) continue;
    if (work != nullptr) {
      work->rows.push_back({slot, sequence.done, false});
      ++work->decode_tokens;
    }
    Mix(uint64_t{slot} << 32 | sequence.done);
    ++sequence.done;
    EmitSample(slot, work);
  }
}

void PlanState::Forget(uint32_t slot) {
  for (const int32_t block : tables_[slot]) {
    RACKMARK_CHECK(pool_.Give(static_cast<uint32_t>(block)));
  }
  sequences_[slot].active = false;
}

// The tables themselves stay: the step that was just planned still reads them.
void PlanState::ReleaseEnded() {
  const auto ended = [this](uint16_t slot) {
    const SequenceView& sequence = sequences_[slot];
    if (sequence.emitted < sequence.output_tokens) return false;
    Forget(slot);
    return true;
  };
  order_.erase(std::remove_if(order_.begin(), order_.end(), ended), order_.end());
}

}  // namespace rackmark

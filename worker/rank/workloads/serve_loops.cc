#include "worker/rank/workloads/serve_loops.h"

#include <algorithm>
#include <utility>

#include "worker/rank/pacing.h"
#include "worker/rank/workloads/serve_steps.h"

namespace rackmark {
namespace {

// How long a wait may be before the cancel flag is looked at again.
constexpr Nanos kCancelCheck = 20 * kMillisecond;

absl::Status CheckCancelled(const RunContext& context) {
  if (!context.progress->Cancelled()) return absl::OkStatus();
  return absl::CancelledError("the run was cancelled");
}

}  // namespace

ClosedLoop::ClosedLoop(Engine* engine, LengthSource lengths, const MeanLengths& mean,
                       const RunContext& context)
    : engine_(engine), context_(context), mean_(mean), lengths_(std::move(lengths)) {}

absl::Status ClosedLoop::TopUp() {
  const uint64_t target = 2 * uint64_t{engine_->options().max_batch};
  for (; in_flight_ < target; ++in_flight_) {
    const Lengths lengths = lengths_.Next();
    RETURN_IF_ERROR(
        engine_->Submit({next_request_++, lengths.prompt_tokens, lengths.output_tokens}));
  }
  return absl::OkStatus();
}

absl::Status ClosedLoop::Step(Calibration* calibration) {
  RETURN_IF_ERROR(CheckCancelled(context_));
  RETURN_IF_ERROR(TopUp());
  ASSIGN_OR_RETURN(const StepResult* step, engine_->Step());
  const auto ended =
      static_cast<uint64_t>(std::count_if(step->tokens.begin(), step->tokens.end(),
                                          [](const TokenEvent& token) { return token.last; }));
  in_flight_ -= ended;
  if (calibration != nullptr) {
    calibration->Step(step->stats.prefill_tokens, step->tokens.size(), ended);
  }
  return absl::OkStatus();
}

absl::Status ClosedLoop::Warm(Nanos duration) {
  const Nanos end = context_.clock->Monotonic() + duration;
  while (context_.clock->Monotonic() < end) RETURN_IF_ERROR(Step(nullptr));
  return absl::OkStatus();
}

absl::StatusOr<double> ClosedLoop::Calibrate(Nanos duration) {
  Calibration calibration(mean_);
  calibration.Open(context_.clock->Monotonic());
  while (!calibration.Enough(context_.clock->Monotonic(), duration, engine_->options().max_batch)) {
    RETURN_IF_ERROR(Step(&calibration));
  }
  return calibration.Capacity(context_.clock->Monotonic());
}

OpenLoop::OpenLoop(Engine* engine, RequestLog* log, const Window& window, const RunContext& context)
    : engine_(engine), log_(log), window_(window), context_(context) {
  // Evenly over the schedule: early, busy and late moments.
  const size_t n = log_->table().size();
  for (size_t i = 0; i < std::min(kCaptures, n); ++i) {
    captures_.push_back({i * n / std::min(kCaptures, n), {}});
    captures_.back().tokens.reserve(kCapturedTokens);
  }
}

absl::Status OpenLoop::Run() {
  while (true) {
    RETURN_IF_ERROR(CheckCancelled(context_));
    const Nanos now = context_.clock->Monotonic();
    const bool all_ended = log_->table().ended() == log_->table().size();
    if (now >= window_.deadline || (all_ended && now >= window_.t1)) break;
    RETURN_IF_ERROR(Admit(now));
    ASSIGN_OR_RETURN(const StepResult* step, engine_->Step());
    if (!step->idle) {
      Take(*step);
      continue;
    }
    // Nothing runs: until the next arrival, or the window's end if there is none.
    const bool more = next_ < log_->table().size();
    SleepUntil(*context_.clock, more ? log_->table().t_sched(next_) : window_.t1, kCancelCheck);
  }
  ASSIGN_OR_RETURN(const PhaseEnd end, engine_->EndPhase());
  if (end.ran_step) RecordStep(engine_->last_step(), true, context_.recorder);
  EndUnfinished(context_.clock->Monotonic());
  return absl::OkStatus();
}

absl::Status OpenLoop::Admit(Nanos now) {
  RequestTable& table = log_->table();
  for (; next_ < table.size() && table.t_sched(next_) <= now; ++next_) {
    const Lengths& lengths = table.lengths(next_);
    table.Issue(next_, now);
    const absl::Status taken =
        engine_->Submit({next_, lengths.prompt_tokens, lengths.output_tokens, window_.share});
    if (absl::IsInvalidArgument(taken)) {
      log_->End(next_, now, v1::FINISH_REASON_REJECTED);
    } else if (!taken.ok()) {
      return taken;
    }
  }
  return absl::OkStatus();
}

void OpenLoop::Take(const StepResult& step) {
  for (const TokenEvent& token : step.tokens) {
    log_->table().Token(token.request, token.t_ns);
    if (token.first && window_.share) log_->table().Cached(token.request, token.cached_tokens);
    if (token.last) log_->End(token.request, token.t_ns, v1::FINISH_REASON_LENGTH);
    for (Capture& capture : captures_) {
      if (capture.index == token.request && capture.tokens.size() < kCapturedTokens) {
        capture.tokens.push_back(token.token);
      }
    }
  }
  RecordStep(step, true, context_.recorder);
}

void OpenLoop::EndUnfinished(Nanos now) {
  for (size_t i = 0; i < log_->table().size(); ++i) {
    if (!log_->table().has_ended(i)) log_->End(i, now, v1::FINISH_REASON_UNFINISHED);
  }
}

std::vector<MeasuredRequest> OpenLoop::Captured() const {
  std::vector<MeasuredRequest> out;
  for (const Capture& capture : captures_) {
    if (capture.tokens.empty()) continue;
    const Lengths& lengths = log_->table().lengths(capture.index);
    // Not shared: the check computes anew what the run may have reused.
    out.push_back({{capture.index, lengths.prompt_tokens, lengths.output_tokens}, capture.tokens});
  }
  return out;
}

absl::Status FollowPhase(Engine* engine, const RunContext& context, Recorder* record_to,
                         std::optional<Nanos> calibrating_at) {
  while (true) {
    RETURN_IF_ERROR(CheckCancelled(context));
    ASSIGN_OR_RETURN(const FollowOutcome outcome, engine->FollowStep(kCancelCheck));
    if (outcome == FollowOutcome::kPhaseEnded) return absl::OkStatus();
    if (outcome == FollowOutcome::kRanStep && record_to != nullptr) {
      RecordStep(engine->last_step(), false, record_to);
    }
    if (calibrating_at && context.clock->Monotonic() >= *calibrating_at) {
      context.progress->Phase(v1::RANK_PHASE_CALIBRATING);
      calibrating_at.reset();
    }
  }
}

}  // namespace rackmark

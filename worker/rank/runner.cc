#include "worker/rank/runner.h"

#include <exception>
#include <new>
#include <utility>

#include "common/log.h"
#include "worker/rank/affinity.h"
#include "worker/rank/hold.h"

namespace rackmark {
namespace {

constexpr Nanos kWaitForOrders = kSecond;

v1::FailureKind KindOf(const absl::Status& why) {
  switch (why.code()) {
    case absl::StatusCode::kUnimplemented: return v1::FAILURE_KIND_UNSUPPORTED;
    case absl::StatusCode::kCancelled: return v1::FAILURE_KIND_CANCELLED;
    default: return v1::FAILURE_KIND_RANK_FAILED;
  }
}

}  // namespace

Runner::~Runner() { options_.inbox->OnCancel(nullptr); }

absl::Status Runner::Run() {
  status_.set_phase(v1::RANK_PHASE_STARTING);
  while (!options_.inbox->stopped()) {
    if (const auto frame = options_.inbox->Next(kWaitForOrders)) RETURN_IF_ERROR(Take(*frame));
  }
  return absl::OkStatus();
}

absl::Status Runner::Take(const v1::ToRank& frame) {
  switch (frame.frame_case()) {
    case v1::ToRank::kInit: return Init(frame.init());
    case v1::ToRank::kConnect: return Connect(frame.connect());
    case v1::ToRank::kRun: return Order(frame.run());
    case v1::ToRank::kKeepAlive:
    case v1::ToRank::kStop: return absl::OkStatus();
    case v1::ToRank::kArtifact:  // the link keeps them
    case v1::ToRank::FRAME_NOT_SET: break;
  }
  return Fail(absl::UnimplementedError(
      "the daemon sent an order that this rank does not know; install programs of one build"));
}

absl::Status Runner::Init(const v1::RankInit& init) {
  if (gang_ != nullptr) return absl::OkStatus();  // said again
  rank_ = init.rank();
  lease_hold_ = init.hold();
  const absl::Status held = Keep(lease_hold_, v1::HOLD_PHASE_STARTING);
  if (!held.ok()) return Fail(held);
  const absl::Status placed = PinToCpus({init.device().cpus().begin(), init.device().cpus().end()});
  if (!placed.ok()) return Fail(placed);
  absl::StatusOr<std::unique_ptr<Gang>> gang =
      Gang::Create(init, options_.segment, options_.accelerator);
  if (!gang.ok()) return Fail(gang.status());
  gang_ = *std::move(gang);
  v1::FromRank card;
  *card.mutable_card() = gang_->card();
  RETURN_IF_ERROR(options_.pipe->Send(std::move(card)));
  status_.set_phase(v1::RANK_PHASE_CARDED);
  return SendStatus();
}

absl::Status Runner::Connect(const v1::RankConnect& connect) {
  if (connected_) return absl::OkStatus();
  if (gang_ == nullptr) {
    return Fail(absl::FailedPreconditionError("the daemon sent connect before a valid init"));
  }
  // Set before the meeting: a stop must be able to end it.
  options_.inbox->OnCancel([gang = gang_.get()] { gang->Abort(); });
  absl::Status met = Keep(lease_hold_, v1::HOLD_PHASE_RENDEZVOUS);
  if (met.ok()) met = gang_->Connect({connect.cards().begin(), connect.cards().end()});
  options_.inbox->OnCancel(nullptr);
  if (!met.ok()) {
    // Nobody will attach any more; the name must not wait for this process's end.
    options_.segment->Remove();
    return Fail(met);
  }
  connected_ = true;
  status_.set_transport(gang_->transport_sentence());
  status_.set_phase(v1::RANK_PHASE_READY);
  return SendStatus();
}

absl::Status Runner::Order(const v1::DesiredRun& order) {
  if (order.run_id() != status_.run_id() || order.attempt() != status_.attempt()) {
    // Another run: the former one is over, whatever came of it.
    options_.emitter->AbandonRun();
    workload_.reset();
    stage_ = Stage::kNone;
    status_.clear_failure();
    status_.clear_note();
    status_.set_run_id(order.run_id());
    status_.set_attempt(order.attempt());
  }
  if (!connected_) {
    return Fail(absl::FailedPreconditionError("a run was ordered before the ranks had met"));
  }
  options_.inbox->BeginRun(order.run_id(), order.attempt());
  const absl::Status told = Advance(order);
  options_.inbox->EndRun();
  return told;
}

absl::Status Runner::Advance(const v1::DesiredRun& order) {
  if (order.goal() != v1::RUN_GOAL_PREPARED && order.goal() != v1::RUN_GOAL_DONE) {
    return Fail(absl::UnimplementedError(absl::StrCat("the run's goal has the number ",
                                                      static_cast<int>(order.goal()),
                                                      ", which this build does not know")));
  }
  if (stage_ == Stage::kNone) {
    Phase(v1::RANK_PHASE_PREPARING);
    options_.emitter->BeginRun(order.run_id(), order.attempt());
    if (gang_->rank() == 0) {
      options_.recorder->Record(SeriesId::kGangTransport, options_.clock->Monotonic(),
                                static_cast<double>(gang_->transport()));
    }
    run_hold_ = order.spec().null().hold();
    if (const absl::Status s = Prepare(order.spec()); !s.ok()) return Fail(s);
    stage_ = Stage::kPrepared;
    Phase(v1::RANK_PHASE_PREPARED);
  }
  if (stage_ == Stage::kPrepared && order.goal() == v1::RUN_GOAL_DONE) {
    const absl::Status measured = Measure();
    options_.inbox->OnCancel(nullptr);
    if (!measured.ok()) {
      // The peers must not wait for a rank that will not come.
      gang_->Abort();
      return Fail(measured);
    }
    RETURN_IF_ERROR(options_.emitter->EndRun());
    workload_.reset();
    stage_ = Stage::kDone;
    Phase(v1::RANK_PHASE_DONE);
    return absl::OkStatus();
  }
  return SendStatus();  // nothing to do: say again where we are
}

absl::Status Runner::Keep(const v1::Hold& hold, v1::HoldPhase phase) {
  return KeepHold(hold, phase, *rank_, *options_.clock, this);
}

absl::Status Runner::Prepare(const v1::RunSpec& spec) {
  if (gang_->aborted()) {
    return absl::UnavailableError(  // by whom is told already: not this rank's failure
        "this gang's communicator was aborted by an earlier failure; it needs a new lease");
  }
  ASSIGN_OR_RETURN(const WorkloadEntry* entry, FindWorkload(spec));
  if (options_.accelerator != nullptr && !entry->on_gpus) {
    return absl::UnimplementedError(
        absl::StrCat("this build runs the workload ", ToAbsl(entry->name),
                     " on CPU ranks only; use gang.device: cpu, or a build whose "
                     "rackmark-rank-cuda runs it"));
  }
  RETURN_IF_ERROR(entry->check(spec, *gang_));
  workload_ = entry->make(spec, {gang_.get(), options_.recorder, options_.emitter, options_.clock,
                                 this, options_.artifacts});
  RETURN_IF_ERROR(Keep(run_hold_, v1::HOLD_PHASE_PREPARING));
  return Guarded(&Workload::Prepare);
}

absl::Status Runner::Measure() {
  // Only from here on is an abort needed to end a wait; before, it would cost the next run its
  // gang.
  options_.inbox->OnCancel([gang = gang_.get()] { gang->Abort(); });
  RETURN_IF_ERROR(Guarded(&Workload::Measure));
  Phase(v1::RANK_PHASE_VERIFYING);
  RETURN_IF_ERROR(Keep(run_hold_, v1::HOLD_PHASE_VERIFYING));
  return Guarded(&Workload::Verify);
}

// The seam where third-party and allocation exceptions become statuses.
absl::Status Runner::Guarded(absl::Status (Workload::*step)()) {
  if (Cancelled()) return absl::CancelledError("the run was cancelled");
  try {
    return (workload_.get()->*step)();
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        absl::StrCat("out of memory: the run wants ", workload_->BytesWanted(),
                     " bytes on this rank; lower the model, kv_memory or max_batch"));
  } catch (const std::exception& e) {
    return absl::InternalError(absl::StrCat("a library threw: ", e.what()));
  }
}

absl::Status Runner::Fail(const absl::Status& why) {
  options_.emitter->AbandonRun();
  workload_.reset();  // its memory must not fail the next run
  v1::Failure* failure = status_.mutable_failure();
  failure->set_phase(status_.phase());
  failure->set_kind(KindOf(why));
  // Ended by a peer's abort or absence: that peer is to blame.
  const bool by_peer = absl::IsUnavailable(why) || absl::IsDeadlineExceeded(why);
  if (rank_ && !by_peer) failure->set_rank(*rank_);
  failure->set_detail(std::string(FromAbsl(why.message())));
  Log(LogLevel::kError, FromAbsl(why.message()));
  stage_ = Stage::kFailed;
  status_.set_phase(v1::RANK_PHASE_FAILED);
  return SendStatus();
}

absl::Status Runner::SendStatus() {
  v1::FromRank frame;
  *frame.mutable_status() = status_;
  return options_.pipe->Send(std::move(frame));
}

// A daemon that is gone ends the process through the link, so an unsent status needs no handling.
void Runner::Phase(v1::RankPhase phase) {
  status_.set_phase(phase);
  status_.clear_note();
  SendStatus().IgnoreError();
}

void Runner::Note(std::string_view note) {
  status_.set_note(std::string(note));
  SendStatus().IgnoreError();
}

}  // namespace rackmark

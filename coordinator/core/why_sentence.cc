// The one sentence of WhyJob, by the phase that the job is in.
#include <algorithm>

#include "coordinator/core/hold.h"
#include "coordinator/core/observe.h"
#include "coordinator/core/queue.h"
#include "coordinator/core/shortage.h"
#include "coordinator/core/suite.h"
#include "coordinator/core/view.h"
#include "coordinator/core/why.h"
#include "coordinator/core/yield.h"

namespace rackmark {
namespace {

std::string FailureText(const v1::Failure& failure) {
  const std::string name = v1::FailureKind_Name(failure.kind());
  std::string text = name.substr(std::string_view("FAILURE_KIND_").size());
  if (!failure.node().empty()) absl::StrAppend(&text, " on node ", failure.node());
  if (failure.has_device()) absl::StrAppend(&text, " device ", failure.device());
  if (!failure.detail().empty()) absl::StrAppend(&text, ": ", failure.detail());
  return text;
}

std::string Counted(uint64_t count, std::string_view word) {
  return absl::StrCat(count, " ", ToAbsl(word), count == 1 ? "" : "s");
}

std::string NodeNames(const State& state, const v1::Placement& placement) {
  std::string text;
  size_t named = 0;
  const std::set<NodeId> nodes = NodesOf(placement);
  for (const NodeId node : nodes) {
    if (named == 3) return absl::StrCat(text, " and ", nodes.size() - named, " more");
    absl::StrAppend(&text, named++ == 0 ? "" : ", ", state.hard.nodes.at(node).info.name());
  }
  return text;
}

// "rank 1 on node n2", or how many there are.
std::string RanksText(const std::vector<const v1::RankPlace*>& ranks) {
  if (ranks.size() == 1) {
    return absl::StrCat("rank ", ranks[0]->rank(), " on node ", ranks[0]->node());
  }
  return absl::StrCat("rank ", ranks[0]->rank(), " on node ", ranks[0]->node(), " (and ",
                      ranks.size() - 1, " more)");
}

std::string OnSilentNodes(const State& state, const LeaseState& lease) {
  for (const NodeId id : NodesOf(lease.placement)) {
    const NodeState& node = state.hard.nodes.at(id);
    if (node.phase != v1::NODE_PHASE_UP) {
      return absl::StrCat("; node ", node.info.name(), " is silent");
    }
  }
  return "";
}

std::string WaitingRanks(const std::vector<const v1::RankPlace*>& laggards,
                         std::string_view until) {
  return laggards.empty() ? "" : absl::StrCat(": waits until ", RanksText(laggards), ToAbsl(until));
}

std::string HeldText(v1::HoldPhase phase, Nanos until, Nanos now) {
  const std::string name = v1::HoldPhase_Name(phase);
  return absl::StrCat("held in ", name.substr(std::string_view("HOLD_PHASE_").size()), " for ",
                      ToAbsl(FormatDuration(std::max<Nanos>(0, until - now))),
                      " more, as its null workload asks (hold)");
}

std::string RunSentence(const State& state, const LeaseState& lease, const RunState& run,
                        Nanos now) {
  const auto reached = [&](v1::RankPhase phase) {
    return Laggards(lease, [&state, &run, phase](const v1::RankPlace& place) {
      return HasReached(state, run, place, phase);
    });
  };
  std::string text = absl::StrCat("run ", DisplayRun(state.hard.cluster_id, run.id));
  if (run.attempt > 1) {
    absl::StrAppend(&text, " (attempt ", run.attempt, ", after ",
                    run.earlier.empty() ? "a failure" : FailureText(run.earlier.back()), ")");
  }
  if (run.phase == v1::RUN_PHASE_PREPARING) {
    return absl::StrCat(text, " is being prepared",
                        WaitingRanks(reached(v1::RANK_PHASE_PREPARED), " has prepared"));
  }
  if (const auto until = HeldUntil(state, run)) {
    return absl::StrCat(text, " is measured, and is ",
                        HeldText(v1::HOLD_PHASE_DRAINING, *until, now));
  }
  if (run.phase == v1::RUN_PHASE_DRAINING) {
    const Drained drained = DrainOf(state, lease, run);
    return absl::StrCat(text, " is measured", drained.waiting.empty() ? "" : ": waits until node ",
                        drained.waiting.empty() ? "" : drained.waiting[0]->node(),
                        drained.waiting.empty() ? "" : " has delivered its samples");
  }
  const std::string note = ViewRun(state, run.id, now).note();
  return absl::StrCat(text, " is being measured on node", " ", NodeNames(state, lease.placement),
                      note.empty() ? "" : absl::StrCat(": ", note));
}

std::string LeaseSentence(const State& state, const LeaseState& lease, Nanos now) {
  if (lease.draining.has_value()) {
    const RunState& run = state.hard.runs.at(*lease.draining);
    const std::string next =
        lease.run.has_value()
            ? absl::StrCat("; run ", DisplayRun(state.hard.cluster_id, *lease.run),
                           " is prepared meanwhile")
            : "";
    return RunSentence(state, lease, run, now) + next;
  }
  if (lease.run.has_value()) {
    return RunSentence(state, lease, state.hard.runs.at(*lease.run), now);
  }
  if (const auto until = HeldUntil(state, lease)) {
    return absl::StrCat("its gang has its place on node ", NodeNames(state, lease.placement),
                        ", and is ", HeldText(v1::HOLD_PHASE_PLACED, *until, now));
  }
  if (lease.phase == v1::LEASE_PHASE_STARTING) {
    return absl::StrCat("its ranks are being started on node ", NodeNames(state, lease.placement),
                        WaitingRanks(Laggards(lease,
                                              [&](const v1::RankPlace& place) {
                                                return HasCard(state, lease, place);
                                              }),
                                     " has started"));
  }
  if (lease.phase == v1::LEASE_PHASE_RENDEZVOUS) {
    return absl::StrCat("its ranks are connecting to each other",
                        WaitingRanks(Laggards(lease,
                                              [&](const v1::RankPlace& place) {
                                                return IsReady(state, lease, place);
                                              }),
                                     " is connected"));
  }
  return "its gang is ready for the next run";
}

// Whose devices have not come back from the leases that are over.
std::string ReleaseSentence(const State& state, const JobState& job, Nanos now) {
  for (const LeaseId id : job.leases) {
    const LeaseState& lease = state.hard.leases.at(id);
    for (const NodeId node : NodesOf(lease.placement)) {
      if (HasFreed(state, lease, node, now)) continue;
      return absl::StrCat("waits until node ", state.hard.nodes.at(node).info.name(),
                          " reports its devices free");
    }
  }
  return "its gang is being given back";
}

std::string Behind(const State& state, const JobState& job) {
  const auto ahead = WaitingAhead(state, job.id);
  if (!ahead.has_value() || ahead->empty()) return "";
  return absl::StrCat("; ", Counted(ahead->size(), "job"), ahead->size() == 1 ? " waits" : " wait",
                      " ahead of it, the first is job ",
                      DisplayJob(state.hard.cluster_id, ahead->front()));
}

// " (job c1-j1 holds 3, ...)".
std::string HeldText(const State& state, const Shortage& shortage) {
  constexpr size_t kNamed = 5;
  std::string held;
  size_t holders = 0;
  for (const plan::Refusal& refusal : shortage.refusals->refused) {
    if (refusal.reason != plan::Reason::kHeld || ++holders > kNamed) continue;
    const auto lease = state.hard.leases.find(refusal.holder);
    absl::StrAppend(
        &held, held.empty() ? " (" : ", ",
        lease == state.hard.leases.end()
            ? "processes of an ended lease hold "
            : absl::StrCat("job ", DisplayJob(state.hard.cluster_id, lease->second.job), " holds "),
        refusal.devices);
  }
  if (holders > kNamed) absl::StrAppend(&held, " and ", holders - kNamed, " more hold the others");
  return held.empty() ? held : held + ")";
}

std::string QueuedSentence(const State& state, const JobState& job) {
  const Shortage shortage = ShortageOf(state, job);
  if (shortage.fits) {
    const std::vector<std::string> reasons = WaitingReasons(state, job.id);
    return absl::StrCat(reasons.empty() ? "is about to be placed" : reasons.front(),
                        ", though its gang would fit now");
  }
  const std::string need = absl::StrCat("it needs ", NeedText(job.job.spec().gang()));
  const std::string have = absl::StrCat(shortage.free, " of ", shortage.known, " known ",
                                        shortage.known == 1 ? "is" : "are", " usable now");
  if (shortage.refusals->impossible) {
    return absl::StrCat("cannot start on the nodes known now: ", need, ", and ",
                        ImpossibleText(state, job.job.spec().gang(), shortage.known),
                        "; it waits until more join");
  }
  if (!shortage.refusals->fits_when_freed) {
    return absl::StrCat("waits until nodes or devices come back: ", need, ", and ", have,
                        Behind(state, job));
  }
  return absl::StrCat("waits for devices that are in use: ", need, ", and ", have,
                      HeldText(state, shortage), Behind(state, job));
}

}  // namespace

std::string WhySentence(const State& state, const JobState& job, Nanos now) {
  std::string start = absl::StrCat("job ", DisplayJob(state.hard.cluster_id, job.id), " ");
  if (job.cancel_requested) {
    absl::StrAppend(&start, "is being cancelled",
                    job.cancel_reason.empty() ? "" : absl::StrCat(" (", job.cancel_reason, ")"),
                    ": ");
  } else if (job.lease.has_value()) {
    absl::StrAppend(&start, "is at work: ");
  }
  if (job.lease.has_value()) {
    const LeaseState& lease = state.hard.leases.at(*job.lease);
    const std::string going = YieldText(state, lease);
    return absl::StrCat(start, LeaseSentence(state, lease, now), OnSilentNodes(state, lease),
                        going.empty() ? "" : "; it ", going);
  }
  if (const Admission admission = AdmissionOf(state, job); !admission.free) {
    return absl::StrCat(start, "waits for ", admission.waits_for);
  }
  if (const std::string closed = ClosedReason(state, job); !closed.empty()) {
    return absl::StrCat(start, closed);
  }
  if (WantsGang(state, job)) {
    if (job.setup_failure.has_value()) {
      return absl::StrCat(start, QueuedSentence(state, job),
                          "; its last gang could not be set up (", FailureText(*job.setup_failure),
                          ")");
    }
    return absl::StrCat(start, QueuedSentence(state, job));
  }
  for (const RunId id : RunsOf(job)) {
    const RunState& run = state.hard.runs.at(id);
    if (run.phase != v1::RUN_PHASE_JUDGING) continue;
    if (run.failure.has_value()) {
      return absl::StrCat(start, "waits for the verdict on run ",
                          DisplayRun(state.hard.cluster_id, id), ", which ended with ",
                          FailureText(*run.failure));
    }
    if (const auto until = HeldUntil(state, run)) {
      return absl::StrCat(start, "has measured; run ", DisplayRun(state.hard.cluster_id, id),
                          " is ", HeldText(v1::HOLD_PHASE_JUDGING, *until, now));
    }
    return absl::StrCat(start, "has measured; run ", DisplayRun(state.hard.cluster_id, id),
                        " is being judged");
  }
  return absl::StrCat(start, ReleaseSentence(state, job, now));
}

std::string WhyEnded(std::string_view cluster_id, const v1::JobStatus& job,
                     const std::vector<v1::RunStatus>& runs) {
  const std::string name = v1::Verdict_Name(job.verdict());
  std::string text = absl::StrCat("job ", DisplayJob(cluster_id, JobId{job.job_id()}),
                                  " ended with ", name.substr(std::string_view("VERDICT_").size()));
  if (job.verdict() == v1::VERDICT_PASS) {
    return absl::StrCat(text, ": all of its ", Counted(job.runs_total(), "run"), " passed");
  }
  size_t alike = 0;
  const v1::RunStatus* first = nullptr;
  for (const v1::RunStatus& run : runs) {
    if (run.verdict() != job.verdict()) continue;
    if (first == nullptr) first = &run;
    ++alike;
  }
  if (first == nullptr) return text;
  absl::StrAppend(&text, ": run ", DisplayRun(cluster_id, RunId{first->run_id()}), " ");
  if (first->has_failure() && first->failure().kind() != v1::FAILURE_KIND_UNKNOWN) {
    absl::StrAppend(&text, "ended with ", FailureText(first->failure()));
  } else {
    absl::StrAppend(&text, "was judged so",
                    first->reasons_size() == 0 ? "" : absl::StrCat(" because ", first->reasons(0)));
  }
  if (alike > 1) absl::StrAppend(&text, "; ", Counted(alike - 1, "more run"), " like it");
  return text;
}

}  // namespace rackmark

// Everything is bounded: what is on its way, what State keeps of the past, and what waits.
#include "tests/sim/checkers/checkers.h"
#include "tests/sim/coordinator.h"
#include "tests/sim/machine.h"
#include "tests/sim/world.h"

namespace rackmark::sim {
namespace {

constexpr size_t kUnansweredAtMost = 8;      // worker/daemon: a slow coordinator gets no pile
constexpr size_t kRetiredMax = 16;           // incarnations of a node that are remembered
constexpr size_t kReportBytesMax = 4 << 20;  // PROTOCOL 8
constexpr uint64_t kUnackedMax = 100'000;    // chunks in one spool

class BoundsChecker : public Checker {
 public:
  using Checker::Checker;
  std::string_view name() const override { return "bounds"; }

  void OnReported(const Reported& reported) override {
    if (!reported.regular && reported.unanswered > kUnansweredAtMost) {
      Fail(absl::StrCat(reported.machine.info().name(), " sends a Report while ",
                        reported.unanswered - 1, " are unanswered"));
    }
    if (++reports_ % 64 == 0 && reported.report.ByteSizeLong() > kReportBytesMax) {
      Fail(absl::StrCat("a Report of ", reported.machine.info().name(), " has ",
                        reported.report.ByteSizeLong(), " bytes"));
    }
  }

  void EverySecond() override {
    for (const auto& coordinator : world_.coordinators) {
      if (coordinator->state() != nullptr) CheckState(*coordinator->state());
    }
    for (const auto& machine : world_.machines) {
      if (machine->streams().unacked() > kUnackedMax) {
        Fail(absl::StrCat(machine->info().name(), " keeps too many chunks"));
      }
    }
  }

 private:
  void CheckState(const State& state) {
    for (const auto& [id, node] : state.hard.nodes) {
      if (node.retired.size() > kRetiredMax) Fail("a node remembers too many incarnations");
      if (node.offences.size() > kOffencesKept) Fail("a node remembers too many offences");
    }
    if (state.hard.ended_submissions.size() > kEndedSubmissionsKept) {
      Fail("too many ended submissions are remembered");
    }
    for (const auto& [id, schedule] : state.hard.schedules) {
      if (schedule.jobs.size() > kScheduledJobsKept) Fail("a schedule remembers too many jobs");
    }
    // Soft state speaks of what there is, and of nothing that was.
    const HardState& hard = state.hard;
    for (const auto& [id, soft] : state.soft.nodes) {
      for (const auto& [lease, version] : soft.desired_since) {
        if (hard.leases.count(lease) == 0 && soft.desired_since.size() > hard.leases.size() + 64) {
          Fail(absl::StrCat("versions of leases that are over pile up at node ", id.value));
        }
      }
    }
    for (const auto& [run, streams] : state.soft.stored) {
      if (hard.runs.count(run) == 0) Fail(absl::StrCat("run ", run.value, " is remembered softly"));
    }
    for (const auto& [lease, since] : state.soft.lease_since) {
      if (hard.leases.count(lease) == 0) {
        Fail(absl::StrCat("lease ", lease.value, " is remembered softly"));
      }
    }
  }

  uint64_t reports_ = 0;
};

}  // namespace

std::unique_ptr<Checker> MakeBoundsChecker(World* world) {
  return std::make_unique<BoundsChecker>(world);
}

}  // namespace rackmark::sim

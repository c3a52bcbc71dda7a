// Liveness: after everything has healed all jobs have verdicts and all devices are free, within the
// bound; and what was acked has come to its end.
#include <algorithm>
#include <set>

#include "coordinator/core/queue.h"
#include "tests/sim/checkers/checkers.h"
#include "tests/sim/client.h"
#include "tests/sim/coordinator.h"
#include "tests/sim/machine.h"
#include "tests/sim/world.h"

namespace rackmark::sim {
namespace {

class EndChecker : public Checker {
 public:
  using Checker::Checker;
  std::string_view name() const override { return "end"; }

  void Replied(const Command&, const Reply& reply) override {
    if (const auto* submitted = std::get_if<Submitted>(&reply)) acked_.insert(submitted->job);
  }
  void Committed(const v1::Event& event, const HardState&) override {
    if (event.has_job_ended()) ended_.insert(JobId{event.job_ended().job_id()});
  }

  void Ended() override {
    const HardState& hard = world_.durable;
    std::string left;
    for (const auto& [id, job] : hard.jobs) absl::StrAppend(&left, " job ", id.value, Why(id));
    for (const auto& [id, lease] : hard.leases) {
      absl::StrAppend(&left, " lease ", id.value, " (", v1::LeasePhase_Name(lease.phase), ")");
    }
    for (const auto& [id, node] : hard.nodes) {
      if (node.phase != v1::NODE_PHASE_UP) absl::StrAppend(&left, " ", node.info.name(), " not UP");
    }
    for (const auto& machine : world_.machines) {
      if (!machine->up()) absl::StrAppend(&left, " ", machine->info().name(), " down");
      for (const auto& [pid, rank] : machine->ranks()) {
        absl::StrAppend(&left, " rank ", rank->ref.rank, " of lease ", rank->ref.lease_id, " on ",
                        machine->info().name());
      }
    }
    for (const auto& [id, suite] : hard.suites) {
      if (IsOpen(suite)) absl::StrAppend(&left, " suite ", id.value);
    }
    const size_t pending = world_.client->pending();
    if (pending > 0) absl::StrAppend(&left, " requests: ", pending);
    const bool late = world_.now() >= world_.knobs.faults_for + world_.knobs.heal_within;
    if (late) return Fail("has not come to its end after everything healed:" + left);
    for (const JobId job : acked_) {
      if (ended_.count(job) == 0) Fail(absl::StrCat("job ", job.value, " was acked, never ended"));
    }
  }

 private:
  // As its coordinator would tell people.
  std::string Why(JobId job) const {
    std::string why;
    for (const auto& coordinator : world_.coordinators) {
      const State* state = coordinator->state();
      if (state == nullptr || state->hard.jobs.count(job) == 0) continue;
      for (const std::string& reason : WaitingReasons(*state, job)) {
        absl::StrAppend(&why, why.empty() ? " (" : ", ", reason);
      }
    }
    return why.empty() ? "" : why + ")";
  }

  std::set<JobId> acked_, ended_;
};

}  // namespace

std::unique_ptr<Checker> MakeEndChecker(World* world) {
  return std::make_unique<EndChecker>(world);
}

}  // namespace rackmark::sim

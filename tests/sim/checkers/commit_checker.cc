// Law 1: what anybody is told is in the log by then; and what a new leader loads is what was
// stored. (That each event fits the log before it is looked at where it lands, in disk.cc.)
#include "coordinator/snapshot.h"
#include "tests/sim/checkers/checkers.h"
#include "tests/sim/world.h"

namespace rackmark::sim {
namespace {

// An old leader's clock may run this much behind the database's when its time is over.
constexpr Nanos kOverlapMax = 50 * kMillisecond;

class CommitChecker : public Checker {
 public:
  using Checker::Checker;
  std::string_view name() const override { return "commit"; }

  void Committed(const v1::Event& event, const HardState&) override {
    if (event.has_leadership_taken()) led_since_ = world_.now();
  }

  void OnTold(const Told& told) override {
    const HardState& durable = world_.durable;
    if (told.epoch < durable.epoch && world_.now() - led_since_ > kOverlapMax) {
      return Fail(
          absl::StrCat("a coordinator of epoch ", told.epoch, " speaks in epoch ", durable.epoch));
    }
    if (told.epoch != durable.epoch) {
      if (told.epoch > durable.epoch) Fail("an epoch is told that is not stored");
      return;
    }
    for (const v1::DesiredLease& lease : told.reply.desired().leases()) {
      const std::string wrong = WhyNot(durable, lease, told.reply.node_id());
      if (!wrong.empty()) {
        return Fail(absl::StrCat("node ", told.reply.node_id(), " is told of lease ",
                                 lease.lease_id(), ": ", wrong));
      }
    }
  }

  void Replied(const Command& command, const Reply& reply) override {
    const HardState& durable = world_.durable;
    if (const auto* submitted = std::get_if<Submitted>(&reply)) {
      if (submitted->job.value > durable.last_job) {
        Fail(absl::StrCat("job ", submitted->job.value, " is acked and not stored"));
      }
    } else if (const auto* cancel = std::get_if<CancelJob>(&command.body)) {
      const auto job = durable.jobs.find(cancel->job);
      if (job != durable.jobs.end() && !job->second.cancel_requested) {
        Fail(absl::StrCat("the end of job ", cancel->job.value, " is acked and not stored"));
      }
    }
  }

  void AskedToJudge(RunId run) override {
    const auto found = world_.durable.runs.find(run);
    if (found == world_.durable.runs.end() || found->second.phase != v1::RUN_PHASE_JUDGING) {
      Fail(absl::StrCat("run ", run.value, " is given to the reporter, and is not JUDGING"));
    }
  }

  void Recovered(const State& state) override {
    if (SnapshotBytes(state.hard) == SnapshotBytes(world_.durable)) return;
    Fail(absl::StrCat("a new leader loads another State than was stored, after event ",
                      world_.durable.last_seq));
  }

 private:
  // Empty: the log says so, too.
  static std::string WhyNot(const HardState& durable, const v1::DesiredLease& told, uint64_t node) {
    const auto found = durable.leases.find(LeaseId{told.lease_id()});
    if (found == durable.leases.end()) return "it is not stored, or has ended";
    const LeaseState& lease = found->second;
    if (lease.generation != told.generation()) return "its generation is another";
    if (lease.phase == v1::LEASE_PHASE_RELEASING) return "it is RELEASING";
    if (told.go() && lease.phase == v1::LEASE_PHASE_STARTING) return "Go is not stored";
    for (const v1::DesiredRank& rank : told.ranks()) {
      if (rank.rank() >= static_cast<uint32_t>(lease.placement.ranks_size())) return "a rank";
      const v1::RankPlace& place = lease.placement.ranks(static_cast<int>(rank.rank()));
      if (place.node_id() != node || place.device() != rank.device()) return "a rank's place";
    }
    if (!told.has_run()) return "";
    const auto run = durable.runs.find(RunId{told.run().run_id()});
    if (run == durable.runs.end()) return "its run has ended";
    if (run->second.attempt != told.run().attempt()) return "the attempt is not stored";
    const bool done = told.run().goal() == v1::RUN_GOAL_DONE;
    if (done && run->second.phase == v1::RUN_PHASE_PREPARING) return "\"measure\" is not stored";
    return "";
  }

  Nanos led_since_ = 0;
};

}  // namespace

std::unique_ptr<Checker> MakeCommitChecker(World* world) {
  return std::make_unique<CommitChecker>(world);
}

}  // namespace rackmark::sim

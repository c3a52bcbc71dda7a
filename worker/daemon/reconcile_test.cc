// A table of worlds: what is desired, what is, and what must be done.
#include "worker/daemon/reconcile.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

v1::DesiredLease Lease(uint64_t id, std::vector<std::pair<uint32_t, uint32_t>> ranks) {
  v1::DesiredLease lease;
  lease.set_lease_id(id);
  lease.set_generation(1);
  lease.set_world_size(static_cast<uint32_t>(ranks.size()));
  lease.set_kind(v1::DEVICE_KIND_CPU);
  for (const auto& [rank, device] : ranks) {
    lease.add_ranks()->set_rank(rank);
    lease.mutable_ranks()->rbegin()->set_device(device);
  }
  return lease;
}

v1::DesiredState Desired(std::vector<v1::DesiredLease> leases) {
  v1::DesiredState state;
  for (auto& lease : leases) *state.add_leases() = lease;
  return state;
}

LocalRank Rank(uint32_t device, v1::RankPhase phase) {
  LocalRank rank;
  rank.device = device;
  rank.phase = phase;
  if (phase >= v1::RANK_PHASE_CARDED) rank.card.emplace();
  if (phase >= v1::RANK_PHASE_READY) rank.connect_sent = rank.met = true;
  return rank;
}

LocalState Local() {
  LocalState state;
  state.device_count = 4;
  state.may_start = true;
  return state;
}

std::string Line(const Action& action) {
  const auto ref = [](const RankRef& r) {
    return std::to_string(r.lease_id) + "/" + std::to_string(r.rank);
  };
  if (const auto* a = std::get_if<StartRank>(&action)) {
    return "start " + ref(a->ref) + " on " + std::to_string(a->device);
  }
  if (const auto* a = std::get_if<SendConnect>(&action)) {
    return "connect " + ref(a->ref) + " cards " + std::to_string(a->connect.cards_size());
  }
  if (const auto* a = std::get_if<SendRun>(&action)) {
    return "run " + ref(a->ref) + " r" + std::to_string(a->run.run_id()) + "." +
           std::to_string(a->run.attempt()) + " goal " + std::to_string(a->run.goal());
  }
  if (const auto* a = std::get_if<FeedRank>(&action))
    return "feed " + ref(a->ref) + " " + a->sha256;
  if (const auto* a = std::get_if<RefuseRun>(&action)) {
    return "refuse " + ref(a->ref) + " r" + std::to_string(a->run.run_id()) + ": " + a->detail;
  }
  if (const auto* a = std::get_if<StopRank>(&action)) return "stop " + ref(a->ref);
  if (const auto* a = std::get_if<KillRank>(&action)) return "kill " + ref(a->ref);
  return "forget " + std::to_string(std::get<ForgetLease>(action).lease_id);
}

std::vector<std::string> Answer(const v1::DesiredState& desired, const LocalState& local,
                                Nanos now = 100 * kSecond) {
  std::vector<std::string> lines;
  for (const Action& action : Reconcile(desired, local, now)) lines.push_back(Line(action));
  return lines;
}

void SetRun(v1::DesiredLease* lease, uint64_t run, uint32_t attempt, v1::RunGoal goal) {
  lease->mutable_run()->set_run_id(run);
  lease->mutable_run()->set_attempt(attempt);
  lease->mutable_run()->set_goal(goal);
}

void SetTrace(v1::DesiredLease* lease, const std::string& sha256) {
  v1::Load* load = lease->mutable_run()->mutable_spec()->mutable_serve()->mutable_load();
  load->mutable_trace()->set_sha256(sha256);
}

// Step by step what a rank whose run refers to a file needs: the file here, the file with it, the
// run; and nothing twice.
TEST(Reconcile, ARunsFileComesBeforeTheRun) {
  auto lease = Lease(1, {{0, 0}, {1, 1}});
  lease.set_go(true);
  SetRun(&lease, 7, 1, v1::RUN_GOAL_PREPARED);
  SetTrace(&lease, "f");
  const auto desired = Desired({lease});
  LocalState local = Local();
  local.leases[1] = {
      1, 2, {{0, Rank(0, v1::RANK_PHASE_READY)}, {1, Rank(1, v1::RANK_PHASE_CARDED)}}};
  local.leases[1].ranks[1].connect_sent = true;
  EXPECT_THAT(Answer(desired, local), IsEmpty());
  EXPECT_EQ(WantedArtifact(desired, local), "f");

  local.artifacts = {"f"};
  EXPECT_EQ(WantedArtifact(desired, local), std::nullopt);
  EXPECT_THAT(Answer(desired, local), ElementsAre("feed 1/0 f"));  // rank 1 has not met the others
  local.leases[1].ranks[0].feeding = "f";
  EXPECT_THAT(Answer(desired, local), IsEmpty());
  local.leases[1].ranks[0].feeding = "";
  local.leases[1].ranks[0].artifact = "f";
  local.artifacts.clear();  // it may have made room for another one meanwhile
  EXPECT_EQ(WantedArtifact(desired, local), std::nullopt);
  EXPECT_THAT(Answer(desired, local), ElementsAre("run 1/0 r7.1 goal 1"));
  local.leases[1].ranks[0].told = lease.run();
  EXPECT_THAT(Answer(desired, local), IsEmpty());

  // The next run has another file; one with the same again needs nothing.
  SetRun(&lease, 8, 1, v1::RUN_GOAL_PREPARED);
  EXPECT_THAT(Answer(Desired({lease}), local), ElementsAre("run 1/0 r8.1 goal 1"));
  SetTrace(&lease, "g");
  EXPECT_EQ(WantedArtifact(Desired({lease}), local), "g");
}

TEST(Reconcile, AFileThatCannotBeHadRefusesTheRunOnce) {
  auto lease = Lease(1, {{0, 0}});
  lease.set_go(true);
  SetRun(&lease, 7, 1, v1::RUN_GOAL_PREPARED);
  SetTrace(&lease, "f");
  LocalState local = Local();
  local.leases[1] = {1, 1, {{0, Rank(0, v1::RANK_PHASE_READY)}}};
  local.artifact_errors["f"] = "gone";
  EXPECT_THAT(Answer(Desired({lease}), local), ElementsAre("refuse 1/0 r7: gone"));
  EXPECT_EQ(WantedArtifact(Desired({lease}), local), std::nullopt);
  local.leases[1].ranks[0].told = lease.run();
  local.artifact_errors.clear();
  EXPECT_THAT(Answer(Desired({lease}), local), IsEmpty());
  EXPECT_EQ(WantedArtifact(Desired({lease}), local), std::nullopt);
  lease.mutable_run()->set_attempt(2);  // another attempt tries again
  EXPECT_EQ(WantedArtifact(Desired({lease}), local), "f");
  local.leases[1].ranks[0].stopping_since = 1;
  EXPECT_EQ(WantedArtifact(Desired({lease}), local), std::nullopt);
}

TEST(Reconcile, NothingDesiredNothingDone) { EXPECT_THAT(Answer({}, Local()), IsEmpty()); }

TEST(Reconcile, StartsEachRankOnce) {
  LocalState local = Local();
  const auto desired = Desired({Lease(1, {{0, 0}, {1, 1}})});
  EXPECT_THAT(Answer(desired, local), ElementsAre("start 1/0 on 0", "start 1/1 on 1"));
  local.leases[1].generation = 1;
  local.leases[1].ranks[0] = Rank(0, v1::RANK_PHASE_STARTING);
  EXPECT_THAT(Answer(desired, local), ElementsAre("start 1/1 on 1"));
  local.leases[1].ranks[1] = Rank(1, v1::RANK_PHASE_STARTING);
  EXPECT_THAT(Answer(desired, local), IsEmpty());
}

TEST(Reconcile, AFencedWorkerStartsNothing) {
  LocalState local = Local();
  local.may_start = false;
  EXPECT_THAT(Answer(Desired({Lease(1, {{0, 0}})}), local), IsEmpty());
}

TEST(Reconcile, ABusyDeviceIsWaitedFor) {
  LocalState local = Local();
  local.leases[1].generation = 1;
  local.leases[1].ranks[0] = Rank(0, v1::RANK_PHASE_READY);
  local.leases[1].ranks[0].killed_at = 99 * kSecond;
  const auto desired = Desired({Lease(2, {{0, 0}})});
  EXPECT_THAT(Answer(desired, local), IsEmpty());
  local.leases[1].ranks[0].reaped = true;
  EXPECT_THAT(Answer(desired, local), ElementsAre("forget 1", "start 2/0 on 0"));
  local.leases.clear();
  local.leftovers[0] = 9;
  EXPECT_THAT(Answer(desired, local), IsEmpty());
}

TEST(Reconcile, TwoRanksNeverShareADevice) {
  EXPECT_THAT(Answer(Desired({Lease(1, {{0, 2}}), Lease(2, {{0, 2}})}), Local()),
              ElementsAre("start 1/0 on 2"));
}

TEST(Reconcile, ConnectsWhenToldToGoAndCarded) {
  LocalState local = Local();
  local.leases[1].generation = 1;
  local.leases[1].ranks[0] = Rank(0, v1::RANK_PHASE_STARTING);
  v1::DesiredLease lease = Lease(1, {{0, 0}});
  lease.set_go(true);
  lease.add_cards();
  EXPECT_THAT(Answer(Desired({lease}), local), IsEmpty());  // no card of its own yet
  local.leases[1].ranks[0] = Rank(0, v1::RANK_PHASE_CARDED);
  EXPECT_THAT(Answer(Desired({lease}), local), ElementsAre("connect 1/0 cards 1"));
  local.leases[1].ranks[0].connect_sent = true;
  EXPECT_THAT(Answer(Desired({lease}), local), IsEmpty());
}

TEST(Reconcile, TellsARunOncePerGoalAndNeverBack) {
  LocalState local = Local();
  local.leases[1].generation = 1;
  LocalRank& rank = local.leases[1].ranks[0] = Rank(0, v1::RANK_PHASE_READY);
  v1::DesiredLease lease = Lease(1, {{0, 0}});
  SetRun(&lease, 7, 1, v1::RUN_GOAL_PREPARED);
  EXPECT_THAT(Answer(Desired({lease}), local), ElementsAre("run 1/0 r7.1 goal 1"));
  rank.told = lease.run();
  EXPECT_THAT(Answer(Desired({lease}), local), IsEmpty());
  SetRun(&lease, 7, 1, v1::RUN_GOAL_DONE);
  EXPECT_THAT(Answer(Desired({lease}), local), ElementsAre("run 1/0 r7.1 goal 2"));
  rank.told = lease.run();
  SetRun(&lease, 7, 1, v1::RUN_GOAL_PREPARED);
  EXPECT_THAT(Answer(Desired({lease}), local), IsEmpty());
  SetRun(&lease, 7, 2, v1::RUN_GOAL_PREPARED);
  EXPECT_THAT(Answer(Desired({lease}), local), ElementsAre("run 1/0 r7.2 goal 1"));
  rank.met = false;
  EXPECT_THAT(Answer(Desired({lease}), local), IsEmpty());  // has not met the others
}

TEST(Reconcile, AFailedRankGetsTheNextRunAndADeadOneNothing) {
  LocalState local = Local();
  local.leases[1].generation = 1;
  LocalRank& rank = local.leases[1].ranks[0] = Rank(0, v1::RANK_PHASE_FAILED);
  v1::DesiredLease lease = Lease(1, {{0, 0}});
  SetRun(&lease, 8, 1, v1::RUN_GOAL_PREPARED);
  EXPECT_THAT(Answer(Desired({lease}), local), ElementsAre("run 1/0 r8.1 goal 1"));
  rank.reaped = true;
  rank.phase = v1::RANK_PHASE_EXITED;
  EXPECT_THAT(Answer(Desired({lease}), local), IsEmpty());  // and it is not started again
}

TEST(Reconcile, UndesiredLeaseIsStoppedThenKilledThenForgotten) {
  LocalState local = Local();
  local.leases[1].generation = 1;
  LocalRank& rank = local.leases[1].ranks[0] = Rank(0, v1::RANK_PHASE_MEASURING);
  EXPECT_THAT(Answer({}, local, 10 * kSecond), ElementsAre("stop 1/0"));
  rank.stopping_since = 10 * kSecond;
  EXPECT_THAT(Answer({}, local, 12 * kSecond - 1), IsEmpty());
  EXPECT_EQ(NextReconcile(local), 12 * kSecond);
  EXPECT_THAT(Answer({}, local, 12 * kSecond), ElementsAre("kill 1/0"));
  rank.killed_at = 12 * kSecond;
  EXPECT_THAT(Answer({}, local, 20 * kSecond), IsEmpty());
  EXPECT_EQ(NextReconcile(local), std::nullopt);
  rank.reaped = true;
  EXPECT_THAT(Answer({}, local, 20 * kSecond), ElementsAre("forget 1"));
}

TEST(Reconcile, ANewGenerationKillsAndStartsAnew) {
  LocalState local = Local();
  local.leases[1].generation = 1;
  LocalRank& rank = local.leases[1].ranks[0] = Rank(0, v1::RANK_PHASE_READY);
  v1::DesiredLease lease = Lease(1, {{0, 0}});
  lease.set_generation(2);
  EXPECT_THAT(Answer(Desired({lease}), local), ElementsAre("kill 1/0"));
  rank.killed_at = 1;
  EXPECT_THAT(Answer(Desired({lease}), local), IsEmpty());
  rank.reaped = true;
  EXPECT_THAT(Answer(Desired({lease}), local), ElementsAre("forget 1"));
  local.leases.clear();
  EXPECT_THAT(Answer(Desired({lease}), local), ElementsAre("start 1/0 on 0"));
}

TEST(Reconcile, ARankThatLeftTheLeaseIsStopped) {
  LocalState local = Local();
  local.leases[1].generation = 1;
  local.leases[1].ranks[0] = Rank(0, v1::RANK_PHASE_READY);
  local.leases[1].ranks[1] = Rank(1, v1::RANK_PHASE_READY);
  EXPECT_THAT(Answer(Desired({Lease(1, {{0, 0}})}), local), ElementsAre("stop 1/1"));
}

}  // namespace
}  // namespace rackmark

// The simulator must find nothing wrong in the real code, and each bug that it plants itself.
#include <chrono>
#include <cstdio>

#include "common/log.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sim/args.h"

namespace rackmark::sim {
namespace {

constexpr uint64_t kSeeds = RACKMARK_SIM_SEEDS;  // 200; fewer where code is instrumented

class Quiet : public testing::Environment {
 public:
  void SetUp() override { InitLog("sim_test", LogLevel::kError); }
};
const auto* const kQuiet = testing::AddGlobalTestEnvironment(new Quiet);

std::string Replay(const Knobs& knobs, const Violation& violation) {
  return Complaint(RACKMARK_SIM, knobs, violation);
}

TEST(Sim, KeepsEveryLawOverManySeeds) {
  Stats sum;
  const auto began = std::chrono::steady_clock::now();
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const Knobs knobs = DrawKnobs(seed);
    const Result result = Simulate(knobs);
    Add(result.stats, sum);
    if (result.violation) ADD_FAILURE() << Replay(knobs, *result.violation);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  const uint64_t messages = sum.messages + sum.frames;
  std::printf(
      "%llu seeds, %llu messages (%llu of them between daemons and ranks), %llu events, "
      "%.0f messages a second\n",
      static_cast<unsigned long long>(kSeeds), static_cast<unsigned long long>(messages),
      static_cast<unsigned long long>(sum.frames), static_cast<unsigned long long>(sum.events),
      static_cast<double>(messages) / took.count());
  if (kSeeds < 200) return;
  // A simulation in which nothing happens finds nothing.
  for (const char* what : {"verdict PASS",
                           "verdict ERROR",
                           "run requeued",
                           "lease yielded",
                           "job cancelled",
                           "worker fenced itself",
                           "worker killed",
                           "worker stopped",
                           "worker cut off",
                           "machine rebooted",
                           "rank killed",
                           "rank hangs",
                           "rank stopped",
                           "rank failed",
                           "rank ended itself",
                           "device sick",
                           "coordinator killed",
                           "coordinator stopped",
                           "lead taken",
                           "write failed",
                           "write failed after it landed",
                           "slow disk",
                           "stream broken",
                           "message lost",
                           "wall clock stepped",
                           "node changed",
                           "node quarantined",
                           "suite accepted",
                           "suite ended",
                           "schedule applied",
                           "schedule began a job",
                           "state loaded from a snapshot"}) {
    EXPECT_GT(sum.happened[what], 0u) << what;
  }
}

TEST(Sim, SameSeedGivesTheSameTrace) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const Result one = Simulate(DrawKnobs(seed));
    const Result two = Simulate(DrawKnobs(seed));
    EXPECT_EQ(one.trace_hash, two.trace_hash) << seed;
    EXPECT_EQ(one.trace_lines, two.trace_lines) << seed;
    EXPECT_EQ(one.steps, two.steps) << seed;
    EXPECT_EQ(one.took, two.took) << seed;
    EXPECT_GT(one.trace_lines, 100u) << seed;
  }
}

TEST(Sim, SeedsDiffer) {
  EXPECT_NE(Simulate(DrawKnobs(1)).trace_hash, Simulate(DrawKnobs(2)).trace_hash);
}

// Knobs under which a planted bug shows in some seed, if anybody looks.
Knobs Hard(uint64_t seed, Plant plant) {
  Knobs knobs = DrawKnobs(seed);
  knobs.plant = plant;
  knobs.workers = 4;
  knobs.devices = 2;
  knobs.faults_for = 240 * kSecond;
  knobs.jobs = 8;
  knobs.append_fails = 0;
  return knobs;
}

using More = std::function<void(Knobs&)>;
const More kNoMore = [](Knobs&) {};

// The seed in which that checker sees the planted bug before all others do, and says this of it;
// 0 = none. A bug may break other laws in other seeds, too.
uint64_t CaughtBy(std::string_view checker, Plant plant, const More& more = kNoMore,
                  const std::string& saying = "") {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    Knobs knobs = Hard(seed, plant);
    more(knobs);
    const Result result = Simulate(knobs);
    if (!result.violation || result.violation->checker != checker) continue;
    if (result.violation->what.find(saying) == std::string::npos) continue;
    EXPECT_TRUE(Replays(knobs)) << ReplayArgs(knobs);
    return seed;
  }
  return 0;
}

TEST(Planted, TwoLeasesOnADevice) {
  EXPECT_NE(CaughtBy("device", Plant::kForgottenRanks,
                     [](Knobs& knobs) {
                       knobs.daemon_kills = 15 * kSecond;
                       knobs.rank_stops = 10 * kSecond;
                     }),
            0u);
}

TEST(Planted, GangThatLacksARank) {
  EXPECT_NE(CaughtBy("gang", Plant::kCutGang, kNoMore, " devices"), 0u);
}

// GPUs in domains of two nodes, in racks, and two nodes that are in no domain.
void Islands(Knobs& knobs) {
  knobs.gpus = true;
  knobs.workers = 10;
  knobs.devices = 4;
  knobs.domain = knobs.racks = knobs.lone = knobs.models = knobs.rows = 2;
  knobs.jobs = 16;
  knobs.picky = knobs.exclusive = 0;
}

TEST(Planted, UnequalSharesOfDomains) {
  EXPECT_NE(CaughtBy("gang", Plant::kUnevenGang, Islands, "has unequal shares"), 0u);
}

TEST(Planted, DomainsMixedWithLoneNodes) {
  EXPECT_NE(CaughtBy("gang", Plant::kMixedGang, Islands, "and on nodes that are in none"), 0u);
}

TEST(Planted, RankOutOfItsIsland) {
  for (const char* saying : {"leaves its node", "leaves its NVLink domain", "leaves its rack"}) {
    EXPECT_NE(CaughtBy("gang", Plant::kStrayRank, Islands, saying), 0u) << saying;
  }
}

TEST(Planted, RankOnANodeThatWasNotAskedFor) {
  const More more = [](Knobs& knobs) {
    Islands(knobs);
    knobs.picky = 1;
  };
  for (const char* saying : {"the model of", "the label row", "is not among the nodes"}) {
    EXPECT_NE(CaughtBy("gang", Plant::kWrongNode, more, saying), 0u) << saying;
  }
}

TEST(Planted, DomainThatSomebodyHasForHimself) {
  const More more = [](Knobs& knobs) {
    Islands(knobs);
    knobs.exclusive = 0.5;
  };
  EXPECT_NE(CaughtBy("gang", Plant::kSharedExclusive, more, "shares domain"), 0u);
}

// Not by the log, but by the ranks that run.
TEST(Planted, DomainWhereSomebodyElseStillRuns) {
  const More more = [](Knobs& knobs) {
    Islands(knobs);
    knobs.workers = 4;
    knobs.lone = 0;
    knobs.jobs = 40;
    knobs.exclusive = 0.5;
    knobs.daemon_kills = 15 * kSecond;
  };
  EXPECT_NE(CaughtBy("gang", Plant::kForgottenRanks, more, "one of them has that for itself"), 0u);
}

TEST(Planted, MeasureBeforeAllHavePrepared) {
  EXPECT_NE(CaughtBy("gang", Plant::kEarlyMeasure), 0u);
}

TEST(Planted, ReplyBeforeTheCommit) { EXPECT_NE(CaughtBy("commit", Plant::kWriteBehind), 0u); }

TEST(Planted, AckOfWhatIsNotStored) { EXPECT_NE(CaughtBy("loss", Plant::kLateSamples), 0u); }

TEST(Planted, WorkerThatDoesNotFence) {
  EXPECT_NE(
      CaughtBy("fence", Plant::kNoFence, [](Knobs& knobs) { knobs.partitions = 30 * kSecond; }),
      0u);
}

TEST(Planted, WorkerThatObeysAnOldLeader) {
  EXPECT_NE(CaughtBy("fence", Plant::kOldEpoch,
                     [](Knobs& knobs) {
                       knobs.coordinator_kills = 10 * kSecond;
                       knobs.delay_max = 30 * kSecond;
                       knobs.reorder = true;
                     }),
            0u);
}

TEST(Planted, RankThatMeasuresTwice) { EXPECT_NE(CaughtBy("attempt", Plant::kMeasuredTwice), 0u); }

TEST(Planted, AttemptThatIsSkipped) {
  EXPECT_NE(CaughtBy("attempt", Plant::kSkippedAttempt,
                     [](Knobs& knobs) { knobs.rank_kills = 10 * kSecond; }),
            0u);
}

TEST(Planted, PileOfReports) {
  EXPECT_NE(CaughtBy("bounds", Plant::kPileOfReports,
                     [](Knobs& knobs) { knobs.delay_min = kSecond / 2; }),
            0u);
}

void Schedules(Knobs& knobs) {
  knobs.schedules = 2;
  knobs.workers = 8;
}

TEST(Planted, InstantThatBeginsTwice) {
  EXPECT_NE(CaughtBy("schedule", Plant::kInstantTwice, Schedules, " begins twice"), 0u);
}

TEST(Planted, InstantThatIsDecidedAfterALaterOne) {
  for (const char* saying : {" is decided after ", " is the end of what is decided after "}) {
    EXPECT_NE(CaughtBy("schedule", Plant::kInstantBack, Schedules, saying), 0u) << saying;
  }
}

TEST(Planted, RanksThatNobodyEnds) { EXPECT_NE(CaughtBy("end", Plant::kKeptRanks), 0u); }

// What is not of the seed shows in the trace.
TEST(Planted, ChanceThatIsNotOfTheSeed) {
  const Knobs knobs = Hard(1, Plant::kChance);
  EXPECT_NE(Simulate(knobs).trace_hash, Simulate(knobs).trace_hash);
}

// Ten thousand workers, for a short while.
TEST(Sim, HoldsTenThousandWorkers) {
  Knobs knobs = DrawKnobs(5);
  knobs.workers = kSeeds < 200 ? 500 : 10'000;
  knobs.devices = 1;
  knobs.faults_for = 20 * kSecond;
  knobs.schedules = knobs.suites = 0;
  EXPECT_TRUE(Replays(knobs)) << ReplayArgs(knobs);
  const Result result = Simulate(knobs);
  if (result.violation) ADD_FAILURE() << Replay(knobs, *result.violation);
  EXPECT_GT(result.stats.messages, 2 * knobs.workers);
}

}  // namespace
}  // namespace rackmark::sim

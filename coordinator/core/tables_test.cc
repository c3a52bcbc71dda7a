#include "coordinator/core/tables.h"

#include <map>
#include <set>
#include <utility>

#include "gtest/gtest.h"

namespace rackmark {
namespace {

using v1::Event;

// A second statement of the machines, as words: "from change to". Every (phase, change) pair that
// is not here must be refused.
std::map<std::pair<int, int>, int> RunMachine() {
  std::map<std::pair<int, int>, int> machine;
  const int queued = 1, preparing = 2, measuring = 3, draining = 4, judging = 5, ended = 6;
  machine[{queued, Event::kRunPreparing}] = preparing;
  machine[{preparing, Event::kRunMeasuring}] = measuring;
  machine[{measuring, Event::kRunDraining}] = draining;
  for (int live : {preparing, measuring, draining}) machine[{live, Event::kRunRequeued}] = queued;
  for (int open : {queued, preparing, measuring, draining}) {
    machine[{open, Event::kRunJudging}] = judging;
  }
  machine[{judging, Event::kRunJudged}] = ended;
  return machine;
}

std::map<std::pair<int, int>, int> LeaseMachine() {
  std::map<std::pair<int, int>, int> machine;
  const int starting = 1, rendezvous = 2, active = 3, releasing = 4, ended = 5;
  machine[{0, Event::kLeasePlaced}] = starting;
  machine[{starting, Event::kLeaseGo}] = rendezvous;
  machine[{rendezvous, Event::kLeaseActive}] = active;
  for (int live : {starting, rendezvous, active}) {
    machine[{live, Event::kLeaseReleasing}] = releasing;
  }
  machine[{releasing, Event::kLeaseEnded}] = ended;
  return machine;
}

constexpr int kFirstChange = Event::kClusterCreated;
constexpr int kLastChange = Event::kClusterRestored;

template <typename Phase>
void ExpectMachine(const std::map<std::pair<int, int>, int>& machine, int last_phase) {
  for (int phase = 0; phase <= last_phase; ++phase) {
    for (int change = kFirstChange; change <= kLastChange; ++change) {
      const auto next = NextPhase(static_cast<Phase>(phase), static_cast<Change>(change));
      const auto expected = machine.find({phase, change});
      ASSERT_EQ(next.has_value(), expected != machine.end()) << phase << " " << change;
      if (next.has_value()) {
        EXPECT_EQ(static_cast<int>(*next), expected->second);
      }
    }
  }
}

TEST(Tables, EveryRunPair) { ExpectMachine<v1::RunPhase>(RunMachine(), v1::RunPhase_MAX); }

TEST(Tables, EveryLeasePair) { ExpectMachine<v1::LeasePhase>(LeaseMachine(), v1::LeasePhase_MAX); }

TEST(Tables, EveryNodePair) {
  const std::set<std::pair<int, int>> allowed = {{1, 2}, {2, 1}, {2, 3}, {3, 1}};
  for (int from = 0; from <= v1::NodePhase_MAX; ++from) {
    for (int to = 0; to <= v1::NodePhase_MAX; ++to) {
      EXPECT_EQ(MayGo(static_cast<v1::NodePhase>(from), static_cast<v1::NodePhase>(to)),
                allowed.count({from, to}) != 0)
          << from << " " << to;
    }
  }
}

}  // namespace
}  // namespace rackmark

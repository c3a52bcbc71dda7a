#include "kernels/leader_waits.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace rackmark {
namespace {

// Leaders that arrive at these times of one made-up clock, and whose messages take `way` each:
// what each of them sees by itself.
std::vector<LeaderTimes> Meet(const std::vector<Nanos>& arrivals, Nanos way) {
  const Nanos last = *std::max_element(arrivals.begin(), arrivals.end());
  std::vector<LeaderTimes> all;
  for (const Nanos arrival : arrivals) all.push_back({.meeting = last + way - arrival});
  return all;
}

TEST(LeaderWaits, TheEarlyOneWaitsForAsLongAsTheLateOneIsLate) {
  for (const Nanos way : {Nanos{0}, 40 * kMicrosecond, 7 * kMillisecond}) {
    const auto all = Meet({kSecond, kSecond + 3 * kMillisecond}, way);
    const LeaderWaits early = WaitsOf(0, all);
    const LeaderWaits late = WaitsOf(1, all);
    EXPECT_EQ(early.of_host, 3 * kMillisecond) << way;
    EXPECT_EQ(late.of_host, 0) << way;
    EXPECT_EQ(late.longest - late.of_host, 3 * kMillisecond) << "its lateness, " << way;
    EXPECT_EQ(early.longest - early.of_host, 0) << way;
  }
}

TEST(LeaderWaits, NobodyWaitsForPunctualHosts) {
  const auto all = Meet({kSecond, kSecond, kSecond}, 500 * kMicrosecond);
  for (size_t host = 0; host < 3; ++host) {
    EXPECT_EQ(WaitsOf(host, all).of_host, 0);
    EXPECT_EQ(WaitsOf(host, all).longest, 0);
  }
}

// A host's first rank waits for the last rank of its host and then for the last host.
TEST(LeaderWaits, TheLongestWaitIsThatOfTheFirstRankOfAnyHost) {
  auto all = Meet({10 * kMillisecond, 12 * kMillisecond, 11 * kMillisecond}, kMillisecond);
  all[1].spread = 5 * kMillisecond;
  all[2].spread = 9 * kMillisecond;
  EXPECT_EQ(WaitsOf(0, all).of_host, 2 * kMillisecond);
  EXPECT_EQ(WaitsOf(1, all).of_host, 0);
  for (size_t host = 0; host < 3; ++host) EXPECT_EQ(WaitsOf(host, all).longest, 10 * kMillisecond);
}

}  // namespace
}  // namespace rackmark

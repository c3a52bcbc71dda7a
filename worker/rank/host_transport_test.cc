#include "worker/rank/host_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "common/gloo_card.h"
#include "worker/rank/fake_daemon.h"
#include "worker/rank/interface.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

v1::AddressCard Card(uint32_t rank, const std::string& host = "host") {
  v1::AddressCard card;
  card.set_rank(rank);
  card.set_host_id(host);
  card.set_boot_id("boot");
  card.set_shm_device(17);
  return card;
}

TEST(HostTransport, MemoryMayBeSharedOnlyIfHostBootAndDeviceMatch) {
  const v1::AddressCard a = Card(0);
  v1::AddressCard b = Card(1);
  EXPECT_EQ(WhyApart(a, b), std::nullopt);
  b.set_host_id("other");
  EXPECT_EQ(WhyApart(a, b), "hosts host and other differ");
  b = Card(1);
  b.set_boot_id("other");
  EXPECT_THAT(WhyApart(a, b).value(), HasSubstr("different kernels"));
  b = Card(1);
  b.set_shm_device(18);
  EXPECT_THAT(WhyApart(a, b).value(), HasSubstr("/dev/shm"));
  b.set_shm_device(0);
  EXPECT_EQ(WhyApart(a, b), "rank 1 offers no shared memory");
}

TEST(HostTransport, GroupsAreInTheOrderOfTheirFirstRanks) {
  v1::AddressCard apart = Card(4, "a");
  apart.set_shm_device(0);
  EXPECT_EQ(CandidateGroups({Card(0, "b"), Card(1, "a"), Card(2, "b"), Card(3, "a"), apart}),
            (HostGroups{{0, 2}, {1, 3}, {4}}));
  EXPECT_EQ(CandidateGroups({Card(0), Card(1)}), (HostGroups{{0, 1}}));
}

TEST(HostTransport, SlicesAndWholeCardsAreBothUnderstood) {
  std::vector<v1::AddressCard> cards = {Card(0), Card(1), Card(2)};
  for (v1::AddressCard& card : cards) {
    std::string whole;
    for (uint32_t visitor = 0; visitor < 3; ++visitor) {
      if (visitor != card.rank()) absl::StrAppend(&whole, card.rank(), ">", visitor);
    }
    card.set_gloo_addresses(whole);
  }
  EXPECT_EQ(GlooAddressesOf(cards, 1, 6), (std::vector<std::string>{"0>10>2", "1>01>2", "2>02>1"}));
  for (v1::AddressCard& card : cards) {
    card.set_gloo_addresses(SliceGlooCard(card.gloo_addresses(), 3, card.rank(), {0, 1}));
  }
  const std::string none(3, '\0');
  EXPECT_EQ(GlooAddressesOf(cards, 1, 6),
            (std::vector<std::string>{"0>1" + none, "", none + "2>1"}));
}

TEST(Interface, IsThatOfTheDefaultRouteWithTheLeastMetric) {
  const std::string head =
      "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n";
  const std::string eth = "eth0 00000000 0100000A 0003 0 0 100 00000000 0 0 0\n";
  const std::string wlan = "wlan0 00000000 0100000A 0003 0 0 50 00000000 0 0 0\n";
  const std::string net = "br0 0000000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n";
  EXPECT_EQ(*DefaultInterfaceIn(head + net + eth + wlan, ""), "wlan0");
  const std::string zeros(32, '0');
  const std::string lo = zeros + " 00 " + zeros + " 00 " + zeros + " ffffffff 1 0 200200 lo\n";
  const std::string six = zeros + " 00 " + zeros + " 00 " + zeros + " 00000400 1 0 3 eth1\n";
  EXPECT_EQ(*DefaultInterfaceIn(head + net, lo + six), "eth1");
  EXPECT_TRUE(absl::IsNotFound(DefaultInterfaceIn(head + net, lo).status()));
  EXPECT_THAT(std::string(DefaultInterfaceIn("", "").status().message()), HasSubstr("--interface"));
}

// So that it can remove the name if this process is killed before it has said anything.
TEST(HostTransport, TheSegmentIsCalledAsTheDaemonWantsIt) {
  FakeDaemon rank({.rank = 0, .world = 2, .transport = v1::TRANSPORT_POLICY_SHM});
  const auto card = rank.AwaitCard();
  ASSERT_TRUE(card.has_value());
  EXPECT_EQ(card->shm_name(), rank.segment());
  EXPECT_TRUE(std::filesystem::exists("/dev/shm" + rank.segment()));
}

// As ranks of a large gang: rank 0 on one node, the others on another, each node with its slice.
TEST(HostTransport, RanksMeetOverGlooWithNothingButTheirSlices) {
  constexpr uint32_t kWorld = 3;
  std::vector<std::unique_ptr<FakeDaemon>> ranks;
  std::vector<v1::AddressCard> cards;
  for (uint32_t rank = 0; rank < kWorld; ++rank) {
    ranks.push_back(std::make_unique<FakeDaemon>(FakeDaemon::Place{
        .rank = rank, .world = kWorld, .transport = v1::TRANSPORT_POLICY_GLOO, .interface = "lo"}));
  }
  for (const auto& rank : ranks) {
    const auto card = rank->AwaitCard();
    ASSERT_TRUE(card.has_value());
    cards.push_back(*card);
  }
  for (uint32_t rank = 0; rank < kWorld; ++rank) {
    const std::vector<uint32_t> node =
        rank == 0 ? std::vector<uint32_t>{0} : std::vector<uint32_t>{1, 2};
    std::vector<v1::AddressCard> sliced = cards;
    for (v1::AddressCard& card : sliced) {
      card.set_gloo_addresses(SliceGlooCard(card.gloo_addresses(), kWorld, card.rank(), node));
      ASSERT_TRUE(IsGlooSlice(card.gloo_addresses()));
    }
    ranks[rank]->Connect(sliced);
  }
  for (const auto& rank : ranks) {
    const auto ready = rank->AwaitPhase(v1::RANK_PHASE_READY);
    ASSERT_TRUE(ready.has_value());
    EXPECT_EQ(ready->phase(), v1::RANK_PHASE_READY) << ready->failure().detail();
    EXPECT_THAT(ready->transport(), HasSubstr("Gloo over lo"));
  }
}

TEST(HostTransport, AnInterfaceThatIsNotThereIsSaidWithGlooForced) {
  FakeDaemon rank(
      {.rank = 0, .world = 2, .transport = v1::TRANSPORT_POLICY_GLOO, .interface = "no-such-net"});
  const auto failed = rank.AwaitPhase(v1::RANK_PHASE_CARDED);
  ASSERT_TRUE(failed.has_value());
  EXPECT_EQ(failed->failure().kind(), v1::FAILURE_KIND_UNSUPPORTED);
  // In our words: what is wrong and what would do, no place in Gloo's sources.
  EXPECT_THAT(failed->failure().detail(),
              HasSubstr("no-such-net: there is no such network interface here; use one of "));
  EXPECT_THAT(failed->failure().detail(), testing::Not(HasSubstr("enforce")));
}

}  // namespace
}  // namespace rackmark

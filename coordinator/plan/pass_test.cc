#include "coordinator/plan/pass.h"

#include <algorithm>
#include <set>

#include "coordinator/plan/fleet_test_kit.h"
#include "coordinator/plan/reserve.h"
#include "gtest/gtest.h"

namespace rackmark::plan {
namespace {

Ticket Waits(uint64_t id, GangRequest request, std::optional<Nanos> budget, int32_t priority = 0) {
  Ticket ticket;
  ticket.id = TicketId{id};
  ticket.owner = "ann";
  ticket.priority = priority;
  ticket.submitted = static_cast<Nanos>(id);
  ticket.budget = budget;
  ticket.request = std::move(request);
  return ticket;
}

LeaseFacts Runs(uint64_t id, std::optional<Nanos> ends) {
  LeaseFacts lease;
  lease.id = LeaseId{id};
  lease.ends = ends;
  return lease;
}

// Two nodes of four. Lease 1 has two devices of node 1 until 10 s, lease 2 two of node 2 until 20
// s.
Fleet House() {
  Fleet fleet;
  fleet.SetNode(GpuNode(1, "", "", 4));
  fleet.SetNode(GpuNode(2, "", "", 4));
  fleet.SetLease(Runs(1, 10 * kSecond));
  fleet.SetLease(Runs(2, 20 * kSecond));
  fleet.Hold(LeaseId{1}, {{NodeId{1}, 0}, {NodeId{1}, 1}});
  fleet.Hold(LeaseId{2}, {{NodeId{2}, 0}, {NodeId{2}, 1}});
  return fleet;
}

Pass Look(const Fleet& fleet, const std::vector<Ticket>& tickets, PassOptions options = {}) {
  WaitingQueue queue;
  for (const Ticket& ticket : tickets) queue.Add(ticket);
  return RunPass(fleet, queue, Ledger(3600 * kSecond), 0, options);
}

TEST(Reserve, TheEarliestEndThatMakesRoom) {
  const Fleet fleet = House();
  auto reservation = Reserve(fleet, Gpus(4, Within::kNode), 0);
  ASSERT_TRUE(reservation.has_value());
  EXPECT_EQ(reservation->at, 10 * kSecond);
  EXPECT_EQ(reservation->place.seats.front().node.value, 1u);
  EXPECT_EQ(Reserve(fleet, Gpus(8), 0)->at, 20 * kSecond);
  EXPECT_EQ(Reserve(fleet, Gpus(8), 25 * kSecond)->at, 25 * kSecond);  // overdue: any moment
  EXPECT_FALSE(Reserve(fleet, Gpus(9), 0).has_value());
}

TEST(Reserve, AnEndThatNobodyKnowsHasNoTime) {
  Fleet fleet = House();
  fleet.SetLease(Runs(1, std::nullopt));
  EXPECT_EQ(Reserve(fleet, Gpus(4, Within::kNode), 0)->at, 20 * kSecond);
  const auto reservation = Reserve(fleet, Gpus(8), 0);
  ASSERT_TRUE(reservation.has_value());
  EXPECT_FALSE(reservation->at.has_value());
  EXPECT_EQ(reservation->place.seats.size(), 8u);
}

// Devices that nobody can have until then are kept before free ones are.
TEST(Reserve, KeepsWhatIsStillHeldFirst) {
  Fleet fleet;
  fleet.SetNode(GpuNode(1, "", "", 4));
  fleet.SetLease(Runs(1, 10 * kSecond));
  fleet.Hold(LeaseId{1}, {{NodeId{1}, 2}, {NodeId{1}, 3}});
  const auto reservation = Reserve(fleet, Gpus(3), 0);
  ASSERT_TRUE(reservation.has_value());
  const std::vector<Seat> seats = {{NodeId{1}, 0}, {NodeId{1}, 2}, {NodeId{1}, 3}};
  EXPECT_TRUE(reservation->place.seats == seats);
}

TEST(Pass, TheFirstThatFitsStarts) {
  const Pass pass = Look(House(), {Waits(1, Gpus(2), kSecond), Waits(2, Gpus(1), kSecond)});
  ASSERT_TRUE(pass.start.has_value());
  EXPECT_EQ(pass.start->ticket.value, 1u);
  EXPECT_FALSE(pass.start->backfilled);
  EXPECT_FALSE(pass.head.has_value());
}

TEST(Pass, WhoWaitsForNodesHoldsUpNobody) {
  const Pass pass = Look(House(), {Waits(1, Gpus(9), kSecond), Waits(2, Gpus(9), kSecond),
                                   Waits(3, Gpus(1), kSecond)});
  ASSERT_TRUE(pass.start.has_value());
  EXPECT_EQ(pass.start->ticket.value, 3u);
  EXPECT_EQ(pass.passed_over, 2u);
}

TEST(Pass, BackfillsWhatIsOverInTimeOrOutOfTheWay) {
  const GangRequest node = Gpus(4, Within::kNode);
  // The head waits for node 1 until 10 s. Two devices fit for 10 s anywhere.
  Pass pass = Look(House(), {Waits(1, node, kSecond), Waits(2, Gpus(2), 10 * kSecond)});
  ASSERT_TRUE(pass.start.has_value());
  EXPECT_EQ(pass.head->ticket.value, 1u);
  EXPECT_EQ(pass.head->at, 10 * kSecond);
  EXPECT_TRUE(pass.start->backfilled);
  EXPECT_EQ(pass.start->place.seats.front().node.value, 1u);
  // Longer ones only on node 2, and one that nobody knows the end of is a longer one.
  const std::vector<std::optional<Nanos>> longer = {11 * kSecond, std::nullopt};
  for (const std::optional<Nanos>& budget : longer) {
    pass = Look(House(), {Waits(1, node, kSecond), Waits(2, Gpus(2), budget)});
    ASSERT_TRUE(pass.start.has_value());
    EXPECT_EQ(pass.start->place.seats.front().node.value, 2u);
    pass = Look(House(), {Waits(1, node, kSecond), Waits(2, Gpus(3), budget)});
    EXPECT_FALSE(pass.start.has_value());
    EXPECT_EQ(pass.candidates, 1u);
  }
}

TEST(Pass, LooksAtNoMoreThanItMay) {
  std::vector<Ticket> tickets = {Waits(1, Gpus(4, Within::kNode), kSecond)};
  for (uint64_t id = 2; id <= 9; ++id) tickets.push_back(Waits(id, Gpus(8), kSecond));
  tickets.push_back(Waits(10, Gpus(1), kSecond));
  PassOptions options;
  options.candidates_max = 8;
  Pass pass = Look(House(), tickets, options);
  EXPECT_FALSE(pass.start.has_value());
  EXPECT_EQ(pass.candidates, 8u);
  EXPECT_TRUE(pass.candidates_cut);
  options.candidates_max = 9;
  pass = Look(House(), tickets, options);
  EXPECT_TRUE(pass.start.has_value());
  EXPECT_FALSE(pass.candidates_cut);
}

TEST(Pass, PreemptsForTheHeadUnlessItsTimeIsNear) {
  Fleet fleet = House();
  for (const uint64_t id : {uint64_t{1}, uint64_t{2}}) {
    LeaseFacts lease = Runs(id, 100 * kSecond);
    lease.preemptible = true;
    fleet.SetLease(lease);
  }
  const std::vector<Ticket> tickets = {Waits(1, Gpus(4, Within::kNode), kSecond, 5),
                                       Waits(2, Gpus(1), kSecond)};
  Pass pass = Look(fleet, tickets);
  ASSERT_EQ(pass.victims.size(), 1u);
  EXPECT_FALSE(pass.start.has_value());
  PassOptions options;
  options.grace = 100 * kSecond;
  EXPECT_TRUE(Look(fleet, tickets, options).victims.empty());
  EXPECT_TRUE(Look(fleet, tickets, options).start.has_value());
  options = {};
  options.preempt = false;
  EXPECT_TRUE(Look(fleet, tickets, options).victims.empty());
  // Told to go, it is waited for; nobody else is.
  LeaseFacts told = fleet.leases()[*fleet.FindLease(pass.victims.front())].facts;
  told.yielding = true;
  told.ends = 30 * kSecond;
  fleet.SetLease(told);
  pass = Look(fleet, tickets);
  EXPECT_TRUE(pass.victims.empty());
  EXPECT_EQ(pass.head->at, 30 * kSecond);
  EXPECT_TRUE(pass.start.has_value());
}

// As the fleet is at a time, when all have ended whose budget is over.
Fleet At(Fleet fleet, Nanos at) {
  while (!fleet.ends().empty() && fleet.ends().front().first <= at) {
    fleet.Free(fleet.leases()[fleet.ends().front().second].facts.id);
  }
  return fleet;
}

// Whatever is backfilled, one after the other: the head starts at its time, and never is its time
// put off.
TEST(Pass, BackfillNeverDelaysTheHead) {
  Random random(13, 6);
  int backfilled = 0;
  int dated = 0;
  for (int round = 0; round < 2000; ++round) {
    Fleet fleet = RandomFacts(random, {}).Make();
    WaitingQueue queue;
    for (uint64_t id = 1; id <= 8; ++id) {
      std::optional<Nanos> budget;
      if (!OneIn(random, 5)) budget = static_cast<Nanos>(random.Between(1, 9)) * kSecond;
      queue.Add(Waits(id, RandomRequest(random, id == 1 ? 10 : 4), budget));
    }
    const Ledger ledger(3600 * kSecond);
    PassOptions options;
    options.preempt = false;
    std::optional<Head> head;
    for (uint64_t lease = 100;; ++lease) {
      const Pass pass = RunPass(fleet, queue, ledger, 0, options);
      if (pass.head.has_value() && head.has_value() && head->ticket == pass.head->ticket) {
        if (head->at.has_value()) {
          ASSERT_TRUE(pass.head->at.has_value()) << round;
          ASSERT_LE(*pass.head->at, *head->at) << round;
        }
      }
      head = pass.head;
      if (!pass.start.has_value()) break;
      const Ticket ticket = queue.Find(pass.start->ticket)->ticket;
      LeaseFacts facts;
      facts.id = LeaseId{lease};
      facts.ends = ticket.budget;
      facts.exclusive = ticket.request.exclusive;
      fleet.SetLease(facts);
      fleet.Hold(facts.id, pass.start->place.seats);
      queue.Remove(ticket.id);
      if (!pass.head.has_value()) continue;
      ++backfilled;
      const GangRequest& wanted = queue.Find(head->ticket)->ticket.request;
      if (head->at.has_value()) {
        ++dated;
        ASSERT_TRUE(FindPlace(At(fleet, *head->at), wanted).has_value()) << round;
      } else {
        const std::set<Seat> kept(head->place.seats.begin(), head->place.seats.end());
        for (const Seat& seat : pass.start->place.seats) ASSERT_EQ(kept.count(seat), 0u) << round;
      }
    }
    // Nothing is left that could start now but for the head's sake.
    if (head.has_value()) {
      ASSERT_FALSE(FindPlace(fleet, queue.Find(head->ticket)->ticket.request).has_value());
    }
  }
  EXPECT_GT(backfilled, 200);
  EXPECT_GT(dated, 50);
}

// It would be told to go as soon as it is there, because the head would fit without it, and be
// placed again: for ever.
TEST(RunPass, NobodyStartsWhomTheHeadWouldMakeYieldAtOnce) {
  Fleet fleet;
  fleet.SetNode(GpuNode(1, "", "", 8));
  LeaseFacts yields = Runs(1, 3600 * kSecond);
  yields.preemptible = yields.yielding = true;
  fleet.SetLease(yields);
  fleet.Hold(LeaseId{1}, {{NodeId{1}, 0}, {NodeId{1}, 1}, {NodeId{1}, 2}, {NodeId{1}, 3}});
  const Ticket head = Waits(1, Gpus(8), kSecond, 1);
  Ticket behind = Waits(2, Gpus(4), kSecond);
  behind.preemptible = true;
  Pass pass = Look(fleet, {head, behind});
  EXPECT_TRUE(pass.victims.empty());
  EXPECT_FALSE(pass.start.has_value());
  EXPECT_EQ(pass.candidates, 1u);
  // One that nobody can make yield is over in time.
  behind.preemptible = false;
  pass = Look(fleet, {head, behind});
  ASSERT_TRUE(pass.start.has_value());
  EXPECT_TRUE(pass.start->backfilled);
  // And so may one that leaves the head its place.
  fleet.SetNode(GpuNode(2, "", "", 4));
  behind.preemptible = true;
  behind.request = Gpus(4, Within::kNode);
  const Ticket near = Waits(1, Gpus(8, Within::kNode), kSecond, 1);
  pass = Look(fleet, {near, behind});
  ASSERT_TRUE(pass.start.has_value());
  EXPECT_EQ(pass.start->place.seats.front().node.value, 2u);
}

// Of a shape that was refused what the head waits for, no other one is weighed.
TEST(RunPass, WhatBreaksTheHeadsPromiseIsWeighedOnceForItsShape) {
  Fleet fleet;
  fleet.SetNode(GpuNode(1, "", "", 8));
  LeaseFacts yields = Runs(1, 3600 * kSecond);
  yields.preemptible = yields.yielding = true;
  fleet.SetLease(yields);
  fleet.Hold(LeaseId{1}, {{NodeId{1}, 0}, {NodeId{1}, 1}, {NodeId{1}, 2}, {NodeId{1}, 3}});
  std::vector<Ticket> tickets = {Waits(1, Gpus(8), kSecond, 1)};
  for (uint64_t id = 2; id <= 40; ++id) {
    tickets.push_back(Waits(id, Gpus(4), kSecond));
    tickets.back().preemptible = true;
  }
  Pass pass = Look(fleet, tickets);
  EXPECT_FALSE(pass.start.has_value());
  EXPECT_EQ(pass.candidates, 39u);
  EXPECT_EQ(pass.weighed, 1u);
  // One of the same shape that nobody can make yield is not meant.
  tickets.back().preemptible = false;
  pass = Look(fleet, tickets);
  ASSERT_TRUE(pass.start.has_value());
  EXPECT_EQ(pass.start->ticket.value, 40u);
}

// Each names nodes of its own, which cannot serve: more of them than the fleet remembers pools of.
TEST(RunPass, WhatWaitsForNodesIsAskedOnceUntilANodeChanges) {
  Fleet fleet = House();
  NodeFacts third = GpuNode(3, "", "", 1);
  third.cordoned = true;
  fleet.SetNode(third);
  WaitingQueue queue;
  for (uint64_t id = 1; id <= 400; ++id) {
    GangRequest request = Gpus(1);
    request.selector.nodes = {"n3", "x" + std::to_string(id)};
    queue.Add(Waits(id, request, kSecond));
  }
  const Ledger ledger(3600 * kSecond);
  EXPECT_EQ(RunPass(fleet, queue, ledger, 0, {}).passed_over, 400u);
  const uint64_t counted = fleet.work().counted;
  fleet.Free(LeaseId{1});
  EXPECT_EQ(RunPass(fleet, queue, ledger, 0, {}).passed_over, 400u);
  EXPECT_EQ(fleet.work().counted, counted);
  third.cordoned = false;
  fleet.SetNode(third);
  const Pass pass = RunPass(fleet, queue, ledger, 0, {});
  ASSERT_TRUE(pass.start.has_value());
  EXPECT_EQ(pass.start->ticket.value, 1u);
}

// The earliest time by trying each end in turn.
TEST(Reserve, AgreesWithTryingEachEnd) {
  Random random(17, 7);
  int dated = 0;
  for (int round = 0; round < 3000; ++round) {
    const Fleet fleet = RandomFacts(random, {}).Make();
    const GangRequest request = RandomRequest(random, 8);
    if (FindPlace(fleet, request).has_value()) continue;
    std::optional<Nanos> first;
    for (const auto& [at, slot] : fleet.ends()) {
      if (!first.has_value() && FindPlace(At(fleet, at), request).has_value()) first = at;
    }
    const auto reservation = Reserve(fleet, request, 0);
    ASSERT_EQ(reservation.has_value(), CouldFit(fleet, request, Assume::kFreed)) << round;
    ASSERT_EQ(reservation.has_value() ? reservation->at : std::nullopt, first) << round;
    if (!first.has_value()) continue;
    ++dated;
    // The same seats' nodes that it would choose then.
    const auto place = FindPlace(At(fleet, *first), request);
    std::vector<NodeId> then;
    std::vector<NodeId> kept;
    for (const Seat& seat : place->seats) then.push_back(seat.node);
    for (const Seat& seat : reservation->place.seats) kept.push_back(seat.node);
    ASSERT_EQ(then, kept) << round;
  }
  EXPECT_GT(dated, 100);
}

}  // namespace
}  // namespace rackmark::plan

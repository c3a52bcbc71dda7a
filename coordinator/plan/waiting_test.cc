#include "coordinator/plan/waiting.h"

#include <algorithm>
#include <set>
#include <string>

#include "coordinator/plan/fleet_test_kit.h"
#include "gtest/gtest.h"

namespace rackmark::plan {
namespace {

constexpr Nanos kHour = 3600 * kSecond;

Ticket Waits(uint64_t id, std::string owner, int32_t priority, uint32_t devices) {
  Ticket ticket;
  ticket.id = TicketId{id};
  ticket.owner = std::move(owner);
  ticket.priority = priority;
  ticket.submitted = static_cast<Nanos>(id) * kSecond;
  ticket.budget = kHour;
  ticket.request = Gpus(devices);
  return ticket;
}

std::string Listed(const WaitingQueue& queue, const Ledger& ledger, Nanos now = 0) {
  Order order(queue, ledger, now);
  std::string text;
  while (const WaitingQueue::Entry* entry = order.Next()) {
    text += (text.empty() ? "" : " ") + std::to_string(entry->ticket.id.value);
  }
  return text;
}

TEST(Ledger, HalfIsLeftAfterTheHalfLife) {
  Ledger ledger(16 * kHour);
  ledger.Start("a", 5000);
  EXPECT_EQ(ledger.ShareOf("a", 0), 5000u);
  ledger.End("a", 5000, 1000000, 0);
  EXPECT_EQ(ledger.ShareOf("a", 0), 1000000u);
  EXPECT_NEAR(static_cast<double>(ledger.ShareOf("a", 8 * kHour)), 707107, 100);
  EXPECT_EQ(ledger.ShareOf("a", 16 * kHour), 500000u);
  EXPECT_EQ(ledger.ShareOf("a", 32 * kHour), 250000u);
  EXPECT_EQ(ledger.ShareOf("a", 2000 * kHour), 0u);
  EXPECT_EQ(ledger.ShareOf("nobody", 0), 0u);
  ledger.Prune(16 * kHour);
  EXPECT_EQ(ledger.entries().size(), 1u);
  ledger.Prune(2000 * kHour);
  EXPECT_TRUE(ledger.entries().empty());
}

TEST(Ledger, LargeUseDoesNotOverflow) {
  Ledger ledger(30 * 24 * kHour);
  const uint64_t month = CostOf(80000, 30 * 24 * kHour);
  ledger.Start("a", month);
  ledger.End("a", month, month, 0);
  const double after = static_cast<double>(ledger.ShareOf("a", 15 * 24 * kHour));
  EXPECT_NEAR(after / static_cast<double>(month), 0.7071, 0.001);
}

TEST(Ledger, ASavedOneGoesOn) {
  Ledger ledger(kHour);
  ledger.Start("a", 10);
  ledger.Start("a", 70);
  ledger.End("a", 10, 4000, kHour);
  Ledger loaded(kHour);
  for (const auto& [owner, entry] : ledger.entries()) loaded.Restore(owner, entry);
  for (Nanos now = kHour; now < 5 * kHour; now += kHour / 8) {
    EXPECT_EQ(loaded.ShareOf("a", now), ledger.ShareOf("a", now));
  }
}

TEST(Order, PriorityThenShareThenAge) {
  WaitingQueue queue;
  queue.Add(Waits(1, "ann", 0, 8));
  queue.Add(Waits(2, "ann", 0, 8));
  queue.Add(Waits(3, "bob", 0, 8));
  queue.Add(Waits(4, "ann", 5, 8));
  queue.Add(Waits(5, "cat", -1, 8));
  Ledger ledger(kHour);
  // Ann's 4 counts against her at once: bob is next, though her 1 is older.
  EXPECT_EQ(Listed(queue, ledger), "4 3 1 2 5");
  queue.Remove(TicketId{4});
  EXPECT_EQ(Listed(queue, ledger), "1 3 2 5");
  ledger.Start("ann", CostOf(24, kHour));
  EXPECT_EQ(Listed(queue, ledger), "3 1 2 5");
}

// The case for decayed usage: whoever queued 100 gangs of the whole fleet first lets another in
// after one of them, though then nobody runs anything.
TEST(Order, OneWhoHasHadMuchLetsOthersIn) {
  WaitingQueue queue;
  for (uint64_t id = 1; id <= 100; ++id) queue.Add(Waits(id, "ann", 0, 80000));
  queue.Add(Waits(200, "bob", 0, 8));
  Ledger ledger(24 * kHour);
  EXPECT_EQ(Listed(queue, ledger).substr(0, 6), "1 200 ");
  const uint64_t cost = CostOf(80000, kHour);
  ledger.Start("ann", cost);
  ledger.End("ann", cost, cost / 2, kHour);
  queue.Remove(TicketId{1});
  EXPECT_EQ(Listed(queue, ledger, kHour).substr(0, 6), "200 2 ");
}

TEST(Order, OwnersAlternateByWhatTheyAskFor) {
  WaitingQueue queue;
  for (uint64_t id = 1; id <= 4; ++id) queue.Add(Waits(id, "ann", 0, 4));
  for (uint64_t id = 5; id <= 6; ++id) queue.Add(Waits(id, "bob", 0, 8));
  EXPECT_EQ(Listed(queue, Ledger(kHour)), "1 5 2 3 6 4");
}

TEST(Order, WhatIsTakenBackDoesNotCount) {
  WaitingQueue queue;
  queue.Add(Waits(1, "ann", 0, 8));
  queue.Add(Waits(2, "bob", 0, 8));
  queue.Add(Waits(3, "ann", 0, 8));
  const Ledger ledger(kHour);
  Order order(queue, ledger, 0);
  EXPECT_EQ(order.Next()->ticket.id.value, 1u);
  order.TakeBack();
  EXPECT_EQ(order.Next()->ticket.id.value, 2u);  // both at 0: the older one
  EXPECT_EQ(order.Next()->ticket.id.value, 3u);
  EXPECT_EQ(order.Next(), nullptr);
  EXPECT_EQ(order.Next(), nullptr);
}

TEST(Queue, EqualRequestsAreOfOneShape) {
  WaitingQueue queue;
  queue.Add(Waits(1, "ann", 0, 8));
  queue.Add(Waits(2, "bob", 3, 8));
  queue.Add(Waits(3, "bob", 0, 4));
  EXPECT_EQ(queue.Find(TicketId{1})->shape, queue.Find(TicketId{2})->shape);
  EXPECT_NE(queue.Find(TicketId{1})->shape, queue.Find(TicketId{3})->shape);
  EXPECT_EQ(queue.shapes(), 2u);
  queue.Remove(TicketId{3});
  queue.Add(Waits(4, "bob", 0, 2));  // has the number of the one that went
  EXPECT_EQ(queue.shapes(), 2u);
  EXPECT_EQ(queue.Find(TicketId{3}), nullptr);
}

// The dumb way: of all that are left, the one whose priority is highest, then whose owner has
// least.
TEST(Order, AgreesWithLookingThroughAll) {
  Random random(3, 4);
  for (int round = 0; round < 2000; ++round) {
    WaitingQueue queue;
    Ledger ledger(kHour);
    std::map<std::string, uint64_t> share;
    for (const char* owner : {"a", "b", "c"}) {
      share[owner] = random.Between(0, 5) * CostOf(1, kHour);
      ledger.Start(owner, share[owner]);
    }
    std::vector<Ticket> left;
    const uint64_t count = random.Between(1, 12);
    for (uint64_t id = 1; id <= count; ++id) {
      Ticket ticket = Waits(id, std::string(1, static_cast<char>('a' + random.Between(0, 2))),
                            static_cast<int32_t>(random.Between(0, 1)), 1 + Upto(random, 3));
      ticket.submitted = static_cast<Nanos>(random.Between(0, 4));
      if (OneIn(random, 5)) ticket.budget.reset();
      left.push_back(ticket);
      queue.Add(ticket);
    }
    Order order(queue, ledger, 0);
    while (!left.empty()) {
      const auto key = [&](const Ticket& t) {
        return std::tuple(-t.priority, share[t.owner], t.submitted, t.id);
      };
      const auto next = std::min_element(
          left.begin(), left.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
      const WaitingQueue::Entry* entry = order.Next();
      ASSERT_NE(entry, nullptr);
      ASSERT_EQ(entry->ticket.id, next->id) << round;
      share[next->owner] += CostOf(next->request.devices, kHour);
      left.erase(next);
    }
    EXPECT_EQ(order.Next(), nullptr);
  }
}

}  // namespace
}  // namespace rackmark::plan

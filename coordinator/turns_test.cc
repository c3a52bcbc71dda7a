// What a turn tells to whom, in which order.
#include "coordinator/turns.h"

#include <string>
#include <vector>

#include "coordinator/store/memory_store.h"
#include "coordinator/test_job.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::ElementsAre;

class CountingStore : public MemoryEventStore {
 public:
  CountingStore() : MemoryEventStore("c1") {}
  int appends = 0;

 protected:
  absl::Status DoAppend(std::span<const v1::Event> events,
                        std::span<const v1::EndedJob> ended) override {
    if (!events.empty()) ++appends;
    return MemoryEventStore::DoAppend(events, ended);
  }
};

class Recorder : public LoopListener {
 public:
  void DesiredChanged(NodeId, const State&) override { heard.push_back("news"); }
  void RunToJudge(RunId) override {}
  void Committed(const State&, Now) override {}
  std::vector<std::string> heard;
};

v1::Principal Operator() {
  v1::Principal by;
  by.set_name("ann");
  by.set_role(v1::ROLE_OPERATOR);
  return by;
}

v1::Report FirstReport() {
  v1::Report report;
  report.mutable_identity()->set_incarnation("boot-of-n1/1");
  report.mutable_node()->set_name("n1");
  report.mutable_node()->set_boot_id("boot-of-n1");
  report.mutable_node()->add_devices()->set_kind(v1::DEVICE_KIND_CPU);
  report.add_devices()->set_healthy(true);
  report.set_report_number(1);
  return report;
}

// The ranks never start: at the limit their node is told to let go, and not only when the commands
// that came at the same time are decided, which may be many.
TEST(Turns, WhatIsDueIsToldBeforeOthersAreAnswered) {
  CountingStore store;
  ManualClock clock(kSecond);
  Recorder recorder;
  Turns::Options options;
  options.events = &store;
  options.clock = &clock;
  Turns turns(options);
  turns.AddListener(&recorder);
  ASSERT_TRUE(turns.Recover("boot", "boot/1").ok());
  const auto run = [&](Command command, const std::string& name) {
    std::vector<Turns::Item> items;
    items.push_back({std::move(command), [&recorder, name](const Outcome& outcome) {
                       EXPECT_TRUE(outcome.status.ok()) << outcome.status;
                       recorder.heard.push_back(name);
                     }});
    ASSERT_TRUE(turns.Run(std::move(items)).ok());
  };
  run({Operator(), NodeReported{FirstReport(), 1}}, "node");
  run({Operator(), SubmitJob{MakeJob(), "s1"}}, "first");
  ASSERT_EQ(turns.state().hard.leases.size(), 1U);

  clock.Advance(kSecond);  // MakeJob's limit of setting up
  ASSERT_LE(turns.NextDue(), clock.Monotonic());
  recorder.heard.clear();
  const int before = store.appends;
  run({Operator(), SubmitJob{MakeJob(), "s2"}}, "second");
  EXPECT_THAT(recorder.heard, ElementsAre("news", "second"));
  EXPECT_EQ(store.appends, before + 2);  // each on disk before anybody hears of it

  // With nothing to tell there is one transaction, as ever.
  run({Operator(), SubmitJob{MakeJob(), "s3"}}, "third");
  EXPECT_EQ(store.appends, before + 3);
}

}  // namespace
}  // namespace rackmark

// What the planner was told change by change is what one made anew from State says, after every
// command of random stories.
#include <algorithm>

#include "common/random.h"
#include "coordinator/core/queue.h"
#include "coordinator/core/timers.h"
#include "gtest/gtest.h"
#include "tests/scenarios/sim.h"

namespace rackmark {
namespace {

std::string Text(const std::optional<Nanos>& at) {
  return at.has_value() ? std::to_string(*at) : "never";
}

std::string DescribeFleet(const plan::Fleet& fleet) {
  std::vector<std::string> lines;
  for (const plan::Fleet::Node& node : fleet.nodes()) {
    std::string line =
        absl::StrCat("node ", node.id.value, " ", node.name, " ", node.domain, " ", node.rack, " ",
                     static_cast<int>(node.readiness), node.cordoned ? " cordoned" : "",
                     node.quarantined ? " quarantined" : "");
    for (const auto& [key, value] : node.labels) absl::StrAppend(&line, " ", key, "=", value);
    for (const plan::Fleet::Device& device : node.devices) {
      const plan::Fleet::Class& known = fleet.classes()[device.klass];
      absl::StrAppend(&line, "; ", device.index, " ", known.first, " ", known.second,
                      device.healthy ? "" : " sick");
      if (device.lease.has_value()) {
        absl::StrAppend(&line, " l", fleet.leases()[*device.lease].facts.id.value);
      }
    }
    lines.push_back(line);
  }
  for (const plan::Fleet::Lease& lease : fleet.leases()) {
    const plan::LeaseFacts& facts = lease.facts;
    if (facts.id.IsNone()) continue;
    lines.push_back(absl::StrCat("lease ", facts.id.value, lease.known ? " known " : " strange ",
                                 facts.priority, facts.preemptible ? " preemptible" : "",
                                 facts.yielding ? " yielding" : "",
                                 facts.exclusive ? " exclusive" : "", " from ", facts.started,
                                 " to ", Text(facts.ends), " seats ", lease.seats.size()));
  }
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const std::string& line : lines) absl::StrAppend(&text, line, "\n");
  return text;
}

std::string DescribePlanner(const State& state) {
  const Planner& planner = state.soft.planner;
  std::string text = DescribeFleet(planner.fleet);
  plan::Order order(planner.queue, planner.ledger, state.soft.wall);
  while (const plan::WaitingQueue::Entry* entry = order.Next()) {
    const plan::Ticket& ticket = entry->ticket;
    absl::StrAppend(&text, "ticket ", ticket.id.value, " ", ticket.owner, " ", ticket.priority, " ",
                    ticket.submitted, " ", Text(ticket.budget), " ", ticket.request.devices,
                    " avoids");
    for (const NodeId node : ticket.request.selector.avoid) absl::StrAppend(&text, " ", node.value);
    text += "\n";
  }
  for (const auto& [owner, entry] : planner.ledger.entries()) {
    if (entry.used == 0 && entry.committed == 0) continue;
    absl::StrAppend(&text, "owner ", owner, " ", entry.used, " ", entry.committed, " ", entry.tick,
                    "\n");
  }
  for (const auto& [node, seats] : planner.seats) {
    for (const Planner::Seat& seat : seats) {
      absl::StrAppend(&text, "seat ", node.value, "/", seat.device, " l", seat.lease.value, "\n");
    }
  }
  for (const JobId job : planner.choosy) absl::StrAppend(&text, "choosy ", job.value, "\n");
  return text;
}

class Story {
 public:
  explicit Story(uint64_t seed) : random_(seed, 0) {
    Do(TakeLeadership{"c0ffee00", "coordinator/1", "boot"});
    for (int i = 1; i <= 6; ++i) {
      FakeWorker& worker = sim_.AddWorker(absl::StrCat("n", i), 1, i <= 4 ? 2 : 0);
      worker.info().set_rack(i % 2 == 0 ? "r1" : "r2");
      for (v1::Device& device : *worker.info().mutable_devices()) {
        if (device.kind() == v1::DEVICE_KIND_GPU) device.set_nvlink_domain(i <= 2 ? "d1" : "d2");
      }
    }
  }

  void Step() {
    switch (random_.Between(0, 15)) {
      case 0: Submit(); break;
      case 1: Cancel(); break;
      case 2: Break(); break;
      case 3: Change(); break;
      case 4: Heal(); break;
      case 5: Time(random_.Between(1, 20)); break;
      case 6: Judge(); break;
      case 7:
        if (OneIn(4)) Time(60);
        break;
      case 8:
        if (OneIn(8)) sim_.Advance(30 * kSecond);  // a stall of ours
        Do(Tick{});
        break;
      case 9:
        if (OneIn(10)) Restart();
        break;
      default: Sync(Worker()); break;
    }
  }

  Sim& sim() { return sim_; }
  int looks() const { return looks_; }

 private:
  bool OneIn(uint64_t n) { return random_.Between(1, n) == 1; }
  std::string Worker() { return absl::StrCat("n", random_.Between(1, 6)); }

  void Compare() {
    State anew = sim_.state();
    RebuildPlanner(anew);
    ASSERT_EQ(DescribePlanner(sim_.state()), DescribePlanner(anew));
    ++looks_;
  }
  template <typename Body>
  void Do(Body body, const std::string& by = "tester") {
    Command command;
    command.by.set_name(by);
    command.body = std::move(body);
    (void)sim_.Do(std::move(command));  // what is refused changes nothing
    Compare();
  }
  void Sync(const std::string& name) {
    (void)sim_.Sync(name);
    Compare();
  }
  void Time(uint64_t seconds) {
    const std::string silent = Worker();
    for (; seconds > 0; --seconds) {
      sim_.Advance(kSecond);
      Do(Tick{});
      for (const std::string& name : sim_.names()) {
        if (name != silent && OneIn(2)) Sync(name);
      }
    }
  }
  void Restart() {
    sim_.Restart(sim_.log().size());
    Do(TakeLeadership{"c0ffee00", absl::StrCat("coordinator/", ++restarts_), "boot"});
  }
  void Submit() {
    v1::Job job;
    job.set_name("job");
    v1::JobSpec& spec = *job.mutable_spec();
    const bool gpu = OneIn(2);
    spec.mutable_gang()->set_kind(gpu ? v1::DEVICE_KIND_GPU : v1::DEVICE_KIND_CPU);
    spec.mutable_gang()->set_devices(static_cast<uint32_t>(random_.Between(1, 4)));
    spec.mutable_gang()->set_exclusive(OneIn(8));
    spec.mutable_gang()->set_quarantined(OneIn(12));
    if (OneIn(3)) spec.mutable_gang()->set_within(v1::WITHIN_NVLINK_DOMAIN);
    if (OneIn(6)) spec.mutable_gang()->add_nodes(Worker());
    v1::Limits& limits = *spec.mutable_limits();
    limits.set_setup_ns(20 * kSecond);
    limits.set_prepare_ns(20 * kSecond);
    limits.set_measure_ns(60 * kSecond);
    limits.set_drain_ns(10 * kSecond);
    limits.set_attempts(3);
    spec.set_priority(static_cast<int32_t>(random_.Between(0, 2)));
    spec.set_preemptible(OneIn(2));
    spec.set_grace_ns(static_cast<Nanos>(random_.Between(0, 20)) * kSecond);
    if (OneIn(4)) spec.set_lease_max_ns(static_cast<Nanos>(random_.Between(1, 30)) * kSecond);
    if (OneIn(4)) spec.mutable_budget()->set_wall_ns(40 * kSecond);
    if (OneIn(4)) spec.mutable_budget()->set_node_seconds(55.5);
    for (uint64_t i = random_.Between(1, 3); i > 0; --i) {
      spec.add_runs()->mutable_null()->set_samples_per_step(1);
    }
    Do(SubmitJob{job, absl::StrCat("s", ++submissions_)}, OneIn(2) ? "alice" : "bob");
  }
  void Cancel() {
    if (submissions_ > 0 && OneIn(3)) Do(CancelJob{JobId{random_.Between(1, submissions_)}, ""});
  }
  void Judge() {
    for (const RunId id : RunsToJudge(sim_.state())) {
      const uint32_t attempt = sim_.state().hard.runs.at(id).attempt;
      Do(JudgeRun{id, attempt, v1::VERDICT_PASS, "hash", {}});
    }
  }
  void Break() {
    FakeWorker& worker = *sim_.Find(Worker());
    switch (random_.Between(0, 4)) {
      case 0: worker.unhealthy[0] = "ECC"; break;
      case 1: worker.broken[0].set_kind(v1::FAILURE_KIND_RANK_DIED); break;
      case 2: worker.releases = false; break;
      case 3: worker.hold = v1::RANK_PHASE_MEASURING; break;
      default:
        worker.Restart();
        sim_.Redial(worker.name());
        break;
    }
    Sync(worker.name());
  }
  void Heal() {
    FakeWorker& worker = *sim_.Find(Worker());
    worker.unhealthy.clear();
    worker.broken.clear();
    worker.releases = true;
    worker.hold = v1::RANK_PHASE_EXITED;
  }
  void Change() {
    const auto change = static_cast<v1::NodeChange>(random_.Between(1, 5));
    Do(ChangeNode{Worker(), change, "test", std::nullopt});
  }

  Random random_;
  Sim sim_;
  uint64_t submissions_ = 0;
  int restarts_ = 1;
  int looks_ = 0;
};

TEST(Planner, ToldChangeByChangeIsAsMadeAnew) {
  std::map<int, int> events;
  for (uint64_t seed = 1; seed <= 40 && !testing::Test::HasFatalFailure(); ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Story story(seed);
    for (int i = 0; i < 250 && !testing::Test::HasFatalFailure(); ++i) story.Step();
    for (const v1::Event& event : story.sim().log()) ++events[event.change_case()];
    EXPECT_GT(story.looks(), 250);
  }
  // The stories are about something.
  EXPECT_GT(events[v1::Event::kLeasePlaced], 100);
  EXPECT_GT(events[v1::Event::kLeaseYielding], 20);
  EXPECT_GT(events[v1::Event::kLeaseEnded], 50);
  EXPECT_GT(events[v1::Event::kNodeStandingChanged], 20);
}

}  // namespace
}  // namespace rackmark

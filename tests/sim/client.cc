#include "tests/sim/client.h"

#include <utility>

#include "tests/sim/coordinator.h"
#include "tests/sim/jobs.h"
#include "tests/sim/machine.h"
#include "tests/sim/world.h"

namespace rackmark::sim {
namespace {

constexpr Nanos kAskAgain = 5 * kSecond;

v1::Principal Person() {
  v1::Principal by;
  by.set_name("ann");
  by.set_role(v1::ROLE_ADMIN);
  by.set_how("simulated");
  return by;
}

}  // namespace

void SimClient::Begin() {
  const Knobs& knobs = world_.knobs;
  const auto some_time = [&](Nanos until, std::function<void()> act) {
    world_.timeline.After(world_.Between(0, until), std::move(act));
  };
  for (uint32_t i = 0; i < knobs.jobs; ++i) {
    some_time(knobs.faults_for, [this, i] { SubmitOne(i); });
  }
  for (uint32_t i = 0; i < knobs.suites; ++i) {
    some_time(knobs.faults_for, [this, i] { SubmitOneSuite(i); });
  }
  for (uint32_t i = 0; i < knobs.schedules; ++i) {
    some_time(knobs.faults_for / 4, [this, i] { SetOne(i); });
  }
  if (knobs.operators) Operate();
}

void SimClient::Do(Command command, std::function<void(const Outcome&)> then) {
  ++pending_;
  auto request = std::make_shared<Request>();
  request->command = std::move(command);
  request->then = std::move(then);
  Ask(request);
}

void SimClient::Ask(const std::shared_ptr<Request>& request) {
  request->coordinator =
      static_cast<uint32_t>((request->coordinator + 1) % world_.coordinators.size());
  ++world_.stats.messages;
  world_.timeline.After(world_.network.Delay(), [this, request] {
    world_.coordinators[request->coordinator]->Ask(
        request->command, [this, request](const Outcome& outcome) {
          ++world_.stats.messages;
          if (!world_.healed && world_.Chance(world_.knobs.loss)) return;
          if (absl::IsUnavailable(outcome.status) || request->done) return;
          request->done = true;
          --pending_;
          request->then(outcome);
        });
  });
  world_.timeline.After(kAskAgain, [this, request] {
    if (!request->done) Ask(request);
  });
}

void SimClient::SubmitOne(uint32_t number) {
  const std::string name = absl::StrCat("job-", number);
  world_.trace.Line(world_.now(), Who::kClient, 0, "submits", number);
  Do({Person(), SubmitJob{DrawJob(world_, name), absl::StrCat("s-", name)}},
     [this](const Outcome& outcome) {
       if (!outcome.status.ok()) {
         world_.Count("job refused");
         return;
       }
       if (!world_.Chance(world_.knobs.cancel)) return;
       const JobId job = std::get<Submitted>(outcome.reply).job;
       world_.timeline.After(world_.Between(0, 60 * kSecond), [this, job] {
         world_.trace.Line(world_.now(), Who::kClient, 0, "cancels", job.value);
         Do({Person(), CancelJob{job, "drawn"}}, [](const Outcome&) {});
       });
     });
}

void SimClient::SubmitOneSuite(uint32_t number) {
  v1::Suite suite = DrawSuite(world_, absl::StrCat("suite-", number));
  world_.trace.Line(world_.now(), Who::kClient, 0, "suite", number);
  const std::string id = absl::StrCat("s-", suite.name());
  Do({Person(), SubmitSuite{std::move(suite), id}}, [this](const Outcome& outcome) {
    world_.Count(outcome.status.ok() ? "suite accepted" : "suite refused");
  });
}

// Applied again now and then, as scripts do.
void SimClient::SetOne(uint32_t number) {
  if (world_.healed) return;
  if (number >= schedules_.size()) schedules_.resize(number + 1);
  if (schedules_[number].name().empty()) {
    schedules_[number] = DrawSchedule(world_, absl::StrCat("nightly-", number));
  } else if (world_.Chance(0.3)) {
    schedules_[number].set_suspend(!schedules_[number].suspend());
  }
  world_.trace.Line(world_.now(), Who::kClient, 0, "schedule", number);
  Do({Person(), ApplySchedule{schedules_[number]}}, [this](const Outcome& outcome) {
    world_.Count(outcome.status.ok() ? "schedule applied" : "schedule refused");
  });
  world_.timeline.After(world_.Between(20, 200) * kSecond, [this, number] { SetOne(number); });
}

// People who cordon, drain, quarantine and readmit, and change their minds.
void SimClient::Operate() {
  world_.timeline.After(world_.Between(5, 60) * kSecond, [this] {
    if (world_.healed) return;
    const auto at = world_.random.Between(0, world_.machines.size() - 1);
    const auto change = static_cast<v1::NodeChange>(
        world_.Between(v1::NODE_CHANGE_CORDON, v1::NODE_CHANGE_READMIT));
    Change(world_.machines[at]->info().name(), change);
    Operate();
  });
}

void SimClient::Change(const std::string& node, v1::NodeChange change) {
  ChangeNode command{node, change, "drawn", std::nullopt};
  if (change == v1::NODE_CHANGE_DRAIN && world_.Chance(0.5)) {
    command.grace = world_.Between(0, 5) * kSecond;
  }
  world_.trace.Line(world_.now(), Who::kClient, 0, "node", static_cast<uint64_t>(change));
  Do({Person(), std::move(command)}, [this](const Outcome& outcome) {
    world_.Count(outcome.status.ok() ? "node changed" : "node change refused");
  });
}

// The schedules go, and nodes that were set aside are taken back: nobody would end the jobs else.
void SimClient::Heal() {
  for (const v1::Schedule& schedule : schedules_) {
    if (schedule.name().empty()) continue;
    Do({Person(), RemoveSchedule{schedule.name()}}, [](const Outcome&) {});
  }
  ReadmitAll();
}

void SimClient::ReadmitAll() {
  for (const auto& [id, node] : world_.durable.nodes) {
    if (node.cordoned) Change(node.info.name(), v1::NODE_CHANGE_UNCORDON);
    if (node.standing == v1::STANDING_QUARANTINED) {
      Change(node.info.name(), v1::NODE_CHANGE_READMIT);
    }
  }
  world_.timeline.After(30 * kSecond, [this] { ReadmitAll(); });
}

}  // namespace rackmark::sim

#include "tests/scenarios/sim.h"

#include <set>

#include "common/zone.h"
#include "coordinator/core/desired.h"
#include "coordinator/core/timers.h"
#include "tests/scenarios/describe.h"

namespace rackmark {

Sim::Sim() { state_.config.find_zone = FindZone; }

absl::StatusOr<TurnResult> Sim::Do(Command command) {
  if (command.by.name().empty()) command.by.set_name("tester");
  auto result = Turn(state_, command, clocks());
  if (!result.ok()) return result;
  for (const v1::Event& event : result->events) {
    log_.push_back(event);
    RACKMARK_CHECK(CheckEvent(replayed_, event).ok());
    Apply(replayed_, event);
  }
  if (!result->events.empty()) Check();
  // What follows was found, though only what the command touched was looked at.
  RACKMARK_CHECK(Settle(state_, nullptr, clocks()).empty());
  RACKMARK_CHECK(NextDeadline(state_) > now_);
  RACKMARK_CHECK(NextDeadline(state_) <= now_ + state_.config.tick_max);
  return result;
}

void Sim::Check() const {
  RACKMARK_CHECK(DescribeHard(state_.hard) == DescribeHard(replayed_));
  std::set<std::pair<uint64_t, uint32_t>> used;
  for (const auto& [id, lease] : state_.hard.leases) {
    if (lease.phase == v1::LEASE_PHASE_RELEASING) continue;
    for (const v1::RankPlace& place : lease.placement.ranks()) {
      RACKMARK_CHECK(used.emplace(place.node_id(), place.device()).second);
    }
  }
  for (const auto& [id, node] : state_.hard.nodes) {
    v1::DesiredState content = DesiredFor(state_, id);
    content.set_version(DesiredOf(state_, id).version());
    RACKMARK_CHECK(content.SerializeAsString() == DesiredOf(state_, id).SerializeAsString());
  }
}

absl::StatusOr<TurnResult> Sim::Lead() {
  ++coordinators_;
  return Do({{}, TakeLeadership{"c0ffee00", absl::StrCat("coordinator/", coordinators_), "boot"}});
}

FakeWorker& Sim::AddWorker(const std::string& name, uint32_t cpus, uint32_t gpus) {
  Redial(name);
  return workers_.emplace(name, FakeWorker(name, cpus, gpus)).first->second;
}

FakeWorker* Sim::Find(const std::string& name) {
  const auto found = workers_.find(name);
  return found == workers_.end() ? nullptr : &found->second;
}

absl::Status Sim::Sync(const std::string& name, size_t silent_from) {
  FakeWorker& worker = workers_.at(name);
  worker.Step();
  NodeReported command{worker.MakeReport(++report_numbers_[name]), streams_[name]};
  last_reports_[name] = command;
  auto result = Do({{}, std::move(command)});
  if (!result.ok()) return result.status();
  if (log_.size() >= silent_from) return absl::OkStatus();
  v1::SyncReply reply;
  reply.mutable_identity()->set_cluster_id(state_.hard.cluster_id);
  reply.mutable_identity()->set_epoch(state_.hard.epoch);
  *reply.mutable_desired() = DesiredOf(state_, std::get<Heard>(result->reply).node);
  worker.Hear(reply);
  return absl::OkStatus();
}

void Sim::BreakStream(const std::string& name) {
  const auto node = state_.hard.node_by_name.find(name);
  if (node == state_.hard.node_by_name.end()) return;
  auto result = Do({{}, StreamBroken{node->second, streams_[name]}});
  RACKMARK_CHECK(result.ok());
  Redial(name);
}

absl::Status Sim::Resend(const std::string& name) {
  return Do({{}, last_reports_.at(name)}).status();
}

void Sim::BreakFirstStream(const std::string& name) {
  const NodeId node = state_.hard.node_by_name.at(name);
  RACKMARK_CHECK(Do({{}, StreamBroken{node, 1}}).ok());
}

void Sim::Restart(size_t keep) {
  const CoreConfig config = state_.config;
  state_ = State{};
  state_.config = config;
  log_.resize(keep);
  for (const v1::Event& event : log_) RACKMARK_CHECK(Replay(state_, event).ok());
  replayed_ = state_.hard;
  for (const auto& [name, worker] : workers_) Redial(name);
}

std::vector<std::string> Sim::names() const {
  std::vector<std::string> names;
  for (const auto& [name, worker] : workers_) names.push_back(name);
  return names;
}

}  // namespace rackmark

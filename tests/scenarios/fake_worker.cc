#include "tests/scenarios/fake_worker.h"

#include <utility>

#include "common/status.h"

namespace rackmark {

FakeWorker::FakeWorker(std::string name, uint32_t cpus, uint32_t gpus) {
  info_.set_name(name);
  info_.set_boot_id(name + "-boot");
  info_.set_host_id(name + "-host");
  for (uint32_t i = 0; i < cpus + gpus; ++i) {
    v1::Device* device = info_.add_devices();
    device->set_index(i);
    device->set_kind(i < cpus ? v1::DEVICE_KIND_CPU : v1::DEVICE_KIND_GPU);
  }
  Restart();
}

void FakeWorker::Restart() {
  leases_.clear();
  broken.clear();
  desired_.Clear();
  identity_.set_incarnation(absl::StrCat(info_.boot_id(), "/", ++incarnations_));
}

void FakeWorker::Reboot() {
  info_.set_boot_id(absl::StrCat(info_.name(), "-boot-", ++boots_));
  Restart();
}

void FakeWorker::Hear(const v1::SyncReply& reply) {
  if (deaf) return;
  identity_.set_cluster_id(reply.identity().cluster_id());
  identity_.set_epoch(reply.identity().epoch());
  desired_ = reply.desired();
}

void FakeWorker::StepRank(const v1::DesiredLease& desired, Rank& rank) {
  const auto to = [&](v1::RankPhase phase) {
    if (phase <= hold) rank.phase = phase;
  };
  if (rank.phase >= v1::RANK_PHASE_WARMING && rank.phase < v1::RANK_PHASE_DONE) {
    if (frozen) return;
    ++rank.progress;
  }
  if (rank.phase == v1::RANK_PHASE_STARTING) return to(v1::RANK_PHASE_CARDED);
  if (rank.phase == v1::RANK_PHASE_CARDED) {
    const bool all = desired.cards_size() == static_cast<int>(desired.world_size());
    if (desired.go() && all) to(v1::RANK_PHASE_READY);
    return;
  }
  if (!desired.has_run()) return;
  const bool same = rank.run == desired.run().run_id() && rank.attempt == desired.run().attempt();
  if (!same) {
    rank.run = desired.run().run_id();
    rank.attempt = desired.run().attempt();
    rank.phase = v1::RANK_PHASE_PREPARING;
    rank.streams[{rank.run, rank.attempt}] = false;
  }
  if (rank.phase == v1::RANK_PHASE_PREPARING) return to(v1::RANK_PHASE_PREPARED);
  if (desired.run().goal() != v1::RUN_GOAL_DONE) return;
  std::erase_if(rank.streams, [&](const auto& stream) { return stream.first.first != rank.run; });
  if (rank.phase == v1::RANK_PHASE_PREPARED) return to(v1::RANK_PHASE_MEASURING);
  if (rank.phase == v1::RANK_PHASE_MEASURING) to(v1::RANK_PHASE_DONE);
  rank.streams[{rank.run, rank.attempt}] = rank.phase == v1::RANK_PHASE_DONE;
}

void FakeWorker::Step() {
  std::map<uint64_t, Lease> next;
  if (forgets) desired_.clear_leases();
  for (const v1::DesiredLease& desired : desired_.leases()) {
    const bool known = leases_.count(desired.lease_id()) != 0;
    Lease lease = leases_[desired.lease_id()];
    lease.generation = desired.generation();
    for (const v1::DesiredRank& wanted : desired.ranks()) {
      if (!known) {
        lease.ranks[wanted.rank()].device = wanted.device();
        continue;
      }
      const auto rank = lease.ranks.find(wanted.rank());
      if (rank == lease.ranks.end() || rank->second.failure.has_value()) continue;
      const auto fault = broken.find(wanted.rank());
      if (fault != broken.end()) {
        rank->second.failure = fault->second;
        const bool died = fault->second.kind() == v1::FAILURE_KIND_RANK_DIED;
        rank->second.phase = died ? v1::RANK_PHASE_EXITED : v1::RANK_PHASE_FAILED;
      } else {
        StepRank(desired, rank->second);
      }
    }
    next[desired.lease_id()] = std::move(lease);
  }
  if (!releases) next.merge(leases_);
  leases_ = std::move(next);
}

void FakeWorker::AddStreams(const Lease& lease, v1::Report& report) const {
  for (const auto& [index, rank] : lease.ranks) {
    const uint32_t lowest = lease.ranks.begin()->first;
    for (const auto& [key, closed] : rank.streams) {
      for (const v1::StreamKind kind : {v1::STREAM_KIND_RANK, v1::STREAM_KIND_NODE}) {
        const bool of_rank = kind == v1::STREAM_KIND_RANK;
        if (!of_rank && index != lowest) continue;
        v1::StreamReport* said = report.add_streams();
        said->set_run_id(key.first);
        said->set_attempt(key.second);
        said->set_kind(kind);
        said->set_stream(index);
        said->set_closed(closed);
        said->set_drained(closed && drains && (!of_rank || refused.empty()));
        if (of_rank) said->set_refused(refused);
        said->set_dropped_results(of_rank ? dropped_results : 0);
      }
    }
  }
}

v1::Report FakeWorker::MakeReport(uint64_t report_number) {
  v1::Report report;
  *report.mutable_identity() = identity_;
  *report.mutable_node() = info_;
  report.set_report_number(report_number);
  report.set_reflects_version(desired_.version());
  std::map<uint32_t, uint64_t> used;
  for (const auto& [id, lease] : leases_) {
    v1::LeaseReport* said = report.add_leases();
    said->set_lease_id(id);
    said->set_generation(lease.generation);
    for (const auto& [index, rank] : lease.ranks) {
      v1::RankReport* of_rank = said->add_ranks();
      of_rank->set_rank(index);
      of_rank->set_phase(rank.phase);
      of_rank->set_run_id(rank.run);
      of_rank->set_attempt(rank.attempt);
      if (rank.run != 0) of_rank->set_progress(rank.progress);
      if (rank.failure.has_value()) *of_rank->mutable_failure() = *rank.failure;
      if (rank.phase >= v1::RANK_PHASE_CARDED && rank.phase != v1::RANK_PHASE_EXITED) {
        of_rank->mutable_card()->set_lease_id(id);
        of_rank->mutable_card()->set_generation(lease.generation);
        of_rank->mutable_card()->set_rank(index);
        of_rank->mutable_card()->set_host_id(info_.host_id());
        if (index == 0) of_rank->mutable_card()->set_shm_name("rm-secret");
      }
      if (rank.phase != v1::RANK_PHASE_EXITED) used[rank.device] = id;
    }
    AddStreams(lease, report);
  }
  for (const v1::Device& device : info_.devices()) {
    v1::DeviceReport* said = report.add_devices();
    said->set_index(device.index());
    said->set_lease_id(used.count(device.index()) != 0 ? used[device.index()] : 0);
    said->set_healthy(unhealthy.count(device.index()) == 0);
    if (!said->healthy()) said->set_unhealthy_reason(unhealthy[device.index()]);
  }
  return report;
}

}  // namespace rackmark

#include "worker/daemon/report_builder.h"

#include <utility>

namespace rackmark {
namespace {

void AddLease(uint64_t lease_id, const LocalLease& lease, v1::Report* report) {
  v1::LeaseReport* out = report->add_leases();
  out->set_lease_id(lease_id);
  out->set_generation(lease.generation);
  for (const auto& [index, rank] : lease.ranks) {
    v1::RankReport* line = out->add_ranks();
    line->set_rank(index);
    line->set_phase(rank.phase);
    if (rank.card) *line->mutable_card() = *rank.card;
    line->set_run_id(rank.run.run_id);
    line->set_attempt(rank.run.attempt);
    if (rank.failure) *line->mutable_failure() = *rank.failure;
    line->set_pid(rank.pid);
    if (rank.rss_bytes) line->set_rss_bytes(*rank.rss_bytes);
    line->set_note(rank.note);
    line->set_transport(rank.transport);
    if (rank.run.run_id != 0) line->set_progress(rank.progress);
  }
}

size_t GlooBytes(const v1::LeaseReport& lease) {
  size_t bytes = 0;
  for (const v1::RankReport& rank : lease.ranks()) bytes += rank.card().gloo_addresses().size();
  return bytes;
}

// A card of n ranks names n - 1 addresses, so that some hundred ranks here would fill the message.
// Who has met the others needs none any more; then leases go without, the newest first: their ranks
// can meet in shared memory, or say why not.
void LimitCards(const LocalState& state, v1::Report* report) {
  size_t bytes = 0;
  for (const v1::LeaseReport& lease : report->leases()) bytes += GlooBytes(lease);
  if (bytes <= kGlooBytesMax) return;
  for (v1::LeaseReport& lease : *report->mutable_leases()) {
    const LocalLease& local = state.leases.at(lease.lease_id());
    for (v1::RankReport& rank : *lease.mutable_ranks()) {
      if (!rank.has_card() || !local.ranks.at(rank.rank()).met) continue;
      bytes -= rank.card().gloo_addresses().size();
      rank.mutable_card()->clear_gloo_addresses();
    }
  }
  for (int i = report->leases_size(); i-- > 0 && bytes > kGlooBytesMax;) {
    v1::LeaseReport& lease = *report->mutable_leases(i);
    bytes -= GlooBytes(lease);
    for (v1::RankReport& rank : *lease.mutable_ranks()) {
      if (rank.has_card()) rank.mutable_card()->clear_gloo_addresses();
    }
  }
}

// Why the device must not be used, or empty.
std::string Unhealthy(const LocalState& state, uint32_t device, Nanos now) {
  for (const auto& lease : state.leases) {
    for (const auto& entry : lease.second.ranks) {
      const LocalRank& rank = entry.second;
      if (rank.device != device || rank.reaped || !rank.killed_at) continue;
      if (now - *rank.killed_at < kUnkillable) continue;
      return "process " + std::to_string(rank.pid) + " does not die after SIGKILL";
    }
  }
  if (state.leftovers.count(device) > 0) {
    return "a rank of this worker's former incarnation still lives";
  }
  return "";
}

}  // namespace

v1::Report BuildReport(const LocalState& state, std::vector<v1::StreamReport> streams, Nanos now) {
  v1::Report report;
  for (const auto& [lease_id, lease] : state.leases) AddLease(lease_id, lease, &report);
  LimitCards(state, &report);
  for (uint32_t device = 0; device < state.device_count; ++device) {
    v1::DeviceReport* line = report.add_devices();
    line->set_index(device);
    line->set_lease_id(state.HolderOf(device).value_or(0));
    std::string reason = Unhealthy(state, device, now);
    line->set_healthy(reason.empty());
    line->set_unhealthy_reason(std::move(reason));
  }
  for (v1::StreamReport& stream : streams) *report.add_streams() = std::move(stream);
  return report;
}

std::string Fingerprint(v1::Report report) {
  for (v1::LeaseReport& lease : *report.mutable_leases()) {
    for (v1::RankReport& rank : *lease.mutable_ranks()) {
      rank.clear_rss_bytes();
      rank.clear_progress();
    }
  }
  for (v1::StreamReport& stream : *report.mutable_streams()) {
    stream.clear_sealed_seq();
    stream.clear_acked_seq();
  }
  return report.SerializeAsString();
}

}  // namespace rackmark

#include "worker/daemon/run_streams.h"

#include <algorithm>

#include "common/log.h"
#include "common/text.h"

namespace rackmark {
namespace {

StreamKey RankKey(const RankRef& ref, const RunKey& run) {
  return {run.run_id, run.attempt, v1::STREAM_KIND_RANK, ref.rank};
}

}  // namespace

void RunStreams::OnTold(const RankRef& ref, const RunKey& run) {
  streams_->Open(RankKey(ref, run));
  const auto lease = state_->leases.find(ref.lease_id);
  if (lease == state_->leases.end() || lease->second.ranks.empty()) return;
  std::erase_if(lease_of_, [this](const auto& e) { return state_->leases.count(e.second) == 0; });
  lease_of_[run] = ref.lease_id;
  const uint32_t lowest = lease->second.ranks.begin()->first;
  if (node_streams_.empty()) telemetry_->Reset();
  NodeStream& node = node_streams_[{ref.lease_id, run}];
  node.key = {run.run_id, run.attempt, v1::STREAM_KIND_NODE, lowest};
  node.working.insert(ref.rank);
  streams_->Open(node.key);
}

void RunStreams::OnSamples(const RankRef& ref, const RunKey& run, const v1::ChunkPayload& payload) {
  const absl::Status status = streams_->Append(RankKey(ref, run), payload, clock_->Monotonic());
  if (!status.ok()) {
    Log(LogLevel::kWarning, absl::StrCat("lease ", ref.lease_id, " rank ", ref.rank, " run ",
                                         run.run_id, ": ", std::string(status.message())));
  }
}

void RunStreams::OnSamplesEnd(const RankRef& ref, const RunKey& run) {
  streams_->Close(RankKey(ref, run));
}

void RunStreams::OnOver(const RankRef& ref, const RunKey& run) {
  streams_->Close(RankKey(ref, run));
  const auto node = node_streams_.find({ref.lease_id, run});
  if (node == node_streams_.end()) return;
  node->second.working.erase(ref.rank);
  if (!node->second.working.empty()) return;
  streams_->Close(node->second.key);
  node_streams_.erase(node);
}

void RunStreams::Tick(Nanos now) {
  if (node_streams_.empty()) return;
  for (const TelemetryPoint& point : telemetry_->Tick(now)) {
    for (const auto& entry : node_streams_) {
      streams_->Add(entry.second.key, point.series, point.t_ns, point.value);
    }
  }
}

std::optional<Nanos> RunStreams::NextTick() const {
  if (node_streams_.empty()) return std::nullopt;
  return telemetry_->due();
}

// To measure is told only when the run before is drained or given up: then it is no matter any
// more.
Interest RunStreams::InterestIn(const StreamKey& key) const {
  const auto found = lease_of_.find({key.run, key.attempt});
  if (found == lease_of_.end()) return Interest::kPerhaps;
  const auto lease = state_->leases.find(found->second);
  if (lease == state_->leases.end()) return Interest::kPerhaps;
  Interest interest = Interest::kPerhaps;
  for (const auto& entry : lease->second.ranks) {
    const auto& told = entry.second.told;
    if (!told) continue;
    if (told->run_id() == key.run && told->attempt() == key.attempt) return Interest::kWanted;
    if (told->goal() == v1::RUN_GOAL_DONE) interest = Interest::kOver;
  }
  return interest;
}

}  // namespace rackmark

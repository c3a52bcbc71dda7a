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

bool RunStreams::Needed(const StreamKey& key) const {
  for (const auto& lease : state_->leases) {
    for (const auto& entry : lease.second.ranks) {
      const auto& told = entry.second.told;
      if (told && told->run_id() == key.run && told->attempt() == key.attempt) return true;
    }
  }
  return false;
}

}  // namespace rackmark

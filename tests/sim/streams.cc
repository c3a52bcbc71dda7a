#include "tests/sim/streams.h"

#include <algorithm>

namespace rackmark::sim {
namespace {

constexpr Nanos kReportLinger = 60 * kSecond;  // as in worker/daemon/sample_streams.h

StreamKey RankKey(const RankRef& ref, const RunKey& run) {
  return {run.run_id, run.attempt, v1::STREAM_KIND_RANK, ref.rank};
}

}  // namespace

void Streams::NewDaemon() {
  for (auto& [key, stream] : spool_) stream.of_this_daemon = false;
  node_streams_.clear();
  lease_of_.clear();
}

void Streams::Open(const StreamKey& key) { spool_[key].of_this_daemon = true; }

void Streams::Close(const StreamKey& key) {
  const auto found = spool_.find(key);
  if (found == spool_.end() || found->second.closed || !found->second.of_this_daemon) return;
  ++found->second.sealed;
  found->second.closed = true;
}

void Streams::OnTold(const LocalState& state, const RankRef& ref, const RunKey& run) {
  Open(RankKey(ref, run));
  const auto lease = state.leases.find(ref.lease_id);
  if (lease == state.leases.end() || lease->second.ranks.empty()) return;
  std::erase_if(lease_of_, [&](const auto& e) { return state.leases.count(e.second) == 0; });
  lease_of_[run] = ref.lease_id;
  NodeStream& node = node_streams_[{ref.lease_id, run}];
  node.key = {run.run_id, run.attempt, v1::STREAM_KIND_NODE, lease->second.ranks.begin()->first};
  node.working.insert(ref.rank);
  Open(node.key);
}

void Streams::OnSamples(const RankRef& ref, const RunKey& run) {
  const auto found = spool_.find(RankKey(ref, run));
  if (found == spool_.end() || found->second.closed) return;
  ++found->second.sealed;
}

void Streams::OnSamplesEnd(const RankRef& ref, const RunKey& run) { Close(RankKey(ref, run)); }

void Streams::OnOver(const RankRef& ref, const RunKey& run) {
  Close(RankKey(ref, run));
  const auto node = node_streams_.find({ref.lease_id, run});
  if (node == node_streams_.end()) return;
  node->second.working.erase(ref.rank);
  if (!node->second.working.empty()) return;
  Close(node->second.key);
  node_streams_.erase(node);
}

std::vector<v1::StreamReport> Streams::Reports() const {
  std::vector<v1::StreamReport> reports;
  reports.reserve(spool_.size());
  for (const auto& [key, stream] : spool_) {
    v1::StreamReport& report = reports.emplace_back();
    report.set_run_id(key.run);
    report.set_attempt(key.attempt);
    report.set_kind(key.kind);
    report.set_stream(key.stream);
    report.set_sealed_seq(stream.sealed);
    report.set_acked_seq(stream.acked);
    report.set_closed(stream.closed);
    report.set_drained(stream.drained());
    report.set_refused(stream.refused);
  }
  return reports;
}

bool Streams::StillWanted(const LocalState& state, const StreamKey& key, Nanos over_at,
                          Nanos now) const {
  const bool lingers = now - over_at < kReportLinger;
  const auto found = lease_of_.find({key.run, key.attempt});
  if (found == lease_of_.end()) return lingers;
  const auto lease = state.leases.find(found->second);
  if (lease == state.leases.end()) return lingers;
  bool over = false;
  for (const auto& [index, rank] : lease->second.ranks) {
    if (!rank.told) continue;
    if (rank.told->run_id() == key.run && rank.told->attempt() == key.attempt) return true;
    over = over || rank.told->goal() == v1::RUN_GOAL_DONE;
  }
  return !over && lingers;
}

void Streams::Drop(const LocalState& state, Nanos now) {
  for (auto it = spool_.begin(); it != spool_.end();) {
    Spooled& stream = it->second;
    const bool gone = !stream.refused.empty();
    if (!stream.of_this_daemon) {  // nothing more will come: acked is enough
      it = gone || stream.acked == stream.sealed ? spool_.erase(it) : std::next(it);
      continue;
    }
    if (stream.closed && !stream.over_at && (gone || stream.drained())) stream.over_at = now;
    const bool wanted = !stream.over_at || StillWanted(state, it->first, *stream.over_at, now);
    it = wanted ? std::next(it) : spool_.erase(it);
  }
}

void Streams::Reconnected() {
  for (auto& [key, stream] : spool_) stream.sent = stream.acked;
}

v1::SampleBatch Streams::Next(const std::string& cluster_id, int max) {
  v1::SampleBatch batch;
  for (auto& [key, stream] : spool_) {
    while (stream.sent < stream.sealed && stream.refused.empty() && batch.chunks_size() < max) {
      v1::ChunkHeader& header = *batch.add_chunks()->mutable_header();
      header.set_format(1);
      header.set_cluster_id(cluster_id);
      header.set_run(key.run);
      header.set_attempt(key.attempt);
      header.set_kind(key.kind);
      header.set_stream(key.stream);
      header.set_seq(++stream.sent);
      header.set_last(stream.closed && stream.sent == stream.sealed);
    }
  }
  return batch;
}

void Streams::OnAck(const v1::SampleAck& ack) {
  for (const v1::Watermark& mark : ack.watermarks()) {
    const auto found = spool_.find({mark.run_id(), mark.attempt(), mark.kind(), mark.stream()});
    if (found == spool_.end()) continue;
    Spooled& stream = found->second;
    if (mark.refused().empty()) {
      stream.acked = std::max(stream.acked, std::min(mark.seq(), stream.sealed));
      stream.sent = std::max(stream.sent, stream.acked);
    } else {
      stream.refused = mark.refused();
    }
  }
}

bool Streams::HasUnsent() const {
  return std::any_of(spool_.begin(), spool_.end(), [](const auto& entry) {
    return entry.second.sent < entry.second.sealed && entry.second.refused.empty();
  });
}

uint64_t Streams::unacked() const {
  uint64_t count = 0;
  for (const auto& [key, stream] : spool_) count += stream.sealed - stream.acked;
  return count;
}

}  // namespace rackmark::sim

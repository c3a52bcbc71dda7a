#include "worker/daemon/sample_streams.h"

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "rpc/limits.h"

namespace rackmark {
namespace {

// Of the spool's bound. Results may use all of it, telemetry leaves a quarter to them.
constexpr double kTelemetryShare = 0.75;

bool IsTelemetry(const v1::ChunkPayload& payload, const v1::Column& column) {
  const auto id = FindSeries(payload.dictionary(static_cast<int>(column.name())));
  return id && Describe(*id).klass == SeriesClass::kTelemetry;
}

}  // namespace

void SampleStreams::Renew(Open_* stream) {
  stream->payload.Clear();
  stream->builder = std::make_unique<PayloadBuilder>(&stream->payload);
  stream->bytes = 0;
  stream->since.reset();
}

void SampleStreams::Open(const StreamKey& key) {
  const auto [it, fresh] = streams_.try_emplace(key);
  if (!fresh) return;
  it->second.provenance = provenance_;
  // A former incarnation of this daemon cannot have opened it: attempts do not outlive it. If its
  // spool says otherwise, the sequence goes on behind it.
  const auto spooled = spool_->streams().find(key);
  if (spooled != spool_->streams().end()) it->second.next_seq = spooled->second.sealed_seq + 1;
  Renew(&it->second);
}

bool SampleStreams::IsOpen(const StreamKey& key) const {
  const auto it = streams_.find(key);
  return it != streams_.end() && !it->second.closing && !it->second.closed;
}

absl::Status SampleStreams::Append(const StreamKey& key, const v1::ChunkPayload& payload,
                                   Nanos now) {
  if (!IsOpen(key)) {
    ++orphan_payloads_;
    return absl::FailedPreconditionError("samples for a stream that is not open");
  }
  Open_& stream = streams_[key];
  RETURN_IF_ERROR(stream.builder->Append(payload));
  stream.dropped_results += payload.dropped_results();
  stream.dropped_telemetry += payload.dropped_telemetry();
  if (!stream.since) stream.since = now;
  stream.bytes += payload.ByteSizeLong();  // not of the whole again: that is a walk over all points
  if (stream.bytes >= kSealBytes) Seal(key, &stream);
  return absl::OkStatus();
}

void SampleStreams::Add(const StreamKey& key, SeriesId series, Nanos t_ns, double value) {
  if (!IsOpen(key)) return;
  Open_& stream = streams_[key];
  stream.builder->Add(series, t_ns, value);
  if (!stream.since) stream.since = t_ns;
}

void SampleStreams::Close(const StreamKey& key) {
  if (!IsOpen(key)) return;
  Open_& stream = streams_[key];
  stream.closing = true;
  Seal(key, &stream);
  if (!stream.closed && !stream.since) stream.since = 0;  // tried again at the next Tick
}

void SampleStreams::Tick(Nanos now) {
  for (auto& [key, stream] : streams_) {
    if (stream.closed) continue;
    if (!stream.since || now - *stream.since < kSealInterval) continue;
    Seal(key, &stream);
    // What found no room is tried again an interval later, not in a busy loop.
    if (stream.since) stream.since = now;
  }
}

std::optional<Nanos> SampleStreams::NextSeal() const {
  std::optional<Nanos> next;
  for (const auto& entry : streams_) {
    if (entry.second.closed || !entry.second.since) continue;
    const Nanos due = *entry.second.since + kSealInterval;
    next = next ? std::min(*next, due) : due;
  }
  return next;
}

absl::Status SampleStreams::TrySeal(const StreamKey& key, Open_* stream) {
  v1::ChunkHeader header;
  header.set_cluster_id(stream->provenance.cluster_id);
  header.set_run(key.run);
  header.set_attempt(key.attempt);
  header.set_kind(key.kind);
  header.set_stream(key.stream);
  header.set_seq(stream->next_seq);
  header.set_last(stream->closing);
  header.set_node_id(stream->provenance.node_id);
  header.set_boot_id(stream->provenance.boot_id);
  ASSIGN_OR_RETURN(const v1::Chunk chunk, PackChunk(std::move(header), stream->payload));
  if (chunk.ByteSizeLong() + 64 > kSampleBatchBytesMax) {
    return absl::ResourceExhaustedError("a chunk is larger than a batch may be");
  }
  const bool telemetry = key.kind == v1::STREAM_KIND_NODE;
  RETURN_IF_ERROR(spool_->Append(chunk, telemetry ? kTelemetryShare : 1.0));
  ++stream->next_seq;
  stream->closed = stream->closing;
  Renew(stream);
  return absl::OkStatus();
}

// Whole, else without telemetry, else without results: what is left then are the counts, which wait
// for the next chunk.
void SampleStreams::Seal(const StreamKey& key, Open_* stream) {
  if (stream->next_seq > 1 && spool_->streams().count(key) == 0) {
    // Set aside: the coordinator will never take it, and its sequence is broken.
    stream->closed = stream->closing;
    return Renew(stream);
  }
  absl::Status status = TrySeal(key, stream);
  if (status.ok()) return;
  const auto tell = [&](const char* what) {
    Log(LogLevel::kWarning,
        absl::StrCat(what, " of run ", key.run, " dropped: ", std::string(status.message())));
  };
  const uint64_t telemetry = stream->dropped_telemetry, results = stream->dropped_results;
  DropTelemetry(stream, key.kind == v1::STREAM_KIND_NODE);
  if (stream->dropped_telemetry > telemetry) tell("telemetry");
  if (TrySeal(key, stream).ok()) return;
  DropResults(stream);
  if (stream->dropped_results > results) tell("results");
  TrySeal(key, stream).IgnoreError();
}

void SampleStreams::DropTelemetry(Open_* stream, bool all_columns) {
  v1::ChunkPayload kept;
  PayloadBuilder builder(&kept);
  uint64_t dropped = 0;
  for (const v1::Column& column : stream->payload.columns()) {
    if (all_columns || IsTelemetry(stream->payload, column)) {
      dropped += static_cast<uint64_t>(column.value_size());
      continue;
    }
    v1::ChunkPayload one;
    one.add_dictionary(stream->payload.dictionary(static_cast<int>(column.name())));
    *one.add_columns() = column;
    one.mutable_columns(0)->set_name(0);
    builder.Append(one).IgnoreError();  // well formed: it comes from a builder
  }
  *kept.mutable_requests() = std::move(*stream->payload.mutable_requests());
  kept.set_dropped_results(stream->payload.dropped_results());
  kept.set_dropped_telemetry(stream->payload.dropped_telemetry() + dropped);
  stream->dropped_telemetry += dropped;
  stream->payload = std::move(kept);
  stream->builder = std::make_unique<PayloadBuilder>(&stream->payload);
}

void SampleStreams::DropResults(Open_* stream) {
  uint64_t dropped = static_cast<uint64_t>(stream->payload.requests_size());
  for (const v1::Column& column : stream->payload.columns()) {
    dropped += static_cast<uint64_t>(column.value_size());
  }
  v1::ChunkPayload counts;
  counts.set_dropped_results(stream->payload.dropped_results() + dropped);
  counts.set_dropped_telemetry(stream->payload.dropped_telemetry());
  stream->dropped_results += dropped;
  stream->payload = std::move(counts);
  stream->builder = std::make_unique<PayloadBuilder>(&stream->payload);
}

std::vector<v1::StreamReport> SampleStreams::Reports() const {
  std::vector<v1::StreamReport> reports;
  const auto add = [&](const StreamKey& key) -> v1::StreamReport& {
    v1::StreamReport& report = reports.emplace_back();
    report.set_run_id(key.run);
    report.set_attempt(key.attempt);
    report.set_kind(key.kind);
    report.set_stream(key.stream);
    const auto spooled = spool_->streams().find(key);
    if (spooled == spool_->streams().end()) {
      report.set_refused(spool_->WhyAside(key));
      return report;
    }
    report.set_sealed_seq(spooled->second.sealed_seq);
    report.set_acked_seq(spooled->second.acked_seq);
    report.set_closed(spooled->second.closed);
    report.set_drained(spooled->second.drained());
    return report;
  };
  for (const auto& [key, stream] : streams_) {
    v1::StreamReport& report = add(key);
    report.set_dropped_results(stream.dropped_results);
    report.set_dropped_telemetry(stream.dropped_telemetry);
  }
  for (const auto& entry : spool_->streams()) {
    if (streams_.count(entry.first) == 0) add(entry.first);
  }
  return reports;
}

}  // namespace rackmark

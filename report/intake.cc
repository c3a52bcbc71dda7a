#include "report/intake.h"

#include <utility>

#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

// One collective is most of what a rank records, and the report reads those of rank 0 only.
bool IsRead(const IntakeKey& key, SeriesId id) {
  if (key.kind != v1::STREAM_KIND_RANK || key.stream == 0) return true;
  switch (id) {
    case SeriesId::kAllreduceBytes:
    case SeriesId::kAllreduceWait:
    case SeriesId::kAllreduceTransfer:
    case SeriesId::kAllgatherBytes:
    case SeriesId::kAllgatherWait:
    case SeriesId::kAllgatherTransfer: return false;
    default: return true;
  }
}

void Take(const IntakeKey& key, v1::ChunkPayload payload, StreamData& to) {
  for (const v1::Column& column : payload.columns()) {
    to.samples += static_cast<uint64_t>(column.value_size());
    if (column.name() >= static_cast<uint32_t>(payload.dictionary_size())) continue;
    const auto id = FindSeries(payload.dictionary(static_cast<int>(column.name())));
    // Of a newer rank: counted above, unknown here.
    if (!id || !IsRead(key, *id)) continue;
    Points& points = to.series[*id];
    ForEachPoint(column, [&](int64_t t, double value) { points.push_back({t, value}); });
  }
  to.samples += static_cast<uint64_t>(payload.requests_size());
  for (v1::RequestRecord& record : *payload.mutable_requests()) {
    to.requests.push_back(std::move(record));
  }
  to.dropped_results += payload.dropped_results();
  to.dropped_telemetry += payload.dropped_telemetry();
}

}  // namespace

bool StreamIntake::Add(const IntakeKey& key, uint64_t seq, v1::ChunkPayload payload) {
  const bool came = seq != 0 && seq <= taken;
  if (came || !early.try_emplace(seq, std::move(payload)).second) return false;
  for (auto next = early.find(taken + 1); next != early.end(); next = early.find(taken + 1)) {
    Take(key, std::move(next->second), data);
    early.erase(next);
    ++taken;
  }
  return true;
}

void StreamIntake::Close(const IntakeKey& key) {
  for (auto& [seq, payload] : early) Take(key, std::move(payload), data);
}

}  // namespace rackmark

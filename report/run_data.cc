#include "report/run_data.h"

#include <algorithm>
#include <utility>

#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

using Key = RunSummarizer::StreamKey;
using Stream = RunSummarizer::Stream;

const v1::ClockOffset* OffsetOf(const RunFacts& facts, const Stream& stream) {
  for (const v1::NodeFacts& node : facts.nodes) {
    const bool fits = node.has_clock() && node.clock().boot_id() == stream.boot_id;
    if (node.node_id() == stream.node_id && fits) return &node.clock();
  }
  return nullptr;
}

// From a stream's clock to the axis. Nodes of one boot share CLOCK_MONOTONIC: exactly 0 apart.
// Others differ by two measured offsets, and both errors count.
class Axis {
 public:
  Axis(const RunSummarizer::Streams& streams, const RunFacts& facts) : facts_(facts) {
    const auto zero = streams.find(Key{v1::STREAM_KIND_RANK, 0});
    if (zero != streams.end()) zero_ = &zero->second;
  }
  struct Shift {
    int64_t shift_ns = 0;
    int64_t uncertainty_ns = 0;
  };
  std::optional<Shift> ShiftOf(const Stream& stream) const {
    if (zero_ == nullptr || stream.boot_id == zero_->boot_id) return Shift{};
    const v1::ClockOffset* own = OffsetOf(facts_, stream);
    const v1::ClockOffset* axis = OffsetOf(facts_, *zero_);
    if (own == nullptr || axis == nullptr) return std::nullopt;
    return Shift{own->offset_ns() - axis->offset_ns(),
                 own->uncertainty_ns() + axis->uncertainty_ns()};
  }

 private:
  const RunFacts& facts_;
  const Stream* zero_ = nullptr;
};

void ShiftStamps(v1::RequestRecord& r, int64_t by) {
  if (by == 0) return;
  r.set_t_sched_ns(r.t_sched_ns() + by);
  if (r.has_t_issue_ns()) r.set_t_issue_ns(r.t_issue_ns() + by);
  if (r.has_t_first_token_ns()) r.set_t_first_token_ns(r.t_first_token_ns() + by);
  if (r.has_t_last_ns()) r.set_t_last_ns(r.t_last_ns() + by);
  if (r.has_t_end_ns()) r.set_t_end_ns(r.t_end_ns() + by);
}

void AddPayload(const v1::ChunkPayload& payload, int64_t shift, StreamData& to, RunData& data) {
  for (const v1::Column& column : payload.columns()) {
    data.samples += static_cast<uint64_t>(column.value_size());
    if (column.name() >= static_cast<uint32_t>(payload.dictionary_size())) continue;
    const auto id = FindSeries(payload.dictionary(static_cast<int>(column.name())));
    if (!id) continue;  // of a newer rank; counted above, unknown here
    Points& points = to.series[*id];
    ForEachPoint(column, [&](int64_t t, double value) { points.push_back({t + shift, value}); });
  }
  for (const v1::RequestRecord& record : payload.requests()) {
    to.requests.push_back(record);
    ShiftStamps(to.requests.back(), shift);
  }
  data.samples += static_cast<uint64_t>(payload.requests_size());
  data.dropped_results += payload.dropped_results();
  data.dropped_telemetry += payload.dropped_telemetry();
}

// Seq counts from 1 without gaps, so that the number of chunks says whether one is missing.
bool IsComplete(const Stream& stream) {
  return stream.last && !stream.chunks.empty() &&
         stream.chunks.rbegin()->first == stream.chunks.size();
}

}  // namespace

const Points& StreamData::Of(SeriesId id) const {
  static const Points* const kNone = new Points;
  const auto it = series.find(id);
  return it == series.end() ? *kNone : it->second;
}

std::optional<double> StreamData::First(SeriesId id) const {
  const Points& points = Of(id);
  if (points.empty()) return std::nullopt;
  return points.front().value;
}

const StreamData* RunData::Rank(uint32_t rank) const {
  for (const StreamData& data : ranks) {
    if (data.stream == rank) return &data;
  }
  return nullptr;
}

double RunData::SumInWindow(const Points& points) const {
  double sum = 0;
  for (const Point& point : points) {
    if (InWindow(point.t_ns)) sum += point.value;
  }
  return sum;
}

void RunData::Miss(std::string_view name, std::string_view reason) {
  v1::MissingValue value;
  value.set_name(std::string(name));
  value.set_reason(std::string(reason));
  missing.push_back(std::move(value));
}

RunData LayOut(const RunSummarizer::Streams& streams, const RunFacts& facts) {
  RunData data;
  const Axis axis(streams, facts);
  int64_t uncertainty = 0;
  for (const auto& [key, stream] : streams) {
    StreamData to;
    to.stream = key.stream;
    to.node_id = stream.node_id;
    to.complete = IsComplete(stream);
    const auto shift = axis.ShiftOf(stream);
    to.on_axis = shift.has_value();
    if (shift) {
      uncertainty = std::max(uncertainty, shift->uncertainty_ns);
    } else {
      data.Miss(absl::StrCat(key.kind == v1::STREAM_KIND_RANK ? "times of rank "
                                                              : "times of the node of rank ",
                             key.stream),
                "no clock offset is known between its node and rank 0's");
    }
    for (const auto& [seq, payload] : stream.chunks) {
      AddPayload(payload, shift ? shift->shift_ns : 0, to, data);
    }
    (key.kind == v1::STREAM_KIND_RANK ? data.ranks : data.nodes).push_back(std::move(to));
  }
  if (!streams.empty()) data.clock_uncertainty_ns = uncertainty;
  if (const StreamData* zero = data.Rank(0)) {
    const Points& start = zero->Of(SeriesId::kWindowStart);
    const Points& end = zero->Of(SeriesId::kWindowEnd);
    if (!start.empty()) data.t0_ns = start.front().t_ns;
    if (!end.empty()) data.t1_ns = end.front().t_ns;
  }
  return data;
}

}  // namespace rackmark

#include "report/run_data.h"

#include <algorithm>
#include <utility>

#include "report/intake.h"

namespace rackmark {
namespace {

const v1::ClockOffset* OffsetOf(const RunFacts& facts, const StreamIntake& stream) {
  for (const v1::NodeFacts& node : facts.nodes) {
    const bool fits = node.has_clock() && node.clock().boot_id() == stream.boot_id;
    if (node.node_id() == stream.data.node_id && fits) return &node.clock();
  }
  return nullptr;
}

// From a stream's clock to the axis. Nodes of one boot share CLOCK_MONOTONIC: exactly 0 apart.
// Others differ by two measured offsets, and both errors count.
class Axis {
 public:
  Axis(const Intake& streams, const RunFacts& facts) : facts_(facts) {
    const auto zero = streams.find(IntakeKey{v1::STREAM_KIND_RANK, 0});
    if (zero != streams.end()) zero_ = &zero->second;
  }
  struct Shift {
    int64_t shift_ns = 0;
    int64_t uncertainty_ns = 0;
  };
  std::optional<Shift> ShiftOf(const StreamIntake& stream) const {
    if (zero_ == nullptr || stream.boot_id == zero_->boot_id) return Shift{};
    const v1::ClockOffset* own = OffsetOf(facts_, stream);
    const v1::ClockOffset* axis = OffsetOf(facts_, *zero_);
    if (own == nullptr || axis == nullptr) return std::nullopt;
    return Shift{own->offset_ns() - axis->offset_ns(),
                 own->uncertainty_ns() + axis->uncertainty_ns()};
  }

 private:
  const RunFacts& facts_;
  const StreamIntake* zero_ = nullptr;
};

void ShiftStamps(v1::RequestRecord& r, int64_t by) {
  if (by == 0) return;
  r.set_t_sched_ns(r.t_sched_ns() + by);
  if (r.has_t_issue_ns()) r.set_t_issue_ns(r.t_issue_ns() + by);
  if (r.has_t_first_token_ns()) r.set_t_first_token_ns(r.t_first_token_ns() + by);
  if (r.has_t_last_ns()) r.set_t_last_ns(r.t_last_ns() + by);
  if (r.has_t_end_ns()) r.set_t_end_ns(r.t_end_ns() + by);
}

void Move(StreamData& stream, int64_t by) {
  if (by == 0) return;
  for (auto& [id, points] : stream.series) {
    for (Point& point : points) point.t_ns += by;
  }
  for (v1::RequestRecord& record : stream.requests) ShiftStamps(record, by);
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

RunData LayOut(Intake streams, const RunFacts& facts) {
  RunData data;
  const Axis axis(streams, facts);
  int64_t uncertainty = 0;
  for (auto& [key, stream] : streams) {
    StreamData& to = stream.data;
    to.stream = key.stream;
    to.complete = stream.complete();
    stream.Close(key);
    const auto shift = axis.ShiftOf(stream);
    to.on_axis = shift.has_value();
    if (shift) {
      uncertainty = std::max(uncertainty, shift->uncertainty_ns);
      Move(to, shift->shift_ns);
    } else {
      data.Miss(absl::StrCat(key.kind == v1::STREAM_KIND_RANK ? "times of rank "
                                                              : "times of the node of rank ",
                             key.stream),
                "no clock offset is known between its node and rank 0's");
    }
    data.samples += to.samples;
    data.dropped_results += to.dropped_results;
    data.dropped_telemetry += to.dropped_telemetry;
  }
  for (auto& [key, stream] : streams) {
    (key.kind == v1::STREAM_KIND_RANK ? data.ranks : data.nodes).push_back(std::move(stream.data));
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

// Bucketed series for the charts: means, and for tokens a rate. At most kBucketsMax points each.
#include <algorithm>
#include <cmath>
#include <limits>

#include "report/parts.h"

namespace rackmark {
namespace {

constexpr double kBucketsMax = 200;
constexpr double kStepBucket = 0.25;      // s, at least, for what comes with each step
constexpr double kTelemetryBucket = 1.0;  // s, at least, for what comes once a second

class Buckets {
 public:
  Buckets(const RunData& data, double step_s)
      : t0_ns_(*data.t0_ns), step_s_(std::max(step_s, data.window_s() / kBucketsMax)) {
    const double wanted = std::ceil(data.window_s() / step_s_ - 1e-9);
    sums_.resize(static_cast<size_t>(std::max(1.0, wanted)));
    counts_.resize(sums_.size());
    last_s_ = data.window_s() - static_cast<double>(sums_.size() - 1) * step_s_;
  }
  void Add(int64_t t_ns, double value) {
    const double at = static_cast<double>(t_ns - t0_ns_) / 1e9 / step_s_;
    if (at < 0 || at >= static_cast<double>(sums_.size())) return;
    sums_[static_cast<size_t>(at)] += value;
    ++counts_[static_cast<size_t>(at)];
  }
  enum class As { kMean, kRate };
  v1::TimeSeries Finish(std::string_view name, std::string_view unit, As as) const {
    v1::TimeSeries out;
    out.set_name(std::string(name));
    out.set_unit(std::string(unit));
    out.set_t0_s(0);
    out.set_step_s(step_s_);
    for (size_t i = 0; i < sums_.size(); ++i) {
      const double width = i + 1 == sums_.size() ? last_s_ : step_s_;  // the last may be cut short
      const double mean = counts_[i] > 0 ? sums_[i] / static_cast<double>(counts_[i])
                                         : std::numeric_limits<double>::quiet_NaN();
      out.add_value(as == As::kRate ? sums_[i] / width : mean);
    }
    return out;
  }
  bool empty() const {
    return std::all_of(counts_.begin(), counts_.end(), [](uint64_t n) { return n == 0; });
  }

 private:
  int64_t t0_ns_;
  double step_s_;
  double last_s_ = 0;
  std::vector<double> sums_;
  std::vector<uint64_t> counts_;
};

void AddMeans(const StreamData& stream, SeriesId id, const std::string& owner, const RunData& data,
              v1::RunSummary& out) {
  const SeriesInfo& info = Describe(id);
  if (stream.Of(id).empty() || !stream.on_axis) return;
  Buckets buckets(data, info.klass == SeriesClass::kTelemetry ? kTelemetryBucket : kStepBucket);
  for (const Point& point : stream.Of(id)) {
    if (data.InWindow(point.t_ns)) buckets.Add(point.t_ns, point.value);
  }
  if (buckets.empty()) return;
  *out.add_series() = buckets.Finish(info.name, info.unit, Buckets::As::kMean);
  out.mutable_series(out.series_size() - 1)->set_owner(owner);
}

// A counter since boot as a rate: each difference is spread over nothing but its own bucket.
void AddCounterRate(const StreamData& stream, SeriesId id, const std::string& owner,
                    const RunData& data, v1::RunSummary& out) {
  const Points& points = stream.Of(id);
  if (points.size() < 2 || !stream.on_axis) return;
  Buckets buckets(data, kTelemetryBucket);
  for (size_t i = 1; i < points.size(); ++i) {
    const double seconds = static_cast<double>(points[i].t_ns - points[i - 1].t_ns) / 1e9;
    const double counted = points[i].value - points[i - 1].value;
    // A counter that went back was reset: what it counted in between is unknown, not negative.
    if (!data.InWindow(points[i].t_ns) || seconds <= 0 || counted < 0) continue;
    buckets.Add(points[i].t_ns, counted / seconds);
  }
  if (buckets.empty()) return;
  const SeriesInfo& info = Describe(id);
  *out.add_series() =
      buckets.Finish(info.name, absl::StrCat(ToAbsl(info.unit), "/s"), Buckets::As::kMean);
  out.mutable_series(out.series_size() - 1)->set_owner(owner);
}

void AddThroughput(const RunData& data, v1::RunSummary& out) {
  Buckets output(data, kStepBucket);
  Buckets ttft(data, kStepBucket);
  for (const StreamData& rank : data.ranks) {
    if (!rank.on_axis) continue;
    for (const v1::RequestRecord& r : rank.requests) {
      if (!r.has_t_first_token_ns()) continue;
      int64_t t = r.t_first_token_ns();
      if (data.InWindow(t)) output.Add(t, 1);
      for (const int64_t gap : r.token_delta_ns()) {
        t += gap;
        if (data.InWindow(t)) output.Add(t, 1);
      }
      if (r.phase() != v1::LOAD_PHASE_MEASURE || !data.InWindow(r.t_sched_ns())) continue;
      ttft.Add(r.t_sched_ns(), static_cast<double>(r.t_first_token_ns() - r.t_sched_ns()) / 1e6);
    }
  }
  *out.add_series() = output.Finish("output.tokens", "tok/s", Buckets::As::kRate);
  Buckets prompt(data, kStepBucket);
  for (const Point& point : data.Rank(0)->Of(SeriesId::kStepPrefillTokens)) {
    if (data.InWindow(point.t_ns)) prompt.Add(point.t_ns, point.value);
  }
  *out.add_series() = prompt.Finish("prompt.tokens", "tok/s", Buckets::As::kRate);
  if (!ttft.empty()) *out.add_series() = ttft.Finish("ttft", "ms", Buckets::As::kMean);
}

std::string NodeName(const RunFacts& facts, uint64_t node_id) {
  for (const v1::RankPlace& place : facts.placement.ranks()) {
    if (place.node_id() == node_id) return absl::StrCat("node ", place.node());
  }
  return absl::StrCat("node #", node_id);
}

}  // namespace

void SummarizeSeries(const RunFacts& facts, RunData& data, v1::RunSummary& out) {
  if (facts.spec.has_serve()) {
    AddThroughput(data, out);
    const StreamData& zero = *data.Rank(0);
    for (const SeriesId id :
         {SeriesId::kRequestsRunning, SeriesId::kRequestsWaiting, SeriesId::kKvBlocksUsed}) {
      AddMeans(zero, id, "rank 0", data, out);
    }
  }
  for (const StreamData& rank : data.ranks) {
    AddMeans(rank, SeriesId::kRankRss, absl::StrCat("rank ", rank.stream), data, out);
  }
  for (const StreamData& node : data.nodes) {
    const std::string owner = NodeName(facts, node.node_id);
    AddMeans(node, SeriesId::kHostCpuBusy, owner, data, out);
    AddMeans(node, SeriesId::kHostMemoryUsed, owner, data, out);
    AddCounterRate(node, SeriesId::kNetworkReceived, owner, data, out);
    AddCounterRate(node, SeriesId::kNetworkSent, owner, data, out);
  }
  const auto has = [&](const StreamData& node) {
    return !node.Of(SeriesId::kNetworkReceived).empty();
  };
  if (std::none_of(data.nodes.begin(), data.nodes.end(), has)) {
    data.Miss("network bytes", "no node recorded its interfaces' counters");
  }
}

}  // namespace rackmark

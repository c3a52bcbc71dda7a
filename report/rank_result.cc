// Where the ranks' time went: steps, lateness, collectives, and what recording it all cost.
#include <algorithm>
#include <bit>
#include <map>
#include <set>
#include <utility>

#include "report/parts.h"

namespace rackmark {
namespace {

using Field = double Step::*;
constexpr std::pair<SeriesId, Field> kStepFields[] = {
    {SeriesId::kStepCompute, &Step::compute_s},
    {SeriesId::kStepCollectiveWait, &Step::wait_s},
    {SeriesId::kStepCollectiveTransfer, &Step::transfer_s},
    {SeriesId::kStepPlanWait, &Step::plan_wait_s},
    {SeriesId::kStepHost, &Step::host_s},
    {SeriesId::kStepDecodeTokens, &Step::decode_tokens},
    {SeriesId::kStepPrefillTokens, &Step::prefill_tokens},
};

std::optional<double> Total(const StreamData& rank, const RunData& data, SeriesId id) {
  const Points& points = rank.Of(id);
  if (points.empty() || !rank.on_axis) return std::nullopt;
  return data.SumInWindow(points);
}

void FillSplit(const StreamData& rank, const RunData& data, v1::RankResult& out) {
  const auto total = [&](SeriesId id) { return Total(rank, data, id); };
  if (const auto v = total(SeriesId::kStepCompute)) out.set_compute_s(*v);
  if (const auto v = total(SeriesId::kStepCollectiveWait)) out.set_collective_wait_s(*v);
  if (const auto v = total(SeriesId::kStepCollectiveTransfer)) out.set_collective_transfer_s(*v);
  if (const auto v = total(SeriesId::kStepPlanWait)) out.set_plan_wait_s(*v);
  if (const auto v = total(SeriesId::kStepHost)) out.set_host_s(*v);
  if (const auto v = total(SeriesId::kStepLateness)) out.set_lateness_s(*v);
}

void FillRank(const StreamData& rank, const RunData& data, v1::RankResult& out) {
  if (const auto steps = rank.First(SeriesId::kNullSteps)) {
    out.set_steps(static_cast<uint64_t>(*steps));
  } else if (rank.on_axis) {
    out.set_steps(StepsInWindow(rank, data).size());
  }
  FillSplit(rank, data, out);
  std::optional<double> rss;
  for (const Point& p : rank.Of(SeriesId::kRankRss)) rss = std::max(rss.value_or(0), p.value);
  if (rss) out.set_rss_peak_bytes(static_cast<uint64_t>(*rss));
  if (const auto v = rank.First(SeriesId::kReadBandwidth)) out.set_read_bytes_s(*v);
  if (const auto v = rank.First(SeriesId::kWeightsBytes)) {
    out.set_weights_bytes(static_cast<uint64_t>(*v));
  }
  if (const auto v = rank.First(SeriesId::kKvBytes)) out.set_kv_bytes(static_cast<uint64_t>(*v));
}

struct Collective {
  const char* op;
  SeriesId bytes, wait, transfer;
  double passes;  // of (n-1)/n of the bytes that cross a rank's link
};
constexpr Collective kCollectives[] = {
    {"allreduce", SeriesId::kAllreduceBytes, SeriesId::kAllreduceWait, SeriesId::kAllreduceTransfer,
     2},
    {"allgather", SeriesId::kAllgatherBytes, SeriesId::kAllgatherWait, SeriesId::kAllgatherTransfer,
     1},
};

struct SizeClass {
  uint64_t count = 0;
  double bytes = 0, wait_s = 0, transfer_s = 0;
};

const char* TransportName(double code) {
  if (code == static_cast<double>(TransportCode::kShm)) return "shm";
  if (code == static_cast<double>(TransportCode::kGloo)) return "gloo";
  if (code == static_cast<double>(TransportCode::kNccl)) return "nccl";
  if (code == static_cast<double>(TransportCode::kMixed)) return "gloo+shm";
  return code == static_cast<double>(TransportCode::kSolo) ? "none" : "unknown to this build";
}

void SummarizeCollective(const Collective& kind, const RunData& data, int gang,
                         v1::RunSummary& out) {
  const StreamData& zero = *data.Rank(0);
  const std::optional<double> transport = zero.First(SeriesId::kGangTransport);
  const Points& bytes = zero.Of(kind.bytes);
  const Points& wait = zero.Of(kind.wait);
  const Points& transfer = zero.Of(kind.transfer);
  std::map<uint64_t, SizeClass> classes;
  const size_t pairs = std::min({bytes.size(), wait.size(), transfer.size()});
  for (size_t i = 0; i < pairs; ++i) {
    if (!data.InWindow(bytes[i].t_ns) || bytes[i].value < 1) continue;
    SizeClass& of = classes[std::bit_ceil(static_cast<uint64_t>(bytes[i].value))];
    ++of.count;
    of.bytes += bytes[i].value;
    of.wait_s += wait[i].value;
    of.transfer_s += transfer[i].value;
  }
  for (const auto& [size, of] : classes) {
    v1::CollectiveResult* result = out.add_collectives();
    result->set_op(kind.op);
    result->set_bytes(size);
    result->set_count(of.count);
    result->set_total_bytes(static_cast<uint64_t>(of.bytes));
    result->set_transfer_s(of.transfer_s);
    result->set_wait_s(of.wait_s);
    if (transport) result->set_transport(TransportName(*transport));
    if (gang < 2 || of.transfer_s <= 0) continue;
    result->set_busbw_bytes_s(of.bytes * kind.passes * (gang - 1) / gang / of.transfer_s);
  }
}

// Points of the window that the rank recorded because it was measured, requests aside.
double SamplesInWindow(const StreamData& rank, const RunData& data) {
  double count = 0;
  for (const auto& [id, points] : rank.series) {
    if (Describe(id).klass != SeriesClass::kResult) continue;
    for (const Point& point : points) count += data.InWindow(point.t_ns) ? 1 : 0;
  }
  return count;
}

// Of all nodes together; missing if one is, because the sum of the others would look cheaper.
std::optional<double> DaemonCpuShare(const RunData& data, size_t nodes) {
  double share = 0;
  size_t counted = 0;
  for (const StreamData& node : data.nodes) {
    if (!node.on_axis) continue;
    const Point* first = nullptr;
    const Point* last = nullptr;
    for (const Point& point : node.Of(SeriesId::kDaemonCpu)) {
      if (!data.InWindow(point.t_ns)) continue;
      if (first == nullptr) first = &point;
      last = &point;
    }
    if (first == nullptr || last->t_ns <= first->t_ns) continue;
    const double wall = static_cast<double>(last->t_ns - first->t_ns) / 1e9;
    share += (last->value - first->value) / wall;
    ++counted;
  }
  if (counted == 0 || counted < nodes) return std::nullopt;
  return share;
}

// Adds one field's points, ascending by time, to the steps of their stamps; a stamp that is new
// makes a step. Mostly all fields have the same stamps, and nothing is moved.
void JoinField(const Points& points, Field field, const RunData& data, std::vector<Step>& steps) {
  std::vector<Step> fresh;
  size_t at = 0;
  for (const Point& point : points) {
    if (!data.InWindow(point.t_ns)) continue;
    while (at < steps.size() && steps[at].t_ns < point.t_ns) ++at;
    if (at < steps.size() && steps[at].t_ns == point.t_ns) {
      steps[at].*field += point.value;
    } else if (!fresh.empty() && fresh.back().t_ns == point.t_ns) {
      fresh.back().*field += point.value;
    } else {
      fresh.emplace_back().t_ns = point.t_ns;
      fresh.back().*field += point.value;
    }
  }
  if (fresh.empty()) return;
  const auto middle = static_cast<std::ptrdiff_t>(steps.size());
  steps.insert(steps.end(), fresh.begin(), fresh.end());
  std::inplace_merge(steps.begin(), steps.begin() + middle, steps.end(),
                     [](const Step& a, const Step& b) { return a.t_ns < b.t_ns; });
}

}  // namespace

std::vector<Step> StepsInWindow(const StreamData& rank, const RunData& data) {
  std::vector<Step> steps;  // ascending by time
  for (const auto& [id, field] : kStepFields) {
    const Points& points = rank.Of(id);
    // A rank writes its points in order of time; what did not come so is put in order first.
    const auto earlier = [](const Point& a, const Point& b) { return a.t_ns < b.t_ns; };
    if (std::is_sorted(points.begin(), points.end(), earlier)) {
      JoinField(points, field, data, steps);
    } else {
      Points sorted = points;
      std::stable_sort(sorted.begin(), sorted.end(), earlier);
      JoinField(sorted, field, data, steps);
    }
  }
  return steps;
}

void SummarizeRanks(const RunFacts& facts, RunData& data, v1::RunSummary& out) {
  for (const v1::RankPlace& place : facts.placement.ranks()) {
    v1::RankResult* result = out.add_ranks();
    result->set_rank(place.rank());
    result->set_node(place.node());
    result->set_device(place.device());
    if (const StreamData* rank = data.Rank(place.rank())) {
      FillRank(*rank, data, *result);
    } else {
      data.Miss(absl::StrCat("rank ", place.rank()), "none of its samples arrived");
    }
  }
  for (const Collective& kind : kCollectives) {
    SummarizeCollective(kind, data, facts.placement.ranks_size(), out);
  }
  if (out.collectives_size() == 0) {
    data.Miss("collectives", facts.placement.ranks_size() < 2 ? "a gang of one has none"
                                                              : "none ran in the window");
  }
}

void SummarizeOverhead(const RunFacts& facts, RunData& data, v1::Overhead& out) {
  const StreamData& zero = *data.Rank(0);
  double steps = 0, seconds = 0;
  if (const auto null_steps = zero.First(SeriesId::kNullSteps)) {
    steps = *null_steps;  // they do nothing: their time is the window
    seconds = data.window_s();
  } else {
    for (const Step& step : StepsInWindow(zero, data)) {
      ++steps;
      seconds += step.total_s();
    }
  }
  const auto cost = zero.First(SeriesId::kInstrumentNsPerSample);
  if (cost) out.set_ns_per_sample(*cost);
  if (!cost) data.Miss("instrument cost", "rank 0 did not run the null workload before the run");
  if (steps > 0) out.set_samples_per_step(SamplesInWindow(zero, data) / steps);
  if (steps > 0 && seconds > 0 && cost) {
    out.set_share_of_step(*cost * 1e-9 * out.samples_per_step() / (seconds / steps));
  }
  std::set<uint64_t> nodes;
  for (const v1::RankPlace& place : facts.placement.ranks()) nodes.insert(place.node_id());
  if (const auto share = DaemonCpuShare(data, nodes.size())) {
    out.set_daemon_cpu_share(*share);
  } else {
    data.Miss("daemon CPU share", facts.placement.ranks_size() == 0
                                      ? "the run was never placed"
                                      : "a node has fewer than two telemetry ticks "
                                        "in the window");
  }
}

void SummarizeNull(RunData& data, v1::NullResult& out) {
  const StreamData* zero = data.Rank(0);
  double steps = 0, samples = 0;
  for (const StreamData& rank : data.ranks) {
    if (!rank.First(SeriesId::kNullSteps)) {
      data.Miss(absl::StrCat("null steps of rank ", rank.stream), "it did not end its window");
    }
    steps += rank.First(SeriesId::kNullSteps).value_or(0);
    samples += rank.First(SeriesId::kNullSamples).value_or(0);
  }
  out.set_steps(static_cast<uint64_t>(steps));
  out.set_samples(static_cast<uint64_t>(samples));
  const auto cost = zero ? zero->First(SeriesId::kInstrumentNsPerSample) : std::nullopt;
  if (cost) out.set_ns_per_sample(*cost);
}

}  // namespace rackmark

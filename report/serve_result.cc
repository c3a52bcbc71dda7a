// Latencies, throughput and the memory floor of a serving run. Formulas: report/summarize.h.
#include <algorithm>
#include <cmath>
#include <utility>

#include "common/stats.h"
#include "common/time.h"
#include "report/parts.h"

namespace rackmark {
namespace {

constexpr double kNsPerMs = 1e6;
constexpr int64_t kGraceMin = 2 * kSecond;
constexpr int64_t kGraceFraction = 10;  // of the window: a tenth
constexpr size_t kCdfPointsMax = 200;

double Ms(int64_t ns) { return static_cast<double>(ns) / kNsPerMs; }

std::optional<int64_t> LastToken(const v1::RequestRecord& r) {
  if (r.has_t_last_ns()) return r.t_last_ns();
  if (r.has_t_end_ns()) return r.t_end_ns();
  return std::nullopt;
}

// Calls f(stamp) for each token that the request got.
template <typename F>
void ForEachToken(const v1::RequestRecord& r, F f) {
  if (!r.has_t_first_token_ns()) return;
  int64_t t = r.t_first_token_ns();
  f(t);
  for (const int64_t gap : r.token_delta_ns()) f(t += gap);
}

struct Latencies {
  std::vector<double> ttft, ttft_service, tpot, itl, e2e;
};

void AddLatencies(const v1::RequestRecord& r, Latencies& to) {
  if (!r.has_t_first_token_ns()) return;
  const int64_t ttft = r.t_first_token_ns() - r.t_sched_ns();
  to.ttft.push_back(Ms(ttft));
  if (r.has_t_issue_ns()) to.ttft_service.push_back(Ms(r.t_first_token_ns() - r.t_issue_ns()));
  for (const int64_t gap : r.token_delta_ns()) to.itl.push_back(Ms(gap));
  const auto last = LastToken(r);
  if (r.finish() != v1::FINISH_REASON_LENGTH || !last) return;
  const int64_t e2e = *last - r.t_sched_ns();
  to.e2e.push_back(Ms(e2e));
  if (r.output_tokens() > 1) to.tpot.push_back(Ms(e2e - ttft) / (r.output_tokens() - 1));
}

struct Counts {
  uint64_t scheduled = 0, completed = 0, in_time = 0, in_window = 0, failed = 0, tokens = 0;
};

void CountRequests(const RunData& data, Counts& counts, Latencies& latencies) {
  const int64_t window = *data.t1_ns - *data.t0_ns;
  const int64_t deadline = *data.t1_ns + std::max(kGraceMin, window / kGraceFraction);
  for (const StreamData& rank : data.ranks) {
    if (!rank.on_axis) continue;
    for (const v1::RequestRecord& r : rank.requests) {
      ForEachToken(r, [&](int64_t t) { counts.tokens += data.InWindow(t) ? 1U : 0U; });
      if (r.phase() != v1::LOAD_PHASE_MEASURE || !data.InWindow(r.t_sched_ns())) continue;
      ++counts.scheduled;
      const bool done = r.finish() == v1::FINISH_REASON_LENGTH;
      const auto last = LastToken(r);
      if (done) ++counts.completed;
      if (done && last && *last <= deadline) ++counts.in_time;
      if (done && last && data.InWindow(*last)) ++counts.in_window;
      const bool failed =
          r.finish() == v1::FINISH_REASON_ERROR || r.finish() == v1::FINISH_REASON_REJECTED;
      if (failed) ++counts.failed;
      AddLatencies(r, latencies);
    }
  }
}

void FillRates(const RunFacts& facts, const Counts& counts, RunData& data, v1::ServeResult& out) {
  const double window = data.window_s();
  const StreamData& zero = *data.Rank(0);  // a window implies it
  double prompt_tokens = data.SumInWindow(zero.Of(SeriesId::kStepPrefillTokens));
  out.set_prompt_tokens(static_cast<uint64_t>(prompt_tokens));
  out.set_output_tokens(counts.tokens);
  const double tokens = static_cast<double>(counts.tokens);
  out.set_output_tok_s(tokens / window);
  out.set_total_tok_s((tokens + prompt_tokens) / window);
  if (facts.placement.ranks_size() > 0) {
    out.set_output_tok_s_device(tokens / window / facts.placement.ranks_size());
  }
  // Not `completed`: those of the grace would make a short window's rate too good.
  out.set_completed_rate(static_cast<double>(counts.in_window) / window);
  if (const auto rate = zero.First(SeriesId::kRequestedRate)) {
    out.set_requested_rate(*rate);
  } else {
    data.Miss("requested rate", "rank 0 did not record load.rate");
  }
  const v1::Load& load = facts.spec.serve().load();
  if (load.has_auto_()) out.set_auto_share(load.auto_().share());
  if (const auto rate = zero.First(SeriesId::kCalibrationRate)) {
    out.set_capacity_rate(*rate);
  } else {
    data.Miss("capacity rate", load.has_auto_() ? "the calibration recorded no load.capacity"
                                                : "the rate was given, so nothing was calibrated");
  }
}

// Steps that only decode give the speed that the floor speaks about.
void FillDecode(RunData& data, v1::ServeResult& out) {
  double tokens = 0, seconds = 0, steps = 0;
  for (const Step& step : StepsInWindow(*data.Rank(0), data)) {
    if (step.decode_tokens <= 0 || step.prefill_tokens > 0) continue;
    tokens += step.decode_tokens;
    seconds += step.total_s();
    ++steps;
  }
  if (steps == 0 || seconds <= 0) {
    data.Miss("decode tok/s", "no step in the window did nothing but decode");
    return;
  }
  out.set_decode_tok_s(tokens / seconds);
  out.set_decode_batch(tokens / steps);
}

void FillFloor(const RunFacts& facts, RunData& data, v1::ServeResult& out) {
  const StreamData& zero = *data.Rank(0);
  double read = 0;
  for (const v1::RankPlace& place : facts.placement.ranks()) {
    const StreamData* rank = data.Rank(place.rank());
    const auto own = rank ? rank->First(SeriesId::kReadBandwidth) : std::nullopt;
    if (!own || *own <= 0) {
      return data.Miss("decode floor",
                       absl::StrCat("rank ", place.rank(), " measured no read bandwidth"));
    }
    read += *own;
  }
  if (read > 0) out.set_read_bytes_s(read);
  const auto per_step = zero.First(SeriesId::kFloorBytesPerStep);
  const auto per_token = zero.First(SeriesId::kFloorBytesPerToken);
  if (read <= 0 || !per_step || !per_token) {
    return data.Miss("decode floor", "rank 0 did not record the bytes that a step reads");
  }
  if (!out.has_decode_batch()) {
    return data.Miss("decode floor", "no step in the window did nothing but decode");
  }
  const double step_bytes = *per_step + out.decode_batch() * *per_token;
  if (step_bytes <= 0) return data.Miss("decode floor", "a step is said to read no bytes");
  out.set_floor_tok_s(out.decode_batch() / (step_bytes / read));
  out.set_floor_share(out.decode_tok_s() / out.floor_tok_s());
}

std::optional<double> PeakInWindow(const RunData& data, SeriesId id) {
  std::optional<double> peak;
  for (const Point& point : data.Rank(0)->Of(id)) {
    if (data.InWindow(point.t_ns)) peak = std::max(peak.value_or(point.value), point.value);
  }
  return peak;
}

void FillPeaks(RunData& data, v1::ServeResult& out) {
  if (const auto v = PeakInWindow(data, SeriesId::kRequestsRunning)) out.set_peak_running(*v);
  if (const auto v = PeakInWindow(data, SeriesId::kRequestsWaiting)) out.set_peak_waiting(*v);
  if (const auto v = PeakInWindow(data, SeriesId::kKvBlocksUsed)) out.set_peak_kv_blocks(*v);
  const StreamData& zero = *data.Rank(0);
  if (const auto v = zero.First(SeriesId::kKvBlocksTotal)) out.set_kv_blocks_total(*v);
  const Points& wasted = zero.Of(SeriesId::kWastedSlots);
  if (wasted.empty()) {
    data.Miss("wasted slots", "requests end at their planned length; no stop token is waited for");
  } else {
    out.set_wasted_slots(static_cast<uint64_t>(data.SumInWindow(wasted)));
  }
}

// Over the requests that were prefilled, as an engine's own counters would have it.
void FillPrefixHits(RunData& data, v1::ServeResult& out) {
  uint64_t cached = 0, prompt = 0;
  for (const StreamData& rank : data.ranks) {
    for (const v1::RequestRecord& r : rank.requests) {
      if (!r.has_cached_tokens() || r.phase() != v1::LOAD_PHASE_MEASURE) continue;
      cached += r.cached_tokens();
      prompt += r.prompt_tokens();
    }
  }
  if (prompt == 0) {
    return data.Miss("prefix cache hit rate", "no prefix reuse in this workload");
  }
  out.set_prefix_hit_share(static_cast<double>(cached) / static_cast<double>(prompt));
}

// Each distinct value with the share at or below it, thinned evenly; the ends are kept.
void FillCdf(const std::vector<double>& sorted, v1::Quantiles& out) {
  const size_t n = sorted.size();
  const size_t points = std::min(n, kCdfPointsMax);
  for (size_t i = 0; i < points; ++i) {
    const size_t at = points == 1 ? n - 1 : i * (n - 1) / (points - 1);
    const auto end = std::upper_bound(sorted.begin(), sorted.end(), sorted[at]);
    const double share = static_cast<double>(end - sorted.begin()) / static_cast<double>(n);
    const int size = out.cdf_size();
    if (size > 0 && out.cdf(size - 1).value() == sorted[at]) continue;
    v1::CdfPoint* point = out.add_cdf();
    point->set_value(sorted[at]);
    point->set_share(share);
  }
}

// Quantiles of those that got there are too good by those that did not; nobody may overlook that.
void MissCensored(const v1::ServeResult& serve, RunData& data) {
  const std::pair<const char*, uint64_t> reached[] = {{"TTFT", serve.ttft_ms().count()},
                                                      {"E2E", serve.e2e_ms().count()}};
  for (const auto& [name, count] : reached) {
    if (count == 0 || count >= serve.requests_scheduled()) continue;
    data.Miss(absl::StrCat(name, " of ", serve.requests_scheduled() - count, " requests"),
              absl::StrCat("they did not get that far; the quantiles are of the other ", count));
  }
}

}  // namespace

v1::Quantiles QuantilesOf(std::vector<double> values, std::string_view unit) {
  v1::Quantiles out;
  out.set_unit(std::string(unit));
  out.set_count(values.size());
  if (values.empty()) return out;
  std::sort(values.begin(), values.end());
  out.set_mean(*Mean(values));
  out.set_min(values.front());
  out.set_p50(*NearestRank(values, 0.50));
  out.set_p90(*NearestRank(values, 0.90));
  out.set_p95(*NearestRank(values, 0.95));
  out.set_p99(*NearestRank(values, 0.99));
  out.set_max(values.back());
  FillCdf(values, out);
  return out;
}

double WrongLengths(const RunData& data) {
  double wrong = 0;
  for (const StreamData& rank : data.ranks) {
    for (const v1::RequestRecord& r : rank.requests) {
      const bool ended = r.finish() == v1::FINISH_REASON_LENGTH;
      if (ended && r.output_tokens() != r.output_tokens_planned()) ++wrong;
    }
  }
  return wrong;
}

void SummarizeServe(const RunFacts& facts, RunData& data, v1::ServeResult& out) {
  Counts counts;
  Latencies latencies;
  CountRequests(data, counts, latencies);
  out.set_window_s(data.window_s());
  // A record that never came is a request that was not delivered: the schedule's own count wins.
  const auto planned = data.Rank(0)->First(SeriesId::kRequestsScheduled);
  out.set_requests_scheduled(
      std::max(counts.scheduled, planned ? static_cast<uint64_t>(*planned) : 0));
  out.set_requests_completed(counts.completed);
  out.set_requests_failed(counts.failed);
  if (out.requests_scheduled() > 0) {
    out.set_delivered_share(static_cast<double>(counts.in_time) /
                            static_cast<double>(out.requests_scheduled()));
  } else {
    data.Miss("delivered share", "no request was scheduled in the window");
  }
  FillRates(facts, counts, data, out);
  *out.mutable_ttft_ms() = QuantilesOf(std::move(latencies.ttft), "ms");
  *out.mutable_ttft_service_ms() = QuantilesOf(std::move(latencies.ttft_service), "ms");
  *out.mutable_tpot_ms() = QuantilesOf(std::move(latencies.tpot), "ms");
  *out.mutable_itl_ms() = QuantilesOf(std::move(latencies.itl), "ms");
  *out.mutable_e2e_ms() = QuantilesOf(std::move(latencies.e2e), "ms");
  const std::pair<const char*, const v1::Quantiles*> distributions[] = {{"TTFT", &out.ttft_ms()},
                                                                        {"TPOT", &out.tpot_ms()},
                                                                        {"ITL", &out.itl_ms()},
                                                                        {"E2E", &out.e2e_ms()}};
  for (const auto& [name, quantiles] : distributions) {
    if (quantiles->count() == 0) data.Miss(name, "no request of the window got that far");
  }
  MissCensored(out, data);
  FillDecode(data, out);
  FillFloor(facts, data, out);
  FillPeaks(data, out);
  FillPrefixHits(data, out);
}

}  // namespace rackmark

#include "report/metrics.h"

#include <string_view>
#include <utility>

#include "common/status.h"
#include "report/words.h"

namespace rackmark {
namespace {

class List {
 public:
  explicit List(const v1::RunSummary& run) : run_(run) {}

  // `reason` is the name under which the summary says why the number is missing.
  void Add(std::string_view name, std::string_view unit, std::optional<double> value,
           std::string_view reason = "") {
    Metric metric{of_, std::string(name), std::string(unit), value, ""};
    if (!value) metric.missing = MissingReason(run_, reason.empty() ? name : reason);
    metrics_.push_back(std::move(metric));
  }
  void Quantiles(std::string_view name, std::string_view reason, const v1::Quantiles& q) {
    const auto if_any = [&](double value) {
      return q.count() > 0 ? std::optional<double>(value) : std::nullopt;
    };
    const auto called = [&](const char* what) { return absl::StrCat(ToAbsl(name), " ", what); };
    Add(called("values"), "values", static_cast<double>(q.count()));
    Add(called("mean"), "ms", if_any(q.mean()), reason);
    Add(called("min"), "ms", if_any(q.min()), reason);
    Add(called("p50"), "ms", if_any(q.p50()), reason);
    Add(called("p90"), "ms", if_any(q.p90()), reason);
    Add(called("p95"), "ms", if_any(q.p95()), reason);
    Add(called("p99"), "ms", if_any(q.p99()), reason);
    Add(called("max"), "ms", if_any(q.max()), reason);
  }
  void Of(std::string of) { of_ = std::move(of); }
  std::vector<Metric> Take() { return std::move(metrics_); }

 private:
  const v1::RunSummary& run_;
  std::string of_ = "run";
  std::vector<Metric> metrics_;
};

std::optional<double> If(bool has, double value) {
  return has ? std::optional<double>(value) : std::nullopt;
}
std::optional<double> If(bool has, uint64_t value) { return If(has, static_cast<double>(value)); }

void AddServe(const v1::ServeResult& s, List& list) {
  list.Add("window", "s", s.window_s());
  list.Add("requests scheduled", "requests", static_cast<double>(s.requests_scheduled()));
  list.Add("requests completed", "requests", static_cast<double>(s.requests_completed()));
  list.Add("requests failed", "requests", static_cast<double>(s.requests_failed()));
  list.Add("delivered share", "1", If(s.has_delivered_share(), s.delivered_share()));
  list.Add("requested rate", "requests/s", If(s.has_requested_rate(), s.requested_rate()));
  list.Add("capacity rate", "requests/s", If(s.has_capacity_rate(), s.capacity_rate()));
  list.Add("completed rate", "requests/s", If(s.has_completed_rate(), s.completed_rate()));
  list.Add("output tokens", "tokens", static_cast<double>(s.output_tokens()));
  list.Add("prompt tokens", "tokens", static_cast<double>(s.prompt_tokens()));
  list.Add("output tok/s", "tok/s", If(s.has_output_tok_s(), s.output_tok_s()));
  list.Add("output tok/s per device", "tok/s",
           If(s.has_output_tok_s_device(), s.output_tok_s_device()), "output tok/s");
  list.Add("total tok/s", "tok/s", If(s.has_total_tok_s(), s.total_tok_s()));
  list.Quantiles("TTFT", "TTFT", s.ttft_ms());
  list.Quantiles("TTFT, service view", "TTFT", s.ttft_service_ms());
  list.Quantiles("TPOT", "TPOT", s.tpot_ms());
  list.Quantiles("ITL", "ITL", s.itl_ms());
  list.Quantiles("E2E", "E2E", s.e2e_ms());
  list.Add("decode tok/s", "tok/s", If(s.has_decode_tok_s(), s.decode_tok_s()));
  list.Add("decode batch", "sequences", If(s.has_decode_batch(), s.decode_batch()), "decode tok/s");
  list.Add("decode floor tok/s", "tok/s", If(s.has_floor_tok_s(), s.floor_tok_s()), "decode floor");
  list.Add("decode share of floor", "1", If(s.has_floor_share(), s.floor_share()), "decode floor");
  list.Add("read bandwidth", "B/s", If(s.has_read_bytes_s(), s.read_bytes_s()), "decode floor");
  list.Add("peak running", "requests", If(s.has_peak_running(), s.peak_running()));
  list.Add("peak waiting", "requests", If(s.has_peak_waiting(), s.peak_waiting()));
  list.Add("peak KV blocks", "blocks", If(s.has_peak_kv_blocks(), s.peak_kv_blocks()));
  list.Add("KV blocks", "blocks", If(s.has_kv_blocks_total(), s.kv_blocks_total()));
  list.Add("wasted slots", "tokens", If(s.has_wasted_slots(), s.wasted_slots()));
  list.Add("prefix cache hit rate", "1", If(s.has_prefix_hit_share(), s.prefix_hit_share()));
}

void AddRank(const v1::RankResult& r, List& list) {
  const auto seconds = [&](const char* name, bool has, double value) {
    list.Add(name, "s", If(has, value));
  };
  list.Of(absl::StrCat("rank ", r.rank()));
  list.Add("steps", "steps", static_cast<double>(r.steps()));
  seconds("compute", r.has_compute_s(), r.compute_s());
  seconds("collective wait", r.has_collective_wait_s(), r.collective_wait_s());
  seconds("collective transfer", r.has_collective_transfer_s(), r.collective_transfer_s());
  seconds("plan wait", r.has_plan_wait_s(), r.plan_wait_s());
  seconds("host", r.has_host_s(), r.host_s());
  seconds("lateness", r.has_lateness_s(), r.lateness_s());
  list.Add("RSS peak", "B", If(r.has_rss_peak_bytes(), r.rss_peak_bytes()));
  list.Add("read bandwidth", "B/s", If(r.has_read_bytes_s(), r.read_bytes_s()));
  list.Add("weights", "B", If(r.has_weights_bytes(), r.weights_bytes()));
  list.Add("KV cache", "B", If(r.has_kv_bytes(), r.kv_bytes()));
}

void AddCollective(const v1::CollectiveResult& c, List& list) {
  list.Of(absl::StrCat(c.op(), " up to ", c.bytes(), " B"));
  list.Add("count", "collectives", static_cast<double>(c.count()));
  list.Add("bytes", "B", static_cast<double>(c.total_bytes()));
  list.Add("transfer", "s", If(c.has_transfer_s(), c.transfer_s()));
  list.Add("wait", "s", If(c.has_wait_s(), c.wait_s()));
  list.Add("bus bandwidth", "B/s", If(c.has_busbw_bytes_s(), c.busbw_bytes_s()));
}

void AddRunFacts(const v1::RunSummary& run, List& list) {
  const v1::Overhead& o = run.overhead();
  list.Of("instrument");
  list.Add("cost of a sample", "ns", If(o.has_ns_per_sample(), o.ns_per_sample()),
           "instrument cost");
  list.Add("samples in a step", "samples", If(o.has_samples_per_step(), o.samples_per_step()),
           "instrument cost");
  list.Add("share of a step", "1", If(o.has_share_of_step(), o.share_of_step()), "instrument cost");
  list.Add("daemon CPU share", "1", If(o.has_daemon_cpu_share(), o.daemon_cpu_share()));
  list.Of("run");
  list.Add("samples", "samples", static_cast<double>(run.samples()));
  list.Add("packed bytes", "B", static_cast<double>(run.packed_bytes()));
  list.Add("results dropped", "results", static_cast<double>(run.dropped_results()));
  list.Add("telemetry dropped", "points", static_cast<double>(run.dropped_telemetry()));
  std::optional<double> clock;
  if (run.has_clock_uncertainty_ns()) clock = static_cast<double>(run.clock_uncertainty_ns());
  list.Add("clock uncertainty", "ns", clock);
}

}  // namespace

std::vector<Metric> MetricsOf(const v1::RunSummary& run) {
  List list(run);
  if (run.has_serve()) AddServe(run.serve(), list);
  if (run.has_null()) {
    list.Add("null steps", "steps", static_cast<double>(run.null().steps()));
    list.Add("null samples", "samples", static_cast<double>(run.null().samples()));
  }
  for (const v1::RankResult& rank : run.ranks()) AddRank(rank, list);
  for (const v1::CollectiveResult& c : run.collectives()) AddCollective(c, list);
  AddRunFacts(run, list);
  list.Of("check");
  for (const v1::Check& check : run.checks()) {
    list.Add(check.name(), check.unit(), If(check.has_value(), check.value()));
  }
  return list.Take();
}

}  // namespace rackmark

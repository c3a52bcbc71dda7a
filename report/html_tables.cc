// The tables of one run: checks, ranks, collectives, cost of measuring, environment, failures.
#include <algorithm>
#include <map>

#include "absl/strings/str_format.h"
#include "common/status.h"
#include "common/text.h"
#include "common/time.h"
#include "report/html_parts.h"
#include "report/words.h"

namespace rackmark {
namespace {

const char* const kMissing = "missing";

std::string Seconds(bool has, double value) {
  return has ? absl::StrFormat("%.3f", value) : kMissing;
}

std::string Checks(const v1::RunSummary& run) {
  if (run.checks().empty()) return "";
  HtmlTable table{{"check", "verdict", "measured", "limit"}, {}, 2};
  for (const v1::Check& c : run.checks()) {
    table.rows.push_back(
        {c.name(), CheckWord(c.verdict()),
         c.has_value() ? WithUnit(c.value(), c.unit()) : std::string(kMissing),
         c.has_limit() ? absl::StrCat(c.detail(), " ", WithUnit(c.limit(), c.unit())) : ""});
  }
  return Panel("Checks", "each number beside its limit", RenderTable(table));
}

void LatencyRow(const char* name, const v1::Quantiles& q, HtmlTable& table) {
  if (q.count() == 0) return;
  table.rows.push_back({name, absl::StrCat(q.count()), Digits(q.mean()), Digits(q.min()),
                        Digits(q.p50()), Digits(q.p90()), Digits(q.p95()), Digits(q.p99()),
                        Digits(q.max())});
}

std::string Latencies(const v1::RunSummary& run) {
  const v1::ServeResult& s = run.serve();
  HtmlTable table{{"ms", "values", "mean", "min", "p50", "p90", "p95", "p99", "max"}, {}, 1};
  LatencyRow("TTFT", s.ttft_ms(), table);
  LatencyRow("TTFT, service view", s.ttft_service_ms(), table);
  LatencyRow("TPOT", s.tpot_ms(), table);
  LatencyRow("ITL", s.itl_ms(), table);
  LatencyRow("E2E", s.e2e_ms(), table);
  if (table.rows.empty()) return "";
  return Panel("Latencies",
               "from the scheduled arrival; TPOT = (E2E - TTFT) / (n - 1); ITL: gap of each token; "
               "nearest rank over all values",
               RenderTable(table));
}

std::string Ranks(const v1::RunSummary& run) {
  if (run.ranks().empty()) return "";
  HtmlTable table{{"rank", "node", "device", "lateness s", "steps", "compute s", "wait s",
                   "transfer s", "plan wait s", "host s", "reads", "RSS peak", "weights", "KV"},
                  {},
                  2};
  std::vector<const v1::RankResult*> order;
  for (const v1::RankResult& r : run.ranks()) order.push_back(&r);
  std::stable_sort(order.begin(), order.end(),
                   [](const auto* a, const auto* b) { return a->lateness_s() > b->lateness_s(); });
  const auto steps_known = [](const v1::RankResult& r) {
    return r.steps() > 0 || r.has_compute_s();  // else its clock could not be mapped
  };
  for (const v1::RankResult* r : order) {
    const auto bytes = [](bool has, uint64_t n) {
      return has ? FormatBytes(static_cast<double>(n)) : std::string(kMissing);
    };
    table.rows.push_back({absl::StrCat(r->rank()), r->node(), absl::StrCat(r->device()),
                          Seconds(r->has_lateness_s(), r->lateness_s()),
                          steps_known(*r) ? absl::StrCat(r->steps()) : kMissing,
                          Seconds(r->has_compute_s(), r->compute_s()),
                          Seconds(r->has_collective_wait_s(), r->collective_wait_s()),
                          Seconds(r->has_collective_transfer_s(), r->collective_transfer_s()),
                          Seconds(r->has_plan_wait_s(), r->plan_wait_s()),
                          Seconds(r->has_host_s(), r->host_s()),
                          r->has_read_bytes_s() ? BytesPerSecond(r->read_bytes_s()) : kMissing,
                          bytes(r->has_rss_peak_bytes(), r->rss_peak_bytes()),
                          bytes(r->has_weights_bytes(), r->weights_bytes()),
                          bytes(r->has_kv_bytes(), r->kv_bytes())});
  }
  return Panel("Ranks, the latest first",
               "lateness: own arrivals at collectives after the first rank's, summed; the slowest "
               "device is late, the others wait for it",
               RenderTable(table));
}

std::string Collectives(const v1::RunSummary& run) {
  if (run.collectives().empty()) return "";
  HtmlTable table{
      {"collective", "up to", "count", "total", "transfer s", "wait s", "bus bandwidth"}, {}, 1};
  for (const v1::CollectiveResult& c : run.collectives()) {
    table.rows.push_back(
        {c.op(), FormatBytes(static_cast<double>(c.bytes())), absl::StrCat(c.count()),
         FormatBytes(static_cast<double>(c.total_bytes())),
         Seconds(c.has_transfer_s(), c.transfer_s()), Seconds(c.has_wait_s(), c.wait_s()),
         c.has_busbw_bytes_s() ? BytesPerSecond(c.busbw_bytes_s()) : kMissing});
  }
  return Panel(
      "Collectives on rank 0",
      "bus bandwidth = bytes x 2(n-1)/n (allreduce) or (n-1)/n (allgather) / transfer time",
      RenderTable(table));
}

std::string Lines(const char* title, const char* note, const std::vector<Headline>& lines) {
  if (lines.empty()) return "";
  HtmlTable table{{"what", "value", ""}, {}, 3};
  for (const Headline& h : lines) table.rows.push_back({h.name, h.value, h.note});
  return Panel(title, note, RenderTable(table));
}

std::string Recipe(const v1::RunSummary& run) {
  std::vector<Headline> lines = {{"workload", Workload(run.spec()), ""},
                                 {"seed", absl::StrCat(run.spec().seed()), ""},
                                 {"point", PointWords(run.spec()), ""},
                                 {"placement", PlacementWords(run.placement()), ""}};
  if (run.spec().has_serve()) {
    const v1::ServeWorkload& s = run.spec().serve();
    const v1::Load& l = s.load();
    lines.push_back({"prompt tokens",
                     absl::StrCat(l.prompt_tokens().min(), " to ", l.prompt_tokens().max()),
                     "uniform"});
    lines.push_back({"output tokens",
                     absl::StrCat(l.output_tokens().min(), " to ", l.output_tokens().max()),
                     "uniform"});
    lines.push_back({"batch", absl::StrCat("at most ", s.max_batch()), "sequences"});
    lines.push_back({"prefill chunk", absl::StrCat(s.prefill_chunk()), "tokens in a step"});
    lines.push_back({"KV cache", FormatBytes(static_cast<double>(s.kv_memory_bytes())),
                     absl::StrCat("of the gang, blocks of ", s.kv_block_tokens(), " tokens")});
  }
  lines.push_back({"samples", absl::StrCat(run.samples(), " in ", run.chunks(), " chunks"),
                   FormatBytes(static_cast<double>(run.packed_bytes()))});
  if (run.has_clock_uncertainty_ns()) {
    lines.push_back({"clock uncertainty", FormatDuration(run.clock_uncertainty_ns()),
                     "between nodes; nothing closer is ordered"});
  }
  return Lines("What ran", "", lines);
}

std::string Environment(const v1::RunSummary& run) {
  if (run.nodes().empty()) return "";
  HtmlTable table{{"node", "CPU", "CPUs", "memory", "system", "kernel", "Rackmark", "more"}, {}, 8};
  for (const v1::NodeFacts& node : run.nodes()) {
    const v1::Environment& e = node.environment();
    const std::map<std::string, std::string> sorted(e.more().begin(), e.more().end());
    std::string more = e.compiler();
    for (const auto& [key, value] : sorted) absl::StrAppend(&more, "; ", key, ": ", value);
    table.rows.push_back({node.name(), e.cpu_model(), absl::StrCat(e.cpu_count()),
                          FormatBytes(static_cast<double>(e.memory_bytes())), e.os(), e.kernel(),
                          absl::StrCat(e.rackmark_version(), " ", e.git_commit()), more});
  }
  return Panel("Environment", "", RenderTable(table));
}

std::string Missing(const v1::RunSummary& run) {
  if (run.missing().empty()) return "";
  HtmlTable table{{"what is missing", "why"}, {}, 2};
  for (const v1::MissingValue& m : run.missing()) table.rows.push_back({m.name(), m.reason()});
  return Panel("Missing", "never shown as 0", RenderTable(table));
}

std::string FailureBody(const v1::Failure& failure, std::string_view when) {
  std::string out = absl::StrCat(
      "<p><b>", EscapeHtml(when), ": ", EscapeHtml(FailureWord(failure.kind())), "</b> (",
      EscapeHtml(BlameWords(failure)), ") ", EscapeHtml(failure.detail()), "</p>\n");
  if (!failure.stderr_tail().empty()) {
    absl::StrAppend(&out, "<pre>", EscapeHtml(failure.stderr_tail()), "</pre>\n");
  }
  return out;
}

std::string Failures(const v1::RunSummary& run) {
  std::string body;
  if (run.has_failure()) body += FailureBody(run.failure(), "this attempt");
  for (int i = 0; i < run.earlier_failures_size(); ++i) {
    body += FailureBody(run.earlier_failures(i), absl::StrCat("earlier failure ", i + 1));
  }
  return Panel("Failures", "with the end of the blamed rank's stderr", body);
}

}  // namespace

std::string TablePanels(const v1::RunSummary& run) {
  return absl::StrCat("<div class=\"stack\">\n", Failures(run), Checks(run), Latencies(run),
                      Ranks(run), Collectives(run),
                      Lines("Cost of the instrument", "measured in this run", OverheadLines(run)),
                      Recipe(run), Environment(run), Missing(run), "</div>\n");
}

}  // namespace rackmark

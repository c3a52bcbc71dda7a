// Checks, latencies, ranks, collectives, cost of measuring, environment, what is missing.
#include "report/tables.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_format.h"
#include "common/ids.h"
#include "common/status.h"
#include "common/text.h"
#include "common/time.h"
#include "report/load_words.h"
#include "report/words.h"

namespace rackmark {
namespace {

const char* const kMissing = "missing";

std::string Seconds(bool has, double value) {
  return has ? absl::StrFormat("%.3f", value) : kMissing;
}

Table Checks(const v1::RunSummary& run) {
  Table table{
      "Checks", "each number beside its limit", {"check", "verdict", "measured", "limit"}, {}, 2};
  for (const v1::Check& c : run.checks()) {
    table.rows.push_back(
        {c.name(), CheckWord(c.verdict()),
         c.has_value() ? WithUnit(c.value(), c.unit()) : std::string(kMissing),
         c.has_limit() ? absl::StrCat(c.detail(), " ", WithUnit(c.limit(), c.unit())) : ""});
  }
  return table;
}

void LatencyRow(const char* name, const v1::Quantiles& q, Table& table) {
  if (q.count() == 0) return;
  table.rows.push_back({name, absl::StrCat(q.count()), Digits(q.mean()), Digits(q.min()),
                        Digits(q.p50()), Digits(q.p90()), Digits(q.p95()), Digits(q.p99()),
                        Digits(q.max())});
}

Table Latencies(const v1::RunSummary& run) {
  const v1::ServeResult& s = run.serve();
  Table table{"Latencies",
              "from the scheduled arrival; TPOT = (E2E - TTFT) / (n - 1); ITL: gap of each token; "
              "nearest rank over all values",
              {"ms", "values", "mean", "min", "p50", "p90", "p95", "p99", "max"},
              {},
              1};
  LatencyRow("TTFT", s.ttft_ms(), table);
  LatencyRow("TTFT, service view", s.ttft_service_ms(), table);
  LatencyRow("TPOT", s.tpot_ms(), table);
  LatencyRow("ITL", s.itl_ms(), table);
  LatencyRow("E2E", s.e2e_ms(), table);
  return table;
}

Table Ranks(const v1::RunSummary& run) {
  Table table{"Ranks, the latest first",
              "lateness: own arrivals at collectives after the first rank's, summed; the slowest "
              "device is late, the others wait for it",
              {"rank", "node", "device", "lateness s", "steps", "compute s", "wait s", "transfer s",
               "plan wait s", "host s", "reads", "RSS peak", "weights", "KV"},
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
  return table;
}

Table Collectives(const v1::RunSummary& run) {
  Table table{"Collectives on rank 0",
              "bus bandwidth = bytes x 2(n-1)/n (allreduce) or (n-1)/n (allgather) / transfer time",
              {"collective", "up to", "count", "total", "transfer s", "wait s", "bus bandwidth"},
              {},
              1};
  for (const v1::CollectiveResult& c : run.collectives()) {
    table.rows.push_back(
        {c.op(), FormatBytes(static_cast<double>(c.bytes())), absl::StrCat(c.count()),
         FormatBytes(static_cast<double>(c.total_bytes())),
         Seconds(c.has_transfer_s(), c.transfer_s()), Seconds(c.has_wait_s(), c.wait_s()),
         c.has_busbw_bytes_s() ? BytesPerSecond(c.busbw_bytes_s()) : kMissing});
  }
  return table;
}

Table Lines(const char* title, const char* note, const std::vector<Headline>& lines) {
  Table table{title, note, {"what", "value", ""}, {}, 3};
  for (const Headline& h : lines) table.rows.push_back({h.name, h.value, h.note});
  return table;
}

Table Recipe(const v1::RunSummary& run) {
  std::vector<Headline> lines = {{"workload", Workload(run.spec()), ""},
                                 {"seed", absl::StrCat(run.spec().seed()), ""},
                                 {"point", PointWords(run.spec()), ""},
                                 {"placement", PlacementWords(run.placement()), ""}};
  for (const std::string& sentence : run.transports()) lines.push_back({"transport", sentence, ""});
  if (run.spec().has_serve()) {
    const v1::ServeWorkload& s = run.spec().serve();
    for (Headline& line : LoadLines(s.load())) lines.push_back(std::move(line));
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

Table Environment(const v1::RunSummary& run) {
  Table table{"Environment",
              "",
              {"node", "CPU", "CPUs", "memory", "system", "kernel", "Rackmark", "more"},
              {},
              8};
  for (const v1::NodeFacts& node : run.nodes()) {
    const v1::Environment& e = node.environment();
    const std::map<std::string, std::string> sorted(e.more().begin(), e.more().end());
    std::string more = e.compiler();
    for (const auto& [key, value] : sorted) absl::StrAppend(&more, "; ", key, ": ", value);
    table.rows.push_back({node.name(), e.cpu_model(), absl::StrCat(e.cpu_count()),
                          FormatBytes(static_cast<double>(e.memory_bytes())), e.os(), e.kernel(),
                          absl::StrCat(e.rackmark_version(), " ", e.git_commit()), more});
  }
  return table;
}

Table Missing(const v1::RunSummary& run) {
  Table table{"Missing", "never shown as 0", {"what is missing", "why"}, {}, 2};
  for (const v1::MissingValue& m : run.missing()) table.rows.push_back({m.name(), m.reason()});
  return table;
}

}  // namespace

std::vector<Table> RunTables(const v1::RunSummary& run) {
  std::vector<Table> tables = {
      Checks(run),
      Latencies(run),
      Ranks(run),
      Collectives(run),
      Lines("Cost of the instrument", "measured in this run", OverheadLines(run)),
      Recipe(run),
      Environment(run),
      Missing(run)};
  std::erase_if(tables, [](const Table& table) { return table.rows.empty(); });
  return tables;
}

Table RunsTable(const v1::JobSummary& job) {
  Table table{"All runs",
              "",
              {"run", "verdict", "point", "output tok/s", "TTFT p50 ms", "TTFT p99 ms",
               "TPOT p50 ms", "E2E p50 ms", "delivered"},
              {},
              3};
  const auto p = [](const v1::Quantiles& q, double value) {
    return q.count() > 0 ? Digits(value) : std::string(kMissing);
  };
  for (const v1::RunSummary& run : job.runs()) {
    const v1::ServeResult& s = run.serve();
    table.rows.push_back({DisplayRun(job.cluster_id(), RunId{run.run_id()}),
                          VerdictWord(run.verdict()), PointWords(run.spec()),
                          s.has_output_tok_s() ? Digits(s.output_tok_s()) : kMissing,
                          p(s.ttft_ms(), s.ttft_ms().p50()), p(s.ttft_ms(), s.ttft_ms().p99()),
                          p(s.tpot_ms(), s.tpot_ms().p50()), p(s.e2e_ms(), s.e2e_ms().p50()),
                          s.has_delivered_share() ? Share(s.delivered_share()) : kMissing});
  }
  return table;
}

}  // namespace rackmark

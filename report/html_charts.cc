// The charts of one run.
#include <algorithm>
#include <limits>
#include <utility>

#include "common/status.h"
#include "report/chart.h"
#include "report/html_parts.h"

namespace rackmark {
namespace {

struct Wanted {
  const char* name;   // of the time series
  const char* label;  // in the legend; the owner is put behind it if there are several
};

double Factor(const v1::TimeSeries& series) { return series.unit() == "1" ? 100 : 1; }

void AddTo(LineChart& chart, const v1::TimeSeries& series, std::string name) {
  ChartSeries line{std::move(name), {}};
  for (int i = 0; i < series.value_size(); ++i) {
    // A bucket's value stands in its middle.
    line.points.push_back(
        {series.t0_s() + (i + 0.5) * series.step_s(), Factor(series) * series.value(i)});
  }
  chart.gap_max = std::max(chart.gap_max, 2.5 * series.step_s());
  chart.series.push_back(std::move(line));
}

std::string TimePanel(const v1::RunSummary& run, const char* title, const char* y_label,
                      const std::vector<Wanted>& wanted) {
  LineChart chart;
  chart.title = title;
  chart.x_label = "seconds since the window began";
  chart.y_label = y_label;
  for (const Wanted& want : wanted) {
    for (const v1::TimeSeries& series : run.series()) {
      if (series.name() != want.name) continue;
      const bool owned = !series.owner().empty() && series.owner() != "rank 0";
      const bool repeats = series.name() == "rank.rss";
      std::string name = want.label;
      if (owned || repeats) absl::StrAppend(&name, name.empty() ? "" : ", ", series.owner());
      chart.binary_bytes |= series.unit() == "B" || series.unit() == "B/s";
      AddTo(chart, series, std::move(name));
    }
  }
  if (chart.series.empty()) return "";
  chart.area = chart.series.size() == 1;
  return Panel(title, "", RenderLineChart(chart));
}

ChartSeries CdfOf(const char* name, const v1::Quantiles& quantiles) {
  ChartSeries series{name, {}};
  for (const v1::CdfPoint& p : quantiles.cdf()) series.points.push_back({p.value(), p.share()});
  return series;
}

std::string LatencyPanel(const v1::RunSummary& run) {
  const v1::ServeResult& s = run.serve();
  if (s.ttft_ms().count() == 0) return "";
  CdfChart first{"Time to first token", "ms from the scheduled arrival", {}};
  first.series.push_back(CdfOf("from the scheduled arrival", s.ttft_ms()));
  if (s.ttft_service_ms().count() > 0) {
    first.series.push_back(CdfOf("from admission (service view)", s.ttft_service_ms()));
  }
  CdfChart whole{"End to end", "ms from the scheduled arrival", {}};
  whole.series.push_back(CdfOf("end to end", s.e2e_ms()));
  return absl::StrCat(
      Panel("Time to first token", "share of requests at or below", RenderCdfChart(first)),
      Panel("End-to-end latency", "share of requests at or below", RenderCdfChart(whole)));
}

std::string SplitPanel(const v1::RunSummary& run) {
  if (!run.has_serve() || run.ranks().empty()) return "";
  const double nan = std::numeric_limits<double>::quiet_NaN();
  BarChart chart{"Where each rank's time went",
                 "seconds of the window",
                 run.serve().window_s(),
                 {"compute", "collective wait", "collective transfer", "plan wait", "host"},
                 {}};
  for (const v1::RankResult& r : run.ranks()) {
    chart.rows.push_back(
        {absl::StrCat("rank ", r.rank()),
         {r.has_compute_s() ? r.compute_s() : nan,
          r.has_collective_wait_s() ? r.collective_wait_s() : nan,
          r.has_collective_transfer_s() ? r.collective_transfer_s() : nan,
          r.has_plan_wait_s() ? r.plan_wait_s() : nan, r.has_host_s() ? r.host_s() : nan}});
  }
  return Panel("Where each rank's time went", "the empty rest of a bar is idle: no step ran",
               RenderBarChart(chart));
}

}  // namespace

std::string ChartPanels(const v1::RunSummary& run) {
  std::string out = LatencyPanel(run);
  out += TimePanel(run, "Throughput", "tokens per second",
                   {{"output.tokens", "output"}, {"prompt.tokens", "prompt"}});
  out += TimePanel(run, "TTFT over time of arrival", "ms", {{"ttft", "TTFT"}});
  out += TimePanel(run, "Requests", "requests",
                   {{"requests.running", "running"}, {"requests.waiting", "waiting"}});
  out += SplitPanel(run);
  out += TimePanel(run, "KV cache", "blocks", {{"kv.blocks_used", "used"}});
  out += TimePanel(run, "Memory of the rank processes", "resident", {{"rank.rss", ""}});
  out += TimePanel(run, "Memory of the hosts", "in use", {{"host.memory_used", ""}});
  out += TimePanel(run, "Host CPU", "% busy", {{"host.cpu_busy", ""}});
  out += TimePanel(run, "Network, all interfaces", "bytes per second",
                   {{"network.received", "received"}, {"network.sent", "sent"}});
  return out.empty() ? "" : absl::StrCat("<div class=\"grid\">\n", out, "</div>\n");
}

}  // namespace rackmark

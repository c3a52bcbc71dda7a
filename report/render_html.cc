// One self-contained page. No script, no network: it opens from a mail attachment in ten years.
#include <map>

#include "common/ids.h"
#include "common/status.h"
#include "common/text.h"
#include "common/time.h"
#include "report/chart.h"
#include "report/html_parts.h"
#include "report/render.h"
#include "report/words.h"

namespace rackmark {
namespace {

std::string Cards(const v1::RunSummary& run) {
  std::string out;
  for (const Headline& h : Headlines(run)) {
    const bool missing = h.value.rfind("missing", 0) == 0;
    absl::StrAppend(&out, "<div class=\"card\"><div class=\"k\">", EscapeHtml(h.name),
                    "</div><div class=\"v", missing ? " missing" : "", "\">", EscapeHtml(h.value),
                    "</div><div class=\"x\">", EscapeHtml(h.note), "</div></div>\n");
  }
  return out.empty() ? out : absl::StrCat("<div class=\"cards\">\n", out, "</div>\n");
}

std::string Reasons(const v1::RunSummary& run) {
  std::string out;
  for (const std::string& reason : run.reasons()) {
    absl::StrAppend(&out, "<li>", EscapeHtml(reason), "</li>");
  }
  return out.empty() ? out : absl::StrCat("<ul class=\"reasons\">", out, "</ul>\n");
}

std::string Run(const v1::JobSummary& job, const v1::RunSummary& run) {
  return absl::StrCat("<h2 id=\"r", run.run_id(), "\">Run ",
                      EscapeHtml(DisplayRun(job.cluster_id(), RunId{run.run_id()})), " ",
                      Badge(run.verdict()), "</h2>\n<p class=\"meta\">",
                      EscapeHtml(Workload(run.spec())), "; ", EscapeHtml(PointWords(run.spec())),
                      "; seed ", run.spec().seed(), "; attempt ", run.attempt(), "</p>\n",
                      Reasons(run), Cards(run), ChartPanels(run), TablePanels(run));
}

// One row per run, for a job of several.
std::string Overview(const v1::JobSummary& job) {
  if (job.runs_size() < 2) return "";
  HtmlTable table{{"run", "verdict", "point", "output tok/s", "TTFT p50 ms", "TTFT p99 ms",
                   "TPOT p50 ms", "E2E p50 ms", "delivered"},
                  {},
                  3};
  const auto p = [](const v1::Quantiles& q, double value) {
    return q.count() > 0 ? Digits(value) : std::string("missing");
  };
  for (const v1::RunSummary& run : job.runs()) {
    const v1::ServeResult& s = run.serve();
    table.rows.push_back({absl::StrCat("r", run.run_id()), VerdictWord(run.verdict()),
                          PointWords(run.spec()),
                          s.has_output_tok_s() ? Digits(s.output_tok_s()) : "missing",
                          p(s.ttft_ms(), s.ttft_ms().p50()), p(s.ttft_ms(), s.ttft_ms().p99()),
                          p(s.tpot_ms(), s.tpot_ms().p50()), p(s.e2e_ms(), s.e2e_ms().p50()),
                          s.has_delivered_share() ? Share(s.delivered_share()) : "missing"});
  }
  return absl::StrCat("<div class=\"stack\">", Panel("All runs", "", RenderTable(table)),
                      "</div>\n");
}

std::string Header(const v1::JobSummary& job) {
  std::string labels;
  for (const auto& [key, value] :
       std::map<std::string, std::string>(job.labels().begin(), job.labels().end())) {
    absl::StrAppend(&labels, labels.empty() ? "" : ", ", key, "=", value);
  }
  return absl::StrCat(
      "<header><div class=\"brand\">Rackmark report</div><div class=\"title\"><h1>",
      EscapeHtml(job.job_name()), "</h1>", Badge(job.verdict()), "</div>\n<p class=\"meta\">job ",
      EscapeHtml(DisplayJob(job.cluster_id(), JobId{job.job_id()})), ", submitted ",
      EscapeHtml(FormatUnixTime(job.submitted_unix_ns())), " by ", EscapeHtml(job.by().name()),
      labels.empty() ? "" : "; labels ", EscapeHtml(labels), "</p></header>\n");
}

}  // namespace

std::string RenderHtml(const v1::JobSummary& job) {
  std::string out = absl::StrCat(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
      "style-src 'unsafe-inline'\">\n<title>",
      EscapeHtml(job.job_name()), ": ", EscapeHtml(VerdictWord(job.verdict())),
      "</title>\n<style>\n", ToAbsl(PageCss()), ToAbsl(ChartCss()),
      "</style></head>\n<body><main>\n", Header(job), Overview(job));
  for (const v1::RunSummary& run : job.runs()) out += Run(job, run);
  if (!job.source().empty()) {
    absl::StrAppend(&out,
                    "<div class=\"stack\"><section class=\"panel\"><details><summary>Job file "
                    "as submitted</summary><pre>",
                    EscapeHtml(job.source()), "</pre><p class=\"meta\">sha256 ",
                    EscapeHtml(job.source_sha256()), "</p></details></section></div>\n");
  }
  absl::StrAppend(&out, "<footer>Rackmark ", EscapeHtml(job.rackmark_version()), "; cluster ",
                  EscapeHtml(job.cluster_id()), "</footer>\n</main></body></html>\n");
  return out;
}

}  // namespace rackmark

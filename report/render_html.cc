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

std::string Tables(const v1::RunSummary& run) {
  std::string out = Failures(run);
  for (const Table& table : RunTables(run)) out += TablePanel(table);
  return absl::StrCat("<div class=\"stack\">\n", out, "</div>\n");
}

std::string Run(const v1::JobSummary& job, const v1::RunSummary& run) {
  return absl::StrCat("<h2 id=\"r", run.run_id(), "\">Run ",
                      EscapeHtml(DisplayRun(job.cluster_id(), RunId{run.run_id()})), " ",
                      Badge(run.verdict()), "</h2>\n<p class=\"meta\">",
                      EscapeHtml(Workload(run.spec())), "; ", EscapeHtml(PointWords(run.spec())),
                      "; seed ", run.spec().seed(), "; attempt ", run.attempt(), "</p>\n",
                      Reasons(run), Cards(run), ChartPanels(run), Tables(run));
}

// For a job of several runs.
std::string Overview(const v1::JobSummary& job) {
  if (job.runs_size() < 2) return "";
  return absl::StrCat("<div class=\"stack\">", TablePanel(RunsTable(job)), "</div>\n");
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

// For an issue, a merge request or a wiki page.
#include <map>
#include <string>

#include "common/ids.h"
#include "common/status.h"
#include "common/time.h"
#include "report/markdown.h"
#include "report/render.h"
#include "report/words.h"

namespace rackmark {
namespace {

std::string Section(const Table& table) {
  return absl::StrCat("\n### ", table.title, "\n\n",
                      table.note.empty() ? "" : MarkdownText(table.note) + "\n\n",
                      MarkdownTable(table));
}

std::string FailureLines(const v1::Failure& failure, std::string_view when) {
  std::string out =
      absl::StrCat("\n**", ToAbsl(when), ": ", FailureWord(failure.kind()), "** (",
                   MarkdownText(BlameWords(failure)), ") ", MarkdownText(failure.detail()), "\n");
  if (!failure.stderr_tail().empty()) {
    absl::StrAppend(&out, "\n", MarkdownBlock(failure.stderr_tail()));
  }
  return out;
}

std::string Failures(const v1::RunSummary& run) {
  std::string body;
  if (run.has_failure()) body += FailureLines(run.failure(), "this attempt");
  for (int i = 0; i < run.earlier_failures_size(); ++i) {
    body += FailureLines(run.earlier_failures(i), absl::StrCat("earlier failure ", i + 1));
  }
  return body.empty() ? "" : "\n### Failures\n" + body;
}

std::string Run(const v1::JobSummary& job, const v1::RunSummary& run) {
  std::string out =
      absl::StrCat("\n## Run ", MarkdownText(DisplayRun(job.cluster_id(), RunId{run.run_id()})),
                   ": ", VerdictWord(run.verdict()), "\n\n", MarkdownText(Workload(run.spec())),
                   "; ", MarkdownText(PointWords(run.spec())), "; seed ", run.spec().seed(),
                   "; attempt ", run.attempt(), "\n");
  if (!run.reasons().empty()) out += "\n";
  for (const std::string& reason : run.reasons()) {
    absl::StrAppend(&out, "- ", MarkdownText(reason), "\n");
  }
  Table result{"Result", "", {"what", "value", "beside it"}, {}, 3};
  for (const Headline& h : Headlines(run)) result.rows.push_back({h.name, h.value, h.note});
  if (!result.rows.empty()) out += Section(result);
  out += Failures(run);
  for (const Table& table : RunTables(run)) out += Section(table);
  return out;
}

}  // namespace

std::string RenderMarkdown(const v1::JobSummary& job) {
  std::string out = absl::StrCat(
      "# Rackmark report: ", MarkdownText(job.job_name()), "\n\n**", VerdictWord(job.verdict()),
      "**: job ", MarkdownText(DisplayJob(job.cluster_id(), JobId{job.job_id()})), ", submitted ",
      FormatUnixTime(job.submitted_unix_ns()), " by ", MarkdownText(job.by().name()), ", Rackmark ",
      MarkdownText(job.rackmark_version()), "\n");
  for (const auto& [key, value] :
       std::map<std::string, std::string>(job.labels().begin(), job.labels().end())) {
    absl::StrAppend(&out, "\n- label ", MarkdownText(key), ": ", MarkdownText(value), "\n");
  }
  if (job.runs_size() > 1)
    absl::StrAppend(&out, "\n## All runs\n\n", MarkdownTable(RunsTable(job)));
  for (const v1::RunSummary& run : job.runs()) out += Run(job, run);
  if (!job.source().empty()) {
    absl::StrAppend(&out, "\n## Job file as submitted\n\nsha256 ",
                    MarkdownText(job.source_sha256()), "\n\n", MarkdownBlock(job.source()));
  }
  return out;
}

}  // namespace rackmark

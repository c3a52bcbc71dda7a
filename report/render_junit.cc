// For CI systems, which know passed, failure, error and skipped, and nothing between.
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_format.h"
#include "common/ids.h"
#include "common/status.h"
#include "common/text.h"
#include "common/time.h"
#include "report/render.h"
#include "report/words.h"

namespace rackmark {
namespace {

// XML has no way to write most control characters; EscapeControl leaves none, and no line ends,
// which an attribute would lose.
std::string Attribute(std::string_view text) { return EscapeHtml(EscapeControl(text)); }

struct Counts {
  int tests = 0, failures = 0, errors = 0, skipped = 0;
};

struct Case {
  std::string classname;  // foreign text here and below
  std::string name;
  std::optional<double> seconds;
  v1::Verdict verdict = v1::VERDICT_UNKNOWN;
  std::string message;
  std::string body;  // more lines below the message
  std::string output;
};

void Element(const char* tag, const Case& one, std::string& out) {
  absl::StrAppend(&out, "   <", tag, " message=\"", Attribute(one.message), "\"");
  if (std::string_view(tag) != "skipped") {
    absl::StrAppend(&out, " type=\"", VerdictWord(one.verdict), "\"");
  }
  absl::StrAppend(&out, ">", EscapeHtml(one.body), "</", tag, ">\n");
}

void Write(const Case& one, Counts& counts, std::string& out) {
  ++counts.tests;
  absl::StrAppend(&out, "  <testcase classname=\"", Attribute(one.classname), "\" name=\"",
                  Attribute(one.name), "\"");
  if (one.seconds) absl::StrAppendFormat(&out, " time=\"%.3f\"", *one.seconds);
  out += ">\n";
  switch (one.verdict) {
    case v1::VERDICT_PASS: break;
    case v1::VERDICT_FAIL:
      ++counts.failures;
      Element("failure", one, out);
      break;
    case v1::VERDICT_SKIPPED:
      ++counts.skipped;
      Element("skipped", one, out);
      break;
    // INVALID too: nothing was measured that could have failed, and nothing passed.
    default: ++counts.errors; Element("error", one, out);
  }
  if (!one.output.empty()) {
    absl::StrAppend(&out, "   <system-out>", EscapeHtml(one.output), "</system-out>\n");
  }
  out += "  </testcase>\n";
}

// The same each night, or a CI system would take every night's case for a new one: what ran, in
// which shape, at which point; no ids, no measured number.
std::string RunName(const v1::RunSummary& run) {
  return absl::StrCat(ShapeWords(run.spec()), ": ", PointWords(run.spec()));
}

std::optional<double> WindowSeconds(const v1::RunSummary& run) {
  if (run.has_serve()) return run.serve().window_s();
  return std::nullopt;
}

Case RunCase(const v1::JobSummary& job, const v1::RunSummary& run) {
  Case one{job.job_name(), RunName(run), WindowSeconds(run), run.verdict(), "", "", ""};
  one.message = absl::StrCat(VerdictWord(run.verdict()), run.reasons().empty() ? "" : ": ",
                             run.reasons().empty() ? "" : run.reasons(0));
  for (const std::string& reason : run.reasons()) absl::StrAppend(&one.body, reason, "\n");
  absl::StrAppend(&one.output, "run ", DisplayRun(job.cluster_id(), RunId{run.run_id()}),
                  ", attempt ", run.attempt(), "\n");
  for (const Headline& h : Headlines(run)) {
    absl::StrAppend(&one.output, h.name, ": ", h.value, h.note.empty() ? "" : "; ", h.note, "\n");
  }
  if (run.has_failure() && !run.failure().stderr_tail().empty()) {
    absl::StrAppend(&one.output, "stderr of ", BlameWords(run.failure()), ":\n",
                    run.failure().stderr_tail(), "\n");
  }
  return one;
}

Case CheckCase(const v1::JobSummary& job, const v1::RunSummary& run, const v1::Check& check) {
  Case one{job.job_name(),
           absl::StrCat(RunName(run), ": ", check.name()),
           std::nullopt,
           check.verdict(),
           "",
           "",
           ""};
  const std::string value =
      check.has_value() ? WithUnit(check.value(), check.unit()) : std::string("missing");
  one.message = absl::StrCat(check.name(), " is ", value);
  if (check.has_limit()) {
    absl::StrAppend(&one.message, "; it must be ", check.detail(), " ",
                    WithUnit(check.limit(), check.unit()));
  }
  if (check.verdict() == v1::VERDICT_UNKNOWN) {
    // The case of the run itself says what went wrong; this one did not come to be asked.
    one.verdict = v1::VERDICT_SKIPPED;
    one.message = absl::StrCat("not judged: ", one.message);
  }
  if (check.verdict() == v1::VERDICT_PASS) one.output = one.message + "\n";
  return one;
}

}  // namespace

std::string RenderJunit(const v1::JobSummary& job) {
  Counts counts;
  std::string cases;
  for (const v1::RunSummary& run : job.runs()) {
    Write(RunCase(job, run), counts, cases);
    for (const v1::Check& check : run.checks()) Write(CheckCase(job, run, check), counts, cases);
  }
  if (job.runs().empty()) {
    // An empty suite is green.
    Write({job.job_name(), "job", std::nullopt,
           job.verdict() == v1::VERDICT_PASS ? v1::VERDICT_ERROR : job.verdict(),
           "the job has no runs", "", ""},
          counts, cases);
  }
  const std::string totals =
      absl::StrCat("tests=\"", counts.tests, "\" failures=\"", counts.failures, "\" errors=\"",
                   counts.errors, "\" skipped=\"", counts.skipped, "\"");
  // JUnit's timestamps have no zone.
  std::string submitted = FormatUnixTime(job.submitted_unix_ns());
  if (!submitted.empty() && submitted.back() == 'Z') submitted.pop_back();
  return absl::StrCat("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites ", totals,
                      ">\n <testsuite name=\"", Attribute(job.job_name()), "\" timestamp=\"",
                      submitted, "\" ", totals,
                      ">\n  <properties>\n   <property name=\"rackmark.job\" value=\"",
                      Attribute(DisplayJob(job.cluster_id(), JobId{job.job_id()})),
                      "\"/>\n  </properties>\n", cases, " </testsuite>\n</testsuites>\n");
}

}  // namespace rackmark

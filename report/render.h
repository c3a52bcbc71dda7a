// The renderings of a job's summary. Pure, and they only format: every number was computed in
// summarize and judge. A missing number is shown as missing with its reason, never as 0. Names,
// labels, stderr tails and paths are hostile text and are escaped for where they go.
#pragma once

#include <string>
#include <string_view>

#include "google/protobuf/message.h"
#include "rackmark/v1/summary.pb.h"

namespace rackmark {

// JSON by report/schema/report.schema.json: field names carry the units, a missing number is null,
// ASCII only, "</" is written as "<\/". Ends with a newline.
std::string RenderJson(const v1::JobSummary& job);
// Any other message of ours by the same rules, so that all JSON of the product has one look: enums
// are short words ("PASS", "ENDED", "RANK_DIED"), numbers are numbers.
std::string MessageJson(const google::protobuf::Message& message);

// JSON that is ASCII already, made safe for a page's script element ("</" becomes "<\/"), and a
// newline.
std::string JsonText(std::string_view json);

struct TerminalOptions {
  int width = 80;      // columns; lines are cut or wrapped to it, 40 at least
  bool color = false;  // ANSI colours
};
// A table for people, ends with a newline.
std::string RenderTerminal(const v1::JobSummary& job, const TerminalOptions& options);

// One self-contained page: SVG charts, no script, no network. Light and dark.
std::string RenderHtml(const v1::JobSummary& job);

// For an issue or a chat: tables and lists of GitHub's dialect, no HTML of ours. All foreign text
// is escaped, so that nothing in it is markup, a link or a mention.
std::string RenderMarkdown(const v1::JobSummary& job);

// RFC 4180, with a header line: one row per run and metric, with its unit. A missing number is an
// empty cell with its reason in the last column. No cell starts with = + - @.
std::string RenderCsv(const v1::JobSummary& job);

// One suite for the job, in it a case for each run and each of its checks. FAIL is a failure,
// SKIPPED is skipped, and so are checks that a run which failed first left unjudged; INVALID,
// ERROR, TIMEOUT, CANCELLED and UNKNOWN are errors: a CI system never shows a run that does not
// count as passed. A job without runs is an error.
std::string RenderJunit(const v1::JobSummary& job);

}  // namespace rackmark

// Long form, one row per number: any tool can pivot it, and a new metric adds rows, not columns.
#include <array>
#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "common/ids.h"
#include "common/status.h"
#include "common/text.h"
#include "report/metrics.h"
#include "report/render.h"
#include "report/words.h"

namespace rackmark {
namespace {

// What starts a formula: ASCII, and the full-width forms that some spreadsheets read alike.
bool StartsFormula(std::string_view text) {
  for (const std::string_view sign :
       {"=", "+", "-", "@", "\xef\xbc\x9d", "\xef\xbc\x8b", "\xef\xbc\x8d", "\xef\xbc\xa0"}) {
    if (text.substr(0, sign.size()) == sign) return true;
  }
  return false;
}

// An apostrophe before what a spreadsheet would run. Not only where the cell begins: where the list
// separator is a semicolon, a cell begins after each of those, whatever the quotes say.
std::string Disarm(std::string_view text) {
  std::string out;
  bool start = true;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (start && StartsFormula(text.substr(i))) out += '\'';
    const bool blank = c == ' ' || c == '"' || c == '\'';
    start = c == ',' || c == ';' || (start && blank);
    out += c;
  }
  return out;
}

std::string Cell(std::string_view text) {
  const std::string safe = Disarm(EscapeControl(text));
  if (safe.find_first_of(",;\"") == std::string::npos) return safe;
  std::string out = "\"";
  for (const char c : safe) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

// The shortest text that reads back as the same number. A space before a minus: the cell stays a
// number to most readers and a formula to none.
std::string NumberCell(const std::optional<double>& value) {
  if (!value) return "";
  std::array<char, 64> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), *value).ptr;
  return absl::StrCat(*value < 0 ? " " : "",
                      absl::string_view(text.data(), static_cast<size_t>(end - text.data())));
}

void Row(const std::vector<std::string>& cells, std::string& out) {
  for (size_t i = 0; i < cells.size(); ++i) absl::StrAppend(&out, i == 0 ? "" : ",", cells[i]);
  out += "\r\n";  // RFC 4180
}

}  // namespace

std::string RenderCsv(const v1::JobSummary& job) {
  std::string out;
  Row({"job", "name", "run", "attempt", "verdict", "point", "repetition", "of", "metric", "value",
       "unit", "missing"},
      out);
  const std::string id = Cell(DisplayJob(job.cluster_id(), JobId{job.job_id()}));
  for (const v1::RunSummary& run : job.runs()) {
    const std::vector<std::string> head = {id,
                                           Cell(job.job_name()),
                                           absl::StrCat(run.run_id()),
                                           absl::StrCat(run.attempt()),
                                           VerdictWord(run.verdict()),
                                           Cell(SweepWords(run.spec())),
                                           absl::StrCat(run.spec().repetition() + 1)};
    for (const Metric& metric : MetricsOf(run)) {
      std::vector<std::string> cells = head;
      cells.push_back(Cell(metric.of));
      cells.push_back(Cell(metric.name));
      cells.push_back(NumberCell(metric.value));
      cells.push_back(Cell(metric.unit));
      cells.push_back(Cell(metric.missing));
      Row(cells, out);
    }
  }
  return out;
}

}  // namespace rackmark

// Plain text for people: a headline table, checks beside their limits, and why it is not PASS.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "common/ids.h"
#include "common/status.h"
#include "common/text.h"
#include "report/render.h"
#include "report/words.h"

namespace rackmark {
namespace {

// Columns of a block are as wide as what stands in them, within these.
constexpr size_t kNameMin = 24, kNameMax = 34;
constexpr size_t kValueMin = 14, kValueMax = 20;
constexpr size_t kNoteMin = 24;
constexpr int kWidthMin = 40;

// Bytes that start a character: what a terminal gives a column (wide ones aside).
size_t Columns(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

std::string Pad(std::string text, size_t columns) {
  const size_t has = Columns(text);
  if (has < columns) text.append(columns - has, ' ');
  return text;
}

struct Row {
  std::string name;
  std::string value;
  std::string note;
  const char* style = "";
};

std::vector<Row> RowsOf(const std::vector<Headline>& lines) {
  std::vector<Row> rows;
  for (const Headline& h : lines) rows.push_back({h.name, h.value, h.note});
  return rows;
}

class Page {
 public:
  explicit Page(const TerminalOptions& options)
      : width_(static_cast<size_t>(std::max(options.width, kWidthMin))), color_(options.color) {}

  // Wrapped at words; lines after the first stand `indent` columns in. Text must be escaped.
  void Wrapped(const std::string& text, size_t indent, const char* style = "") {
    std::string line;
    size_t start = 0;
    while (start < text.size()) {
      size_t end = text.find(' ', start + 1);
      if (end == std::string::npos) end = text.size();
      const std::string word = text.substr(start, end - start);
      if (!line.empty() && Columns(line) + Columns(word) > width_) {
        Line(line, style);
        line = std::string(indent, ' ');
        if (word[0] == ' ') ++start;
        line += text.substr(start, end - start);
      } else {
        line += word;
      }
      start = end;
    }
    Line(line, style);
  }
  void Line(const std::string& text, const char* style = "") {
    // A word longer than the line: cut, so that a table stays a table.
    std::string cut = text;
    while (Columns(cut) > width_) {
      do cut.pop_back();
      while (!cut.empty() && (static_cast<unsigned char>(cut.back()) & 0xc0) == 0x80);
    }
    if (color_ && style[0] != '\0') {
      absl::StrAppend(&out_, "\x1b[", style, "m", cut, "\x1b[0m\n");
    } else {
      absl::StrAppend(&out_, cut, "\n");
    }
  }
  // A heading and its rows in columns; nothing where there are no rows. Escapes.
  void Block(const std::string& heading, std::vector<Row> rows) {
    if (rows.empty()) return;
    Heading(heading);
    size_t name_width = kNameMin, value_width = kValueMin;
    for (Row& row : rows) {
      for (std::string* text : {&row.name, &row.value, &row.note}) *text = EscapeControl(*text);
      name_width = std::max(name_width, std::min(Columns(row.name), kNameMax));
      if (row.note.empty()) continue;  // such a value may run to the end of the line
      value_width = std::max(value_width, std::min(Columns(row.value), kValueMax));
    }
    for (const Row& row : rows) {
      const std::string name = absl::StrCat("  ", Pad(row.name, name_width), " ");
      if (row.note.empty()) {
        Wrapped(name + row.value, name_width + 3, row.style);
      } else {
        // What is left of the line takes the note, unless that would be a sliver of it.
        const size_t column = name_width + value_width + 5;
        const bool narrow = column + kNoteMin > width_;
        Wrapped(absl::StrCat(name, Pad(row.value, value_width), "  ", row.note),
                narrow ? name_width + 3 : column, row.style);
      }
    }
  }
  void Heading(const std::string& text) {
    Line("");
    Line(text, "1");
  }
  std::string Take() { return std::move(out_); }

 private:
  const size_t width_;
  const bool color_;
  std::string out_;
};

const char* Style(v1::Verdict verdict) {
  switch (verdict) {
    case v1::VERDICT_PASS: return "1;32";
    case v1::VERDICT_SKIPPED:
    case v1::VERDICT_CANCELLED: return "1;36";
    case v1::VERDICT_INVALID:
    case v1::VERDICT_TIMEOUT: return "1;33";
    default: return "1;31";
  }
}

void Checks(const v1::RunSummary& run, Page& page) {
  std::vector<Row> rows;
  for (const v1::Check& check : run.checks()) {
    const std::string value =
        check.has_value() ? WithUnit(check.value(), check.unit()) : std::string("missing");
    std::string note = CheckWord(check.verdict());
    if (check.has_limit()) {
      absl::StrAppend(&note, ", ", check.detail(), " ", WithUnit(check.limit(), check.unit()));
    }
    rows.push_back({check.name(), value, note,
                    check.verdict() == v1::VERDICT_PASS ? "" : Style(check.verdict())});
  }
  page.Block("Checks", std::move(rows));
}

std::string Seconds(bool has, double value) {
  return has ? absl::StrFormat("%10.3f", value) : absl::StrFormat("%10s", "missing");
}

void Ranks(const v1::RunSummary& run, Page& page) {
  if (run.ranks().empty() || !run.has_serve()) return;
  page.Heading("Ranks: seconds in the window");
  std::string head = "  rank";
  for (const char* name : {"compute", "wait", "transfer", "plan", "host", "lateness"}) {
    absl::StrAppendFormat(&head, "%10s", name);
  }
  page.Line(head + "  place");
  for (const v1::RankResult& r : run.ranks()) {
    page.Line(absl::StrCat(
        "  ", absl::StrFormat("%4u", r.rank()), Seconds(r.has_compute_s(), r.compute_s()),
        Seconds(r.has_collective_wait_s(), r.collective_wait_s()),
        Seconds(r.has_collective_transfer_s(), r.collective_transfer_s()),
        Seconds(r.has_plan_wait_s(), r.plan_wait_s()), Seconds(r.has_host_s(), r.host_s()),
        Seconds(r.has_lateness_s(), r.lateness_s()), "  ", EscapeControl(r.node()), "/",
        r.device()));
  }
}

void Reasons(const v1::RunSummary& run, Page& page) {
  for (const std::string& reason : run.reasons()) {
    page.Wrapped(absl::StrCat("  - ", EscapeControl(reason)), 4);
  }
}

void Run(const v1::JobSummary& job, const v1::RunSummary& run, Page& page) {
  page.Line(absl::StrCat(VerdictWord(run.verdict()), "  run ",
                         EscapeControl(DisplayRun(job.cluster_id(), RunId{run.run_id()})),
                         ", attempt ", run.attempt(), "  ", EscapeControl(PointWords(run.spec()))),
            Style(run.verdict()));
  Reasons(run, page);
  page.Wrapped(
      absl::StrCat("  ", EscapeControl(Workload(run.spec())), "; seed ", run.spec().seed()), 2);
  for (const std::string& sentence : run.transports()) {
    page.Wrapped(absl::StrCat("  transport: ", EscapeControl(sentence)), 4);
  }
  page.Block("Result", RowsOf(Headlines(run)));
  Checks(run, page);
  Ranks(run, page);
  page.Block("Instrument", RowsOf(OverheadLines(run)));
  std::vector<Row> rows;
  for (const v1::MissingValue& m : run.missing()) rows.push_back({m.name(), m.reason(), ""});
  page.Block("Missing", std::move(rows));
  rows.clear();
  for (const v1::Failure& f : run.earlier_failures()) {
    rows.push_back({FailureWord(f.kind()), BlameWords(f), f.detail()});
  }
  page.Block("Earlier attempts", std::move(rows));
}

}  // namespace

std::string RenderTerminal(const v1::JobSummary& job, const TerminalOptions& options) {
  Page page(options);
  page.Line(absl::StrCat("Rackmark ", EscapeControl(job.rackmark_version()), "  job ",
                         EscapeControl(DisplayJob(job.cluster_id(), JobId{job.job_id()})), "  ",
                         EscapeControl(job.job_name())),
            "1");
  for (const v1::RunSummary& run : job.runs()) {
    page.Line("");
    Run(job, run, page);
  }
  page.Line("");
  page.Line(absl::StrCat("Verdict: ", VerdictWord(job.verdict()), " (", job.runs_size(),
                         job.runs_size() == 1 ? " run)" : " runs)"),
            Style(job.verdict()));
  return page.Take();
}

}  // namespace rackmark

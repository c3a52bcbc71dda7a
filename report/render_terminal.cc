// Plain text for people: a headline table, checks beside their limits, and why it is not PASS.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "common/status.h"
#include "common/text.h"
#include "report/render.h"
#include "report/words.h"

namespace rackmark {
namespace {

constexpr size_t kNameWidth = 24;
constexpr size_t kValueWidth = 14;
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
  // Escapes all three.
  void Row(const std::string& name, const std::string& value, const std::string& note,
           const char* style = "") {
    const std::string safe = EscapeControl(value);
    const std::string text = absl::StrCat("  ", Pad(EscapeControl(name), kNameWidth), " ",
                                          note.empty() ? safe : Pad(safe, kValueWidth),
                                          note.empty() ? "" : "  ", EscapeControl(note));
    Wrapped(text, kNameWidth + 3, style);
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
  if (run.checks().empty()) return;
  page.Heading("Checks");
  for (const v1::Check& check : run.checks()) {
    const std::string value =
        check.has_value() ? WithUnit(check.value(), check.unit()) : std::string("missing");
    std::string note = CheckWord(check.verdict());
    if (check.has_limit()) {
      absl::StrAppend(&note, ", ", check.detail(), " ", WithUnit(check.limit(), check.unit()));
    }
    page.Row(check.name(), value, note,
             check.verdict() == v1::VERDICT_PASS ? "" : Style(check.verdict()));
  }
}

std::string Seconds(bool has, double value) {
  return has ? absl::StrFormat("%9.3f", value) : "  missing";
}

void Ranks(const v1::RunSummary& run, Page& page) {
  if (run.ranks().empty() || !run.has_serve()) return;
  page.Heading("Ranks: seconds in the window");
  page.Line("  rank    compute     wait  transfer     plan     host  lateness  place");
  for (const v1::RankResult& r : run.ranks()) {
    page.Line(absl::StrCat(
        "  ", absl::StrFormat("%4u", r.rank()), " ", Seconds(r.has_compute_s(), r.compute_s()), "",
        Seconds(r.has_collective_wait_s(), r.collective_wait_s()), " ",
        Seconds(r.has_collective_transfer_s(), r.collective_transfer_s()),
        Seconds(r.has_plan_wait_s(), r.plan_wait_s()), Seconds(r.has_host_s(), r.host_s()), " ",
        Seconds(r.has_lateness_s(), r.lateness_s()), "  ", EscapeControl(r.node()), "/",
        r.device()));
  }
}

void Reasons(const v1::RunSummary& run, Page& page) {
  for (const std::string& reason : run.reasons()) {
    page.Wrapped(absl::StrCat("  - ", EscapeControl(reason)), 4);
  }
}

void Run(const v1::RunSummary& run, Page& page) {
  page.Line(absl::StrCat(VerdictWord(run.verdict()), "  run ", run.run_id(), ", attempt ",
                         run.attempt(), "  ", EscapeControl(PointWords(run.spec()))),
            Style(run.verdict()));
  Reasons(run, page);
  page.Wrapped(
      absl::StrCat("  ", EscapeControl(Workload(run.spec())), "; seed ", run.spec().seed()), 2);
  for (const std::string& sentence : run.transports()) {
    page.Wrapped(absl::StrCat("  transport: ", EscapeControl(sentence)), 4);
  }
  const auto headlines = Headlines(run);
  if (!headlines.empty()) page.Heading("Result");
  for (const Headline& h : headlines) page.Row(h.name, h.value, h.note);
  Checks(run, page);
  Ranks(run, page);
  const auto overhead = OverheadLines(run);
  if (!overhead.empty()) page.Heading("Instrument");
  for (const Headline& h : overhead) page.Row(h.name, h.value, h.note);
  if (!run.missing().empty()) page.Heading("Missing");
  for (const v1::MissingValue& m : run.missing()) page.Row(m.name(), m.reason(), "");
  if (!run.earlier_failures().empty()) page.Heading("Earlier attempts");
  for (const v1::Failure& f : run.earlier_failures()) {
    page.Row(FailureWord(f.kind()), BlameWords(f), f.detail());
  }
}

}  // namespace

std::string RenderTerminal(const v1::JobSummary& job, const TerminalOptions& options) {
  Page page(options);
  page.Line(absl::StrCat("Rackmark ", EscapeControl(job.rackmark_version()), "  job ",
                         EscapeControl(job.job_name())),
            "1");
  for (const v1::RunSummary& run : job.runs()) {
    page.Line("");
    Run(run, page);
  }
  page.Line("");
  page.Line(absl::StrCat("Verdict: ", VerdictWord(job.verdict()), " (", job.runs_size(),
                         job.runs_size() == 1 ? " run)" : " runs)"),
            Style(job.verdict()));
  return page.Take();
}

}  // namespace rackmark

// A comparison as text, JSON and Markdown. Only formats.
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "common/ids.h"
#include "common/status.h"
#include "common/text.h"
#include "nlohmann/json.hpp"
#include "report/compare.h"
#include "report/markdown.h"
#include "report/words.h"

namespace rackmark {
namespace {

using Json = nlohmann::ordered_json;

std::string JobName(const v1::JobSummary& job) {
  return absl::StrCat(DisplayJob(job.cluster_id(), JobId{job.job_id()}), " ", job.job_name(), " (",
                      VerdictWord(job.verdict()), ")");
}

std::string Value(const std::optional<double>& value, const std::string& unit) {
  return value ? WithUnit(*value, unit) : std::string("missing");
}

std::string Ratio(const MetricComparison& m) {
  return m.ratio ? absl::StrFormat("%.3f", *m.ratio) : std::string("missing");
}

std::string Interval(const MetricComparison& m) {
  return m.interval ? absl::StrFormat("%.3f to %.3f", m.interval->low, m.interval->high)
                    : std::string("no interval");
}

std::string Rule(const Comparison& c) {
  std::string rule = absl::StrCat(
      "ratio = B / A of geometric means; same: the whole 95 % interval lies within a factor of ",
      absl::StrFormat("%.3g", 1 + c.options.tolerance),
      "; faster, slower: it does not, and excludes 1; only runs that PASS count");
  if (c.options.stated_noise) {
    absl::StrAppend(&rule, "; single runs by the stated noise of ",
                    absl::StrFormat("%.3g %%", 100 * *c.options.stated_noise));
  }
  return rule;
}

std::string PointName(const PointComparison& point) {
  return point.point.empty() ? std::string("All runs") : point.point;
}

// Wrapped at blanks to the width, lines after the first `indent` columns in. Escapes.
void Wrap(const std::string& text, size_t indent, size_t width, std::string& out) {
  const std::string safe = EscapeControl(text);
  size_t column = 0;
  for (size_t start = 0; start < safe.size();) {
    const size_t end = std::min(safe.find(' ', start + 1), safe.size());
    if (column > indent && column + (end - start) > width) {
      absl::StrAppend(&out, "\n", std::string(indent, ' '));
      column = indent;
      if (safe[start] == ' ') ++start;
    }
    absl::StrAppend(&out, safe.substr(start, end - start));
    column += end - start;
    start = end;
  }
  out += "\n";
}

const char* Color(CompareVerdict verdict) {
  switch (verdict) {
    case CompareVerdict::kSame: return "1;32";
    case CompareVerdict::kFaster: return "1;36";
    case CompareVerdict::kSlower: return "1;31";
    case CompareVerdict::kCannotSay: break;
  }
  return "1;33";
}

std::string Colored(CompareVerdict verdict, const std::string& text, bool color) {
  return color ? absl::StrCat("\x1b[", Color(verdict), "m", text, "\x1b[0m") : text;
}

// Reasons are often alike: each is written once, below the table.
class Footnotes {
 public:
  size_t Number(const std::string& why) {
    for (size_t i = 0; i < reasons_.size(); ++i) {
      if (reasons_[i] == why) return i + 1;
    }
    reasons_.push_back(why);
    return reasons_.size();
  }
  const std::vector<std::string>& reasons() const { return reasons_; }

 private:
  std::vector<std::string> reasons_;
};

Json Numbers(const std::vector<double>& values) {
  Json out = Json::array();
  for (const double v : values) out.push_back(std::isfinite(v) ? Json(v) : Json(nullptr));
  return out;
}

Json Optional(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? Json(*value) : Json(nullptr);
}

Json MetricJson(const MetricComparison& m) {
  Json interval = nullptr;
  if (m.interval) interval = {{"low", m.interval->low}, {"high", m.interval->high}};
  return {{"name", m.name},
          {"unit", m.unit},
          {"more_is_better", m.more_is_better},
          {"a_values", Numbers(m.a_values)},
          {"b_values", Numbers(m.b_values)},
          {"a", Optional(m.a)},
          {"b", Optional(m.b)},
          {"ratio", Optional(m.ratio)},
          {"interval_95", interval},
          {"verdict", CompareWord(m.verdict)},
          {"why", m.why}};
}

Json RunJson(const v1::RunSummary* run) {
  if (run == nullptr) return nullptr;
  return {{"run_id", run->run_id()},
          {"attempt", run->attempt()},
          {"verdict", VerdictWord(run->verdict())}};
}

Json PointJson(const PointComparison& point) {
  Json runs = Json::array(), metrics = Json::array();
  for (const RunPair& pair : point.runs) {
    runs.push_back(
        {{"repetition", pair.repetition}, {"a", RunJson(pair.a)}, {"b", RunJson(pair.b)}});
  }
  for (const MetricComparison& m : point.metrics) metrics.push_back(MetricJson(m));
  return {{"point", point.point}, {"runs", runs}, {"metrics", metrics}};
}

Json JobJson(const v1::JobSummary& job) {
  return {{"cluster_id", job.cluster_id()},
          {"job_id", job.job_id()},
          {"job_name", job.job_name()},
          {"verdict", VerdictWord(job.verdict())}};
}

Table PointTable(const PointComparison& point, Footnotes& notes) {
  Table table{PointName(point),
              "",
              {"metric", "verdict", "why", "A", "B", "ratio", "95 % interval"},
              {},
              3};
  for (const MetricComparison& m : point.metrics) {
    table.rows.push_back({m.name, CompareWord(m.verdict),
                          absl::StrCat("note ", notes.Number(m.why)), Value(m.a, m.unit),
                          Value(m.b, m.unit), Ratio(m), Interval(m)});
  }
  return table;
}

}  // namespace

std::string RenderCompareTerminal(const Comparison& c, const TerminalOptions& options) {
  const auto width = static_cast<size_t>(std::max(options.width, 40));
  std::string out;
  Wrap("A  " + JobName(*c.a), 3, width, out);
  Wrap("B  " + JobName(*c.b), 3, width, out);
  Footnotes notes;
  for (const PointComparison& point : c.points) {
    out += "\n";
    Wrap(PointName(point), 2, width, out);
    for (const MetricComparison& m : point.metrics) {
      const std::string word = absl::StrFormat("%-10s", CompareWord(m.verdict));
      std::string line =
          absl::StrFormat("  %-17s %s", m.name, Colored(m.verdict, word, options.color));
      absl::StrAppend(&line, "  ", Ratio(m), m.interval ? " (" + Interval(m) + ")" : "");
      absl::StrAppend(&out, line, "\n");
      Wrap(absl::StrCat("                    A ", Value(m.a, m.unit), ", B ", Value(m.b, m.unit),
                        "; note ", notes.Number(m.why)),
           20, width, out);
    }
  }
  if (!notes.reasons().empty()) out += "\nNotes\n";
  for (size_t i = 0; i < notes.reasons().size(); ++i) {
    Wrap(absl::StrCat("  ", i + 1, "  ", notes.reasons()[i]), 5, width, out);
  }
  for (const std::string& note : c.notes) Wrap("  -  " + note, 5, width, out);
  if (!c.differences.empty()) out += "\nWhat else differs\n";
  for (const Difference& d : c.differences) {
    Wrap(absl::StrCat("  ", d.what, ": A ", d.a, " | B ", d.b), 4, width, out);
  }
  out += "\n";
  Wrap(Rule(c), 0, width, out);
  absl::StrAppend(&out, "\n", Colored(c.verdict, CompareSentence(c.verdict), options.color), ": ");
  Wrap(c.why, 0, width, out);
  return out;
}

std::string RenderCompareJson(const Comparison& c) {
  Json points = Json::array(), differences = Json::array();
  for (const PointComparison& point : c.points) points.push_back(PointJson(point));
  for (const Difference& d : c.differences) {
    differences.push_back({{"what", d.what}, {"a", d.a}, {"b", d.b}});
  }
  const Json json = {{"format", 1},
                     {"a", JobJson(*c.a)},
                     {"b", JobJson(*c.b)},
                     {"verdict", CompareWord(c.verdict)},
                     {"why", c.why},
                     {"rule", Rule(c)},
                     {"tolerance", c.options.tolerance},
                     {"stated_noise", Optional(c.options.stated_noise)},
                     {"points", points},
                     {"differences", differences},
                     {"notes", c.notes}};
  return JsonText(json.dump(1, ' ', true, Json::error_handler_t::replace));
}

std::string RenderCompareMarkdown(const Comparison& c) {
  std::string out = absl::StrCat("# ", CompareSentence(c.verdict), "\n\n", MarkdownText(c.why),
                                 "\n\n- A: ", MarkdownText(JobName(*c.a)),
                                 "\n- B: ", MarkdownText(JobName(*c.b)), "\n");
  Footnotes notes;
  for (const PointComparison& point : c.points) {
    absl::StrAppend(&out, "\n## ", point.point.empty() ? "" : "Point ",
                    MarkdownText(PointName(point)), "\n\n",
                    MarkdownTable(PointTable(point, notes)));
  }
  out += "\n## Notes\n\n";
  for (size_t i = 0; i < notes.reasons().size(); ++i) {
    absl::StrAppend(&out, "- note ", i + 1, ": ", MarkdownText(notes.reasons()[i]), "\n");
  }
  for (const std::string& note : c.notes) absl::StrAppend(&out, "- ", MarkdownText(note), "\n");
  absl::StrAppend(&out, "- ", MarkdownText(Rule(c)), "\n");
  if (c.differences.empty()) return out;
  Table table{"", "", {"what", "A", "B"}, {}, 3};
  for (const Difference& d : c.differences) table.rows.push_back({d.what, d.a, d.b});
  return absl::StrCat(out, "\n## What else differs\n\n", MarkdownTable(table));
}

}  // namespace rackmark

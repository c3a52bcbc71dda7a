// Numbers and facts as people read them; terminal and HTML share the words. Pure. Results are not
// escaped: each renderer does that for where it writes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rackmark/v1/summary.pb.h"

namespace rackmark {

std::string VerdictWord(v1::Verdict verdict);
// The same for a check, which a run that failed first leaves without a verdict.
std::string CheckWord(v1::Verdict verdict);
// "rank 0 on a device 0, rank 1 on b device 0".
std::string PlacementWords(const v1::Placement& placement);
// Three significant digits; never an exponent below a million.
std::string Digits(double value);
std::string Share(double share);  // "97.5 %"
std::string Milliseconds(double ms);
std::string BytesPerSecond(double rate);
// A number of a check in its unit: shares as percent.
std::string WithUnit(double value, std::string_view unit);

// Why the number of this name is missing, if the summary says so; else "not recorded".
std::string MissingReason(const v1::RunSummary& run, std::string_view name);
// "missing: <reason>", by the first missing value of this name; else "missing".
std::string MissingText(const v1::RunSummary& run, std::string_view name);

// What a run was, in a line: "tiny, tensor parallel 2, 20 s, auto 60 %".
std::string Workload(const v1::RunSpec& spec);
// The workload and what it runs on, without its load: "serve tiny-30m, tensor parallel 2", "null".
std::string ShapeWords(const v1::RunSpec& spec);
// The swept fields of a run: "load.rate=5"; empty without a sweep.
std::string SweepWords(const v1::RunSpec& spec);
// The swept fields of a run and its repetition: "load.rate=5, repetition 1".
std::string PointWords(const v1::RunSpec& spec);

struct Headline {
  std::string name;
  std::string value;
  std::string note;  // limit or second view beside it
};
// The numbers that a reader looks for first, in order.
std::vector<Headline> Headlines(const v1::RunSummary& run);
// Instrument's cost as sentences.
std::vector<Headline> OverheadLines(const v1::RunSummary& run);
// Who is to blame, for a failure's line: "rank 1, node b, device 0, while MEASURING".
std::string BlameWords(const v1::Failure& failure);
std::string FailureWord(v1::FailureKind kind);

}  // namespace rackmark

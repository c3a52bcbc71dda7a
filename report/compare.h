// Did B measure the same as A? Two jobs' summaries in, matched by point and repetition; for each
// headline number the ratio B / A with its 95 % interval and a verdict that says how it was
// reached. Pure.
//
// The rule. Values are logarithms, because speeds differ by factors. Two or more counted runs on
// both sides: Welch's interval of the difference of means. Two or more on one side only: the same
// with that side's spread for both. One run each: nothing is known of the spread, so "cannot say",
// unless the user states how far apart two equal runs may lie (`stated_noise`).
// SAME: the whole interval lies within 1 +- tolerance. FASTER, SLOWER: it does not, and excludes 1.
// CANNOT_SAY: everything else. Only runs that PASS count. Numbers under a load (latencies, output
// rate) are never judged where the two loads differ by more than the tolerance.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rackmark/v1/summary.pb.h"
#include "report/render.h"

namespace rackmark {

enum class CompareVerdict { kSame, kFaster, kSlower, kCannotSay };  // of B against A

struct CompareOptions {
  double tolerance = 0.05;             // ratios within 1 +- this are "the same"; (0, 1)
  std::optional<double> stated_noise;  // for single runs: ratios within 1 +- this are "the same"
};

struct RatioInterval {
  double low = 0;
  double high = 0;
};
struct MetricComparison {
  std::string name;  // "TTFT p50"
  std::string unit;
  bool more_is_better = false;
  std::vector<double> a_values;  // of the counted runs, by repetition
  std::vector<double> b_values;
  std::optional<double> a;  // geometric means
  std::optional<double> b;
  std::optional<double> ratio;  // B / A
  std::optional<RatioInterval> interval;
  CompareVerdict verdict = CompareVerdict::kCannotSay;
  std::string why;  // how the verdict was reached, or what is missing for one
};
// One repetition of a point, on either side or both.
struct RunPair {
  uint32_t repetition = 0;
  const v1::RunSummary* a = nullptr;  // null: that side has no such run
  const v1::RunSummary* b = nullptr;
};
struct PointComparison {
  std::string point;  // "load.rate=5"; empty without a sweep
  std::vector<RunPair> runs;
  std::vector<MetricComparison> metrics;
};
struct Difference {
  std::string what;  // "CPU", "serve.model"
  std::string a;
  std::string b;
};
struct Comparison {
  const v1::JobSummary* a = nullptr;
  const v1::JobSummary* b = nullptr;
  CompareOptions options;
  std::vector<PointComparison> points;  // those of both jobs
  std::vector<Difference> differences;  // of environment, versions, placement and spec
  std::vector<std::string> notes;       // points and runs that were left out, and why
  CompareVerdict verdict = CompareVerdict::kCannotSay;
  std::string why;
};

// Both summaries must outlive the result.
Comparison CompareJobs(const v1::JobSummary& a, const v1::JobSummary& b,
                       const CompareOptions& options);

// "B is faster", "It cannot be said how B compares with A".
std::string CompareSentence(CompareVerdict verdict);
// "same", "faster", "slower", "cannot say".
std::string CompareWord(CompareVerdict verdict);
std::string RenderCompareTerminal(const Comparison& comparison, const TerminalOptions& options);
std::string RenderCompareJson(const Comparison& comparison);
std::string RenderCompareMarkdown(const Comparison& comparison);

}  // namespace rackmark

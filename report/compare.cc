#include "report/compare.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/strings/str_format.h"
#include "common/status.h"
#include "report/compare_parts.h"
#include "report/words.h"

namespace rackmark {
namespace {

// Two-sided 95 % points of Student's t for 1 to 30 degrees of freedom; beyond, the normal one is
// near enough on the safe side of rounding.
constexpr double kStudent95[] = {12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060,
                                 2.2622,  2.2281, 2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199,
                                 2.1098,  2.1009, 2.0930, 2.0860, 2.0796, 2.0739, 2.0687, 2.0639,
                                 2.0595,  2.0555, 2.0518, 2.0484, 2.0452, 2.0423};

// Degrees of freedom are rounded down: a wider interval, never a narrower one.
double Student95(double freedom) {
  const auto whole = static_cast<size_t>(std::max(1.0, std::floor(freedom + 1e-9)));
  if (whole > std::size(kStudent95)) return whole > 120 ? 1.98 : kStudent95[29];
  return kStudent95[whole - 1];
}

struct Logs {
  size_t n = 0;
  double mean = 0;
  double variance = 0;  // of the sample; 0 below two values
};

Logs LogsOf(const std::vector<double>& values) {
  Logs out{values.size()};
  for (const double v : values) out.mean += std::log(v) / static_cast<double>(values.size());
  for (const double v : values) {
    const double d = std::log(v) - out.mean;
    if (out.n > 1) out.variance += d * d / static_cast<double>(out.n - 1);
  }
  return out;
}

// Half the width of the interval of the difference of means; missing if neither side has a spread.
std::optional<double> HalfWidth(const Logs& a, const Logs& b) {
  const auto n_a = static_cast<double>(a.n), n_b = static_cast<double>(b.n);
  if (a.n < 2 && b.n < 2) return std::nullopt;
  if (a.n < 2 || b.n < 2) {
    const Logs& known = a.n < 2 ? b : a;
    return Student95(static_cast<double>(known.n - 1)) *
           std::sqrt(known.variance * (1 / n_a + 1 / n_b));
  }
  const double v_a = a.variance / n_a, v_b = b.variance / n_b;
  if (v_a + v_b <= 0) return 0;
  const double freedom =
      (v_a + v_b) * (v_a + v_b) / (v_a * v_a / (n_a - 1) + v_b * v_b / (n_b - 1));
  return Student95(freedom) * std::sqrt(v_a + v_b);
}

std::string Percent(double share) { return absl::StrFormat("%.3g %%", 100 * share); }

void Decide(double low, double high, double tolerance, MetricComparison& m) {
  // By logarithms both borders are equally far: 5 % more, or the inverse of 5 % more.
  const bool same = low >= 1 / (1 + tolerance) && high <= 1 + tolerance;
  if (same) {
    m.verdict = CompareVerdict::kSame;
  } else if (low > 1 || high < 1) {
    m.verdict = (low > 1) == m.more_is_better ? CompareVerdict::kFaster : CompareVerdict::kSlower;
  }
}

void JudgeByNoise(const CompareOptions& options, MetricComparison& m) {
  if (!options.stated_noise) {
    m.why =
        "one run on each side: nothing is known of the spread between equal runs; repeat the "
        "runs, or state the noise";
    return;
  }
  const double noise = 1 + *options.stated_noise;
  const bool same = *m.ratio <= noise && *m.ratio >= 1 / noise;
  m.verdict = same                                 ? CompareVerdict::kSame
              : (*m.ratio > 1) == m.more_is_better ? CompareVerdict::kFaster
                                                   : CompareVerdict::kSlower;
  m.why =
      absl::StrCat("one run on each side: judged by the noise of ", Percent(*options.stated_noise),
                   " that was stated, not by a measured spread");
}

void JudgeMetric(const CompareOptions& options, MetricComparison& m) {
  const auto bad = [](const std::vector<double>& values) {
    return std::any_of(values.begin(), values.end(),
                       [](double v) { return !std::isfinite(v) || v <= 0; });
  };
  if (m.a_values.empty() || m.b_values.empty()) {
    m.why = absl::StrCat("missing in every counted run of ", !m.a_values.empty()   ? "B"
                                                             : !m.b_values.empty() ? "A"
                                                                                   : "both");
    return;
  }
  if (bad(m.a_values) || bad(m.b_values)) {
    m.why = "a value is 0: it has no ratio";
    return;
  }
  const Logs a = LogsOf(m.a_values), b = LogsOf(m.b_values);
  m.a = std::exp(a.mean);
  m.b = std::exp(b.mean);
  m.ratio = std::exp(b.mean - a.mean);
  const auto half = HalfWidth(a, b);
  if (!half) return JudgeByNoise(options, m);
  m.interval = {std::exp(b.mean - a.mean - *half), std::exp(b.mean - a.mean + *half)};
  Decide(m.interval->low, m.interval->high, options.tolerance, m);
  m.why = absl::StrCat("95 % interval from ", a.n, " and ", b.n, " runs (",
                       a.n < 2   ? "B's spread for both"
                       : b.n < 2 ? "A's spread for both"
                                 : "Welch",
                       ", on logarithms)");
  if (m.verdict == CompareVerdict::kCannotSay) {
    absl::StrAppend(&m.why, ": it holds 1, and more than ", Percent(options.tolerance),
                    " beside it");
  }
}

// Numbers of a run under a load tell nothing about a run under another.
void HoldBackUnderAnotherLoad(const CompareOptions& options, PointComparison& point) {
  const MetricComparison* rate = nullptr;
  for (const MetricComparison& m : point.metrics) {
    if (m.name == kRequestedRateName) rate = &m;
  }
  if (rate == nullptr || !rate->ratio) return;
  const double tolerance = 1 + options.tolerance;
  if (*rate->ratio <= tolerance && *rate->ratio >= 1 / tolerance) return;
  for (MetricComparison& m : point.metrics) {
    if (!DependsOnLoad(m.name)) continue;
    m.verdict = CompareVerdict::kCannotSay;
    m.why = absl::StrCat("the loads differ: ", Digits(*rate->a), " and ", Digits(*rate->b),
                         " requests/s");
  }
}

// Steps of the null workload are as long as what is recorded in them.
void HoldBackUnderAnotherPlan(PointComparison& point) {
  const v1::NullWorkload* plan = nullptr;
  for (const RunPair& pair : point.runs) {
    for (const v1::RunSummary* run : {pair.a, pair.b}) {
      if (run == nullptr || !run->has_null()) continue;
      const v1::NullWorkload& other = run->spec().null();
      if (plan == nullptr) plan = &other;
      if (plan->samples_per_step() == other.samples_per_step()) continue;
      for (MetricComparison& m : point.metrics) {
        if (m.name != kNullStepsName) continue;
        m.verdict = CompareVerdict::kCannotSay;
        m.why = absl::StrCat("the plans differ: ", plan->samples_per_step(), " and ",
                             other.samples_per_step(), " samples in a step");
      }
      return;
    }
  }
}

void JudgeAll(Comparison& out) {
  size_t faster = 0, slower = 0, same = 0, unsaid = 0;
  for (const PointComparison& point : out.points) {
    for (const MetricComparison& m : point.metrics) {
      if (m.name == kRequestedRateName) continue;  // what was asked, not what was measured
      faster += m.verdict == CompareVerdict::kFaster;
      slower += m.verdict == CompareVerdict::kSlower;
      same += m.verdict == CompareVerdict::kSame;
      unsaid += m.verdict == CompareVerdict::kCannotSay;
    }
  }
  const size_t judged = faster + slower + same;
  if (judged > 0 && faster == 0 && slower == 0 && unsaid == 0) out.verdict = CompareVerdict::kSame;
  if (faster > 0 && slower == 0) out.verdict = CompareVerdict::kFaster;
  if (slower > 0 && faster == 0) out.verdict = CompareVerdict::kSlower;
  out.why = absl::StrCat(faster, " faster, ", slower, " slower, ", same, " the same, ", unsaid,
                         " cannot be said");
  if (judged >= 20) {
    absl::StrAppend(&out.why, "; of ", judged, " intervals of 95 % about ", (judged + 10) / 20,
                    " miss by chance");
  }
}

using Runs = std::map<std::string, std::map<uint32_t, RunPair>>;  // by point and repetition

void Collect(const v1::JobSummary& job, const v1::RunSummary* RunPair::*side, Runs& to) {
  for (const v1::RunSummary& run : job.runs()) {
    RunPair& pair = to[SweepWords(run.spec())][run.spec().repetition()];
    pair.repetition = run.spec().repetition();
    pair.*side = &run;
  }
}

std::string Named(const std::string& point) {
  return point.empty() ? std::string("the only point") : point;
}

// Notes what is on one side only and what does not count.
void NoteRuns(const PointComparison& point, std::vector<std::string>& notes) {
  for (const RunPair& pair : point.runs) {
    const std::string at =
        absl::StrCat(Named(point.point), ", repetition ", pair.repetition + 1, ": ");
    if (pair.a == nullptr) notes.push_back(absl::StrCat(at, "only B has it"));
    if (pair.b == nullptr) notes.push_back(absl::StrCat(at, "only A has it"));
    for (const auto& [run, name] : {std::pair(pair.a, "A"), std::pair(pair.b, "B")}) {
      if (run == nullptr || run->verdict() == v1::VERDICT_PASS) continue;
      notes.push_back(
          absl::StrCat(at, name, "'s run is ", VerdictWord(run->verdict()), " and does not count"));
    }
  }
}

}  // namespace

std::string CompareWord(CompareVerdict verdict) {
  switch (verdict) {
    case CompareVerdict::kSame: return "same";
    case CompareVerdict::kFaster: return "faster";
    case CompareVerdict::kSlower: return "slower";
    case CompareVerdict::kCannotSay: break;
  }
  return "cannot say";
}

std::string CompareSentence(CompareVerdict verdict) {
  if (verdict == CompareVerdict::kCannotSay) return "It cannot be said how B compares with A";
  return absl::StrCat("B is ", verdict == CompareVerdict::kSame ? "the " : "",
                      CompareWord(verdict));
}

Comparison CompareJobs(const v1::JobSummary& a, const v1::JobSummary& b,
                       const CompareOptions& options) {
  Comparison out;
  out.a = &a;
  out.b = &b;
  out.options = options;
  Runs runs;
  Collect(a, &RunPair::a, runs);
  Collect(b, &RunPair::b, runs);
  for (auto& [name, repetitions] : runs) {
    PointComparison point{name, {}, {}};
    bool has_a = false, has_b = false;
    for (const auto& [repetition, pair] : repetitions) {
      has_a |= pair.a != nullptr;
      has_b |= pair.b != nullptr;
      point.runs.push_back(pair);
    }
    if (!has_a || !has_b) {
      out.notes.push_back(absl::StrCat(Named(name), ": only ", has_a ? "A" : "B", " has it"));
      continue;
    }
    NoteRuns(point, out.notes);
    point.metrics = HeadlineMetrics(point.runs);
    for (MetricComparison& m : point.metrics) JudgeMetric(options, m);
    HoldBackUnderAnotherLoad(options, point);
    HoldBackUnderAnotherPlan(point);
    out.points.push_back(std::move(point));
  }
  out.differences = DifferencesOf(a, b);
  JudgeAll(out);
  return out;
}

}  // namespace rackmark

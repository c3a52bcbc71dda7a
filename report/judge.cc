#include "report/judge.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "common/status.h"

namespace rackmark {
namespace {

// Higher is worse. The order of the core's WorstOf, which a scenario compares with this one.
int Severity(v1::Verdict verdict) {
  switch (verdict) {
    case v1::VERDICT_PASS: return 0;
    case v1::VERDICT_SKIPPED: return 1;
    case v1::VERDICT_INVALID: return 2;
    case v1::VERDICT_FAIL: return 3;
    case v1::VERDICT_TIMEOUT: return 4;
    case v1::VERDICT_CANCELLED: return 6;
    default: return 5;  // ERROR, and what this build does not know
  }
}

std::string Blame(const v1::Failure& failure) {
  std::string blame;
  if (failure.has_rank()) blame = absl::StrCat(" (rank ", failure.rank());
  if (!failure.node().empty()) {
    absl::StrAppend(&blame, blame.empty() ? " (" : ", ", "node ", failure.node());
  }
  if (failure.has_device()) {
    absl::StrAppend(&blame, blame.empty() ? " (" : ", ", "device ", failure.device());
  }
  return blame.empty() ? blame : blame + ")";
}

const char* Words(v1::FailureKind kind) {
  switch (kind) {
    case v1::FAILURE_KIND_RANK_DIED: return "a rank process died";
    case v1::FAILURE_KIND_RANK_FAILED: return "a rank failed";
    case v1::FAILURE_KIND_NODE_LOST: return "a node was lost";
    case v1::FAILURE_KIND_NODE_RESTARTED: return "a worker restarted";
    case v1::FAILURE_KIND_SETUP_TIMEOUT: return "set-up took longer than its limit";
    case v1::FAILURE_KIND_PREPARE_TIMEOUT: return "preparing took longer than its limit";
    case v1::FAILURE_KIND_MEASURE_TIMEOUT: return "measuring took longer than its limit";
    case v1::FAILURE_KIND_DRAIN_TIMEOUT: return "the samples did not arrive within the drain limit";
    case v1::FAILURE_KIND_SAMPLES_LOST: return "results overflowed a bound and were lost";
    case v1::FAILURE_KIND_UNSUPPORTED: return "this gang cannot run this here";
    case v1::FAILURE_KIND_CANCELLED: return "the run was cancelled";
    case v1::FAILURE_KIND_VERIFY: return "the data check failed";
    case v1::FAILURE_KIND_FENCED: return "the worker fenced itself without its coordinator";
    case v1::FAILURE_KIND_PREEMPTED: return "its gang made room for another";
    case v1::FAILURE_KIND_STALLED: return "its ranks did not get on";
    case v1::FAILURE_KIND_BUDGET: return "the job has used up its budget";
    case v1::FAILURE_KIND_DEPENDENCY: return "what it waited for in its suite did not succeed";
    case v1::FAILURE_KIND_EXPECTATION: return "its suite's parts are not those that it expects";
    case v1::FAILURE_KIND_DEVICE: return "a device became unhealthy";
    default: return "it failed in a way that this build does not know";
  }
}

// Collects what the checks say, worst first wins.
class Verdicts {
 public:
  explicit Verdicts(v1::RunSummary& run) : run_(run) {}

  struct Rule {
    std::string name;
    v1::Verdict otherwise = v1::VERDICT_INVALID;  // what a broken limit makes of the run
    double limit = 0;
    bool at_least = false;  // value >= limit; else value <= limit
    std::string unit;
  };
  // A missing value breaks the rule too: a number that is not there is not within its limit.
  void Test(const Rule& rule, std::optional<double> value, const std::string& reason) {
    const bool met = value && (rule.at_least ? *value >= rule.limit : *value <= rule.limit);
    v1::Check* check = Slot(rule.name);
    check->set_verdict(met ? v1::VERDICT_PASS : rule.otherwise);
    if (value) check->set_value(*value);
    check->set_limit(rule.limit);
    check->set_unit(rule.unit);
    check->set_detail(rule.at_least ? "at least" : "at most");
    if (!met) Say(rule.otherwise, reason);
  }
  void Say(v1::Verdict verdict, const std::string& reason) {
    if (Severity(verdict) > Severity(worst_)) worst_ = verdict;
    reasons_.push_back(reason);
  }
  void Warn(const std::string& text) { warnings_.push_back("warning: " + text); }
  std::optional<double> Value(const std::string& name) const {
    for (const v1::Check& check : run_.checks()) {
      if (check.name() == name && check.has_value()) return check.value();
    }
    return std::nullopt;
  }
  void Finish() {
    run_.set_verdict(worst_);
    run_.clear_reasons();
    for (const auto* list : {&reasons_, &warnings_}) {
      for (const std::string& reason : *list) run_.add_reasons(reason);
    }
  }

 private:
  v1::Check* Slot(const std::string& name) {
    for (v1::Check& check : *run_.mutable_checks()) {
      if (check.name() == name) return &check;
    }
    v1::Check* check = run_.add_checks();
    check->set_name(name);
    return check;
  }
  v1::RunSummary& run_;
  v1::Verdict worst_ = v1::VERDICT_PASS;
  std::vector<std::string> reasons_;
  std::vector<std::string> warnings_;
};

std::string Percent(double share) { return absl::StrFormat("%.1f %%", 100 * share); }

void JudgeSamples(const v1::RunSummary& run, Verdicts& verdicts) {
  verdicts.Test({.name = "incomplete rank streams", .limit = 0, .unit = "streams"},
                verdicts.Value("incomplete rank streams"),
                "the samples of at least one rank did not all arrive");
  verdicts.Test({.name = "results dropped", .limit = 0, .unit = "results"},
                static_cast<double>(run.dropped_results()),
                absl::StrCat(run.dropped_results(), " results were dropped at a bound"));
  if (run.dropped_telemetry() > 0) {
    verdicts.Warn(absl::StrCat(run.dropped_telemetry(),
                               " telemetry points were dropped at a "
                               "bound; no result was"));
  }
}

void JudgeVerify(Verdicts& verdicts) {
  const auto checked = verdicts.Value("tokens checked");
  const auto wrong = verdicts.Value("wrong tokens");
  verdicts.Test({.name = "tokens checked", .limit = 1, .at_least = true, .unit = "tokens"}, checked,
                "no token was checked: a number without a check is not a result");
  if (!checked && !wrong) return;
  verdicts.Test(
      {.name = "wrong tokens", .otherwise = v1::VERDICT_FAIL, .limit = 0, .unit = "tokens"}, wrong,
      wrong ? absl::StrFormat("%.0f of %.0f checked tokens are wrong: the gang computes "
                              "something else than the reference",
                              *wrong, checked.value_or(0))
            : "the check did not say how many tokens are wrong");
}

void JudgeServe(const v1::RunSummary& run, Verdicts& verdicts) {
  const v1::ServeResult& serve = run.serve();
  std::optional<double> delivered;
  if (serve.has_delivered_share()) delivered = serve.delivered_share();
  verdicts.Test(
      {.name = "load delivered", .limit = kDeliveredShareMin, .at_least = true, .unit = "1"},
      delivered,
      delivered ? absl::StrCat("only ", Percent(*delivered),
                               " of the scheduled requests ended in "
                               "time; at least ",
                               Percent(kDeliveredShareMin),
                               " must, or the "
                               "latencies are those of a lighter load")
                : "no request was scheduled in the window");
  std::optional<double> errors;
  if (serve.requests_scheduled() > 0) {
    errors = static_cast<double>(serve.requests_failed()) /
             static_cast<double>(serve.requests_scheduled());
    verdicts.Test({.name = "requests failed", .limit = kErrorShareMax, .unit = "1"}, errors,
                  absl::StrCat(Percent(*errors), " of the requests failed; at most ",
                               Percent(kErrorShareMax), " may"));
  }
  verdicts.Test({.name = "requests of another length", .limit = 0, .unit = "requests"},
                verdicts.Value("requests of another length"),
                "requests ended with more or fewer tokens than planned");
  verdicts.Test({.name = "output tokens", .limit = 1, .at_least = true, .unit = "tokens"},
                static_cast<double>(serve.output_tokens()), "no token was produced in the window");
  if (run.overhead().has_share_of_step()) {
    const double share = run.overhead().share_of_step();
    verdicts.Test({.name = "instrument overhead", .limit = kOverheadShareMax, .unit = "1"}, share,
                  absl::StrCat("recording took ", Percent(share), " of a step; at most ",
                               Percent(kOverheadShareMax), " may"));
  }
}

}  // namespace

v1::Verdict VerdictOf(v1::FailureKind kind) {
  switch (kind) {
    case v1::FAILURE_KIND_SETUP_TIMEOUT:
    case v1::FAILURE_KIND_PREPARE_TIMEOUT:
    case v1::FAILURE_KIND_MEASURE_TIMEOUT:
    case v1::FAILURE_KIND_STALLED:
    case v1::FAILURE_KIND_BUDGET: return v1::VERDICT_TIMEOUT;
    case v1::FAILURE_KIND_DRAIN_TIMEOUT:
    case v1::FAILURE_KIND_SAMPLES_LOST: return v1::VERDICT_INVALID;
    case v1::FAILURE_KIND_UNSUPPORTED:
    case v1::FAILURE_KIND_DEPENDENCY:
    case v1::FAILURE_KIND_EXPECTATION: return v1::VERDICT_SKIPPED;
    case v1::FAILURE_KIND_CANCELLED: return v1::VERDICT_CANCELLED;
    case v1::FAILURE_KIND_VERIFY: return v1::VERDICT_FAIL;
    default: return v1::VERDICT_ERROR;
  }
}

void Judge(v1::RunSummary& run) {
  Verdicts verdicts(run);
  if (run.has_failure()) {
    const v1::Failure& failure = run.failure();
    std::string reason = absl::StrCat(Words(failure.kind()), Blame(failure));
    if (!failure.detail().empty()) absl::StrAppend(&reason, ": ", failure.detail());
    const v1::Verdict verdict = VerdictOf(failure.kind());
    verdicts.Say(verdict, reason);
    // What it did not finish was not measured: only a run that was can be judged further.
    if (verdict != v1::VERDICT_INVALID && verdict != v1::VERDICT_FAIL) return verdicts.Finish();
  }
  const bool serves = run.spec().has_serve();
  const bool measured = serves ? run.has_serve() : run.has_overhead();
  if (!measured) {
    verdicts.Say(v1::VERDICT_INVALID, "the measured window is missing");
  }
  JudgeSamples(run, verdicts);
  if (serves) JudgeVerify(verdicts);
  if (serves && measured) JudgeServe(run, verdicts);
  if (run.earlier_failures_size() > 0) {
    verdicts.Warn(absl::StrCat("this is attempt ", run.attempt(), "; ", run.earlier_failures_size(),
                               " before it failed"));
  }
  verdicts.Finish();
}

v1::Verdict JobVerdict(const v1::JobSummary& job) {
  if (job.runs().empty()) return v1::VERDICT_ERROR;
  v1::Verdict worst = v1::VERDICT_PASS;
  for (const v1::RunSummary& run : job.runs()) {
    const bool known = run.verdict() != v1::VERDICT_UNKNOWN && v1::Verdict_IsValid(run.verdict());
    const v1::Verdict verdict = known ? run.verdict() : v1::VERDICT_ERROR;
    if (Severity(verdict) > Severity(worst)) worst = verdict;
  }
  return worst;
}

}  // namespace rackmark

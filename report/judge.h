// The verdict of a run from its summary, with a reason for everything that is not PASS and each
// check beside its limit. Pure. Order of questions: did it break (failure kind), does the
// measurement count (INVALID), were the checks met (FAIL). A wrong token is always a FAIL, and a
// run whose tokens were not checked is INVALID: a number without a check is not a result.
#pragma once

#include "rackmark/v1/summary.pb.h"

namespace rackmark {

// Limits of the checks: one table for judge, reports and tests.
constexpr double kDeliveredShareMin = 0.95;
constexpr double kErrorShareMax = 0.01;
constexpr double kOverheadShareMax = 0.05;

// Sets verdict, reasons and checks. Deterministic; judging again changes nothing.
void Judge(v1::RunSummary& run);

// What a failure of this kind makes of its run.
v1::Verdict VerdictOf(v1::FailureKind kind);

// The worst of the runs' verdicts: PASS < SKIPPED < INVALID < FAIL < TIMEOUT < ERROR < CANCELLED.
// UNKNOWN counts as ERROR; no runs: ERROR.
v1::Verdict JobVerdict(const v1::JobSummary& job);

}  // namespace rackmark

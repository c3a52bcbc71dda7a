// Data checks after a run, outside the timed region (law 8). Two ways: the gang makes measured
// requests again, one at a time, and the tokens must be the same ones (batch composition must not
// change a result); and a short probe request is compared with the plain reference decoder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/status.h"
#include "worker/serving/engine.h"

namespace rackmark {

struct MeasuredRequest {
  EngineRequest request;
  std::vector<int32_t> tokens;  // all or the first of its output tokens, as measured
};

struct VerifyResult {
  uint64_t checked = 0;            // tokens compared, both ways
  uint64_t wrong = 0;              // of those, different
  uint64_t reference_checked = 0;  // of checked, against the reference; 0 if the model is too large
  double logit_error_max = 0;      // largest difference to the reference
  std::string first_wrong;         // a sentence about the first difference
};

// The reference makes every weight anew from the seed; beyond this many parameters that takes too
// long beside a run, and reference_checked stays 0.
constexpr uint64_t kReferenceParametersMax = 500'000'000;
// Logits have a standard deviation near 1; bf16 rounding of K and V is the largest difference.
constexpr double kLogitTolerance = 0.05;

// Leader, between phases (after EndPhase); the followers run their usual FollowStep loop meanwhile,
// until kPhaseEnded. Ends the phase itself.
absl::StatusOr<VerifyResult> VerifyGang(Engine& engine,
                                        const std::vector<MeasuredRequest>& measured);

// Whether these tokens and their largest logits are what the reference decoder gets for the
// request.
void CompareWithReference(const EngineOptions& options, const EngineRequest& request,
                          const std::vector<TokenEvent>& tokens, VerifyResult& result);

}  // namespace rackmark

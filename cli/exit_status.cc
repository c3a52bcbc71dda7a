#include "cli/exit_status.h"

#include "common/exit_codes.h"
#include "rpc/identity.h"

namespace rackmark {

int ExitOf(v1::Verdict verdict) {
  switch (verdict) {
    case v1::VERDICT_PASS: return kExitPass;
    case v1::VERDICT_FAIL: return kExitFail;
    case v1::VERDICT_INVALID: return kExitInvalid;
    case v1::VERDICT_SKIPPED: return kExitSkipped;
    case v1::VERDICT_ERROR: return kExitError;
    case v1::VERDICT_TIMEOUT: return kExitTimeout;
    case v1::VERDICT_CANCELLED: return kExitCancelled;
    default: return kExitInternal;  // UNKNOWN is never the verdict of something that ended
  }
}

int ExitOf(v1::SuiteOutcome outcome) {
  switch (outcome) {
    case v1::SUITE_OUTCOME_PASS: return kExitPass;
    case v1::SUITE_OUTCOME_FAIL: return kExitFail;
    case v1::SUITE_OUTCOME_INCOMPLETE: return kExitIncomplete;
    default: return kExitInternal;
  }
}

int ExitOfCall(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk: return kExitPass;
    case absl::StatusCode::kInvalidArgument: return kExitBadSpec;
    case absl::StatusCode::kNotFound: return kExitUsage;
    case absl::StatusCode::kAlreadyExists: return kExitInUse;
    case absl::StatusCode::kResourceExhausted:  // there, and over one of its bounds
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated: return kExitRefused;
    case absl::StatusCode::kFailedPrecondition:
      return FromAbsl(status.message()).find(kProtocolMismatch) != std::string_view::npos
                 ? kExitProtocol
                 : kExitUsage;
    case absl::StatusCode::kInternal: return kExitInternal;
    case absl::StatusCode::kCancelled: return kExitCancelled;
    default: return kExitUnreachable;
  }
}

int ExitOfWords(const absl::Status& status) {
  return absl::IsInvalidArgument(status) ? int{kExitUsage} : ExitOfCall(status);
}

std::string VerdictText(v1::Verdict verdict) {
  if (verdict == v1::VERDICT_UNKNOWN || !v1::Verdict_IsValid(verdict)) return "-";
  return v1::Verdict_Name(verdict).substr(sizeof("VERDICT_") - 1);
}

}  // namespace rackmark

// From a verdict or an error to the exit status that scripts rely on (common/exit_codes.h). Pure.
#pragma once

#include "common/status.h"
#include "rackmark/v1/run.pb.h"
#include "rackmark/v1/suite.pb.h"

namespace rackmark {

int ExitOf(v1::Verdict verdict);
// Of a suite that has ended.
int ExitOf(v1::SuiteOutcome outcome);

// An error of a call to the coordinator that hands over a file, or names what is there.
int ExitOfCall(const absl::Status& status);
// Of one that is made of flags and words alone: what is wrong with it is no file's fault.
int ExitOfWords(const absl::Status& status);

// "PASS", "INVALID", ...; "-" while there is none.
std::string VerdictText(v1::Verdict verdict);

}  // namespace rackmark

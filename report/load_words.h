// What a serving run was asked for, in words: a drawn load or a replayed trace. Pure.
#pragma once

#include <string>
#include <vector>

#include "rackmark/v1/job.pb.h"
#include "report/words.h"

namespace rackmark {

// "auto 60 %", "12 requests/s", "trace conv.csv".
std::string LoadWords(const v1::Load& load);

// The lengths that were drawn; or the trace's name, hash, scales and counts.
std::vector<Headline> LoadLines(const v1::Load& load);

// Of a run that replayed a trace: what of it, and what its prompts shared. Empty of another.
std::vector<Headline> TraceHeadlines(const v1::RunSummary& run);

}  // namespace rackmark

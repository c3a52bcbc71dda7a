// A run's summary as the bytes that are stored and whose hash the event log keeps. Equal summaries
// give equal bytes, in whatever order their maps were filled. Pure.
#pragma once

#include <string>

#include "rackmark/v1/summary.pb.h"

namespace rackmark {

std::string EvidenceBytes(const v1::RunSummary& summary);

}  // namespace rackmark

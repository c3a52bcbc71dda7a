// The parts that RunSummarizer::Finish puts together. Each reads the laid-out run, fills its own
// messages and says what is missing and why. All but SummarizeNull need a window.
#pragma once

#include <optional>
#include <vector>

#include "rackmark/v1/summary.pb.h"
#include "report/run_data.h"

namespace rackmark {

// One engine step of a rank: its points joined by their common stamp.
struct Step {
  int64_t t_ns = 0;
  double compute_s = 0;
  double wait_s = 0;
  double transfer_s = 0;
  double plan_wait_s = 0;
  double host_s = 0;
  double decode_tokens = 0;
  double prefill_tokens = 0;
  double total_s() const { return compute_s + wait_s + transfer_s + plan_wait_s + host_s; }
};
// Those that ended inside the window, in order of time.
std::vector<Step> StepsInWindow(const StreamData& rank, const RunData& data);

// Of raw values in the unit that is named; count 0 and no numbers if there are none.
v1::Quantiles QuantilesOf(std::vector<double> values, std::string_view unit);

// Requests that ended with other than their planned output tokens.
double WrongLengths(const RunData& data);
void SummarizeServe(const RunFacts& facts, RunData& data, v1::ServeResult& out);
void SummarizeRanks(const RunFacts& facts, RunData& data, v1::RunSummary& out);
void SummarizeOverhead(const RunFacts& facts, RunData& data, v1::Overhead& out);
void SummarizeSeries(const RunFacts& facts, RunData& data, v1::RunSummary& out);
void SummarizeNull(RunData& data, v1::NullResult& out);

}  // namespace rackmark

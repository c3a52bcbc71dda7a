// The seam between the reporter and the pure room that computes.
#include "report/summarize.h"
#include "coordinator/reporter.h"
#include "report/judge.h"

namespace rackmark {

absl::StatusOr<v1::RunSummary> SummarizeWithReport(v1::RunSummary known,
                                                   const ChunkSource& chunks) {
  RunSummarizer summarizer;
  RETURN_IF_ERROR(chunks([&](const v1::Chunk& chunk) { return summarizer.AddChunk(chunk); }));
  v1::RunSummary summary = summarizer.Finish(FactsFrom(known));
  Judge(summary);
  return summary;
}

}  // namespace rackmark

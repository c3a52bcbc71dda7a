// From stored chunks to the one summary of a run. Pure: chunks and facts in, RunSummary out; the
// same chunks give the same summary in whatever order their streams are read, so that a crash
// re-judges to the same result. One owner, one thread; add the chunks, then Finish once.
//
// Definitions (METRICS house rules): window = [T0, T1) of rank 0; a measured request is one of
// LOAD_PHASE_MEASURE with t_sched in the window.
//   TTFT = t_first_token - t_sched (service TTFT: - t_issue);  E2E = t_last - t_sched
//   TPOT = (E2E - TTFT) / (n - 1), n > 1;  ITL = gap after each token but the last
//   completed rate = measured requests that ended inside the window / window
//   output tok/s = tokens stamped inside the window / window, of whatever request
//   delivered share = measured requests completed by T1 + grace / scheduled;
//                     grace = max(2 s, 10 % of the window)
//   decode tok/s = decoded tokens / time of rank 0's steps that only decode
//   floor tok/s  = batch / ((floor.bytes_per_step + batch * floor.bytes_per_token) / read_bytes_s)
//                  with batch = mean sequences in those steps, read_bytes_s = all ranks together
//   busbw = bytes * 2(n-1)/n / transfer time for allreduce, bytes * (n-1)/n for allgather
// Percentiles are nearest rank on the raw values. Other nodes' stamps are mapped to the clock of
// rank 0's node by the nodes' offsets; nodes of one boot share a clock and need no offset.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/status.h"
#include "rackmark/v1/sample.pb.h"
#include "rackmark/v1/summary.pb.h"

namespace rackmark {

// What the coordinator knows of the run besides its samples.
struct RunFacts {
  uint64_t run_id = 0;
  uint32_t attempt = 0;
  v1::RunSpec spec;
  v1::Placement placement;
  std::vector<v1::NodeFacts> nodes;
  std::optional<v1::Failure> failure;         // what ended it, if that was a failure
  std::vector<v1::Failure> earlier_failures;  // of attempts before this one
  std::vector<std::string> transports;        // how its ranks said that they travel
};
// The same facts from a summary that holds nothing else yet.
RunFacts FactsFrom(const v1::RunSummary& known);

struct IntakeKey;  // intake.h
struct StreamIntake;

class RunSummarizer {
 public:
  RunSummarizer();
  ~RunSummarizer();
  // Error: the chunk is damaged, of an unknown format, or of another run than those before it.
  // A chunk that came before (same stream and seq) is ignored.
  absl::Status AddChunk(const v1::Chunk& chunk);
  // The same for a chunk that somebody unpacked already, perhaps on another thread.
  absl::Status AddUnpacked(const v1::ChunkHeader& header, uint64_t packed_bytes,
                           v1::ChunkPayload payload);
  // Once, at the end. Everything but verdict, reasons and the checks' verdicts: those are Judge's
  // (judge.h). Measured facts that have no field of their own are checks with VERDICT_UNKNOWN.
  v1::RunSummary Finish(const RunFacts& facts);

 private:
  absl::Status CheckHeader(const v1::ChunkHeader& header) const;

  std::optional<uint64_t> run_;
  uint32_t attempt_ = 0;
  uint64_t chunks_ = 0;
  uint64_t packed_bytes_ = 0;
  std::unique_ptr<std::map<IntakeKey, StreamIntake>> streams_;
};

}  // namespace rackmark

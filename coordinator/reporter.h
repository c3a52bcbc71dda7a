// Judges runs: reads the chunks of the last attempt, has them summarised and judged, stores the
// summary, and hands the verdict back as a Command (PROTOCOL 3). Also puts a job's report together
// on demand. Own thread; a crash anywhere re-judges from the chunks to the same bytes.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "coordinator/loop.h"
#include "coordinator/store/store.h"
#include "rackmark/v1/summary.pb.h"

namespace rackmark {

// Calls the visitor for each chunk of the run's last attempt; passes on the first error.
using ChunkSource = std::function<absl::Status(const SampleStore::ChunkVisitor&)>;
// Pure: the finished summary, with verdict and reasons. `known` is what State says of the run:
// run_id, attempt, spec, placement, nodes, failure, earlier_failures.
using SummarizeRun =
    std::function<absl::StatusOr<v1::RunSummary>(v1::RunSummary known, const ChunkSource& chunks)>;
// The real one: report/.
absl::StatusOr<v1::RunSummary> SummarizeWithReport(v1::RunSummary known, const ChunkSource& chunks);

class Reporter : public LoopListener {
 public:
  struct Options {
    Loop* loop = nullptr;
    SampleStore* samples = nullptr;
    History* history = nullptr;
    SummarizeRun summarize;
    // The disk's state is unknown: must end the process.
    std::function<void(const absl::Status&)> fatal;
    Nanos read_again = kSecond;   // when the samples of a run could not be read just now
    size_t reports_max = 64;      // waiting
    size_t report_bytes_max = 0;  // of one JobSummary: a reply must hold it
  };
  using Done = std::function<void(absl::StatusOr<v1::JobSummary>)>;

  explicit Reporter(Options options);
  ~Reporter() override;  // Stop()
  // Before the loop stops. Reports that wait are answered UNAVAILABLE.
  void Stop();

  // On the loop's thread: looks whether the job has ended. NOT_FOUND: no such job;
  // FAILED_PRECONDITION: not ended yet; RESOURCE_EXHAUSTED: too many wait. Else `done` comes later,
  // on the reporter's thread; NOT_FOUND there: it is no longer kept.
  absl::Status Assemble(const State& state, JobId job, Done done);

  void DesiredChanged(NodeId, const State&) override {}
  void RunToJudge(RunId run) override;  // a set, so that it cannot grow beyond State
  void Committed(const State&, Now) override {}

 private:
  struct Report {
    JobId job;
    std::string cluster_id;
    Done done;
  };
  void Run();
  void Judge(RunId run);
  struct Judged {
    v1::RunSummary summary;
    std::string bytes;    // as they are stored
    bool stored = false;  // already
  };
  // Not OK: the store could not be read, which says nothing of the run.
  absl::StatusOr<Judged> Summarize(v1::RunSummary known);
  void JudgeAgain(RunId run, Nanos wait);
  absl::StatusOr<v1::JobSummary> Put(const Report& report);
  absl::Status AddRuns(const v1::EndedJob& ended, v1::JobSummary& summary);

  const Options options_;
  std::mutex mutex_;
  std::condition_variable ready_;
  bool stopping_ = false;
  RunId last_judged_;
  std::set<RunId> to_judge_;
  std::deque<Report> reports_;
  std::thread thread_;
};

}  // namespace rackmark

// How long a coordinator takes from its databases to a State that serves, with 10^4, 10^5 (or the
// given numbers of) historic runs: with snapshots, and with the log replayed whole. Prints, judges
// nothing.
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "coordinator/core/decide.h"
#include "coordinator/core/record.h"
#include "coordinator/loop.h"
#include "coordinator/snapshot.h"
#include "coordinator/store/sql_store.h"

namespace rackmark {
namespace {

constexpr uint64_t kRunsPerJob = 20;
constexpr size_t kEventsPerCommit = 4096;
constexpr uint64_t kSnapshotEvents = 10'000;

class Writer {
 public:
  Writer(EventStore& store, bool snapshots) : store_(store), snapshots_(snapshots) {}

  template <typename Fill>
  void Add(Fill fill) {
    v1::Event event;
    event.set_format(1);
    event.set_seq(state_.hard.last_seq + 1);
    event.set_unix_ns(1'700'000'000 * kSecond);
    event.mutable_by()->set_name("coordinator");
    fill(event);
    RACKMARK_CHECK(Replay(state_, event, &ended_).ok());
    events_.push_back(std::move(event));
    if (events_.size() >= kEventsPerCommit) Commit();
  }
  void Commit() {
    RACKMARK_CHECK(store_.Append(events_, ended_).ok());
    events_.clear();
    ended_.clear();
    if (!snapshots_ || store_.tail_events() < kSnapshotEvents) return;
    RACKMARK_CHECK(store_.PutSnapshot(SnapshotBytes(state_.hard)).ok());
    while (*store_.Trim(100'000) > 0) {
    }
  }

 private:
  EventStore& store_;
  const bool snapshots_;
  State state_;
  std::vector<v1::Event> events_;
  std::vector<v1::EndedJob> ended_;
};

void AddJob(Writer& writer, uint64_t job, uint64_t first_run) {
  writer.Add([&](v1::Event& e) {
    v1::JobSubmitted& submitted = *e.mutable_job_submitted();
    submitted.set_job_id(job);
    submitted.set_first_run_id(first_run);
    submitted.set_submission_id(absl::StrCat("submission-", job));
    submitted.mutable_job()->set_name("nightly");
    submitted.mutable_job()->set_source(std::string(1500, 'y'));
    submitted.mutable_job()->mutable_spec()->mutable_gang()->set_devices(8);
    for (uint64_t i = 0; i < kRunsPerJob; ++i) {
      v1::RunSpec* run = submitted.mutable_job()->mutable_spec()->add_runs();
      run->mutable_serve()->set_model("tiny-30m");
      run->mutable_serve()->set_tensor_parallel(8);
      (*run->mutable_point())["load.rate"] = absl::StrCat(i, "/s");
    }
  });
  for (uint64_t run = first_run; run < first_run + kRunsPerJob; ++run) {
    writer.Add([&](v1::Event& e) {
      e.mutable_run_judging()->set_run_id(run);
      e.mutable_run_judging()->mutable_failure()->set_kind(v1::FAILURE_KIND_CANCELLED);
      e.mutable_run_judging()->mutable_failure()->set_detail("cancelled, as all of this history");
    });
    writer.Add([&](v1::Event& e) {
      e.mutable_run_judged()->set_run_id(run);
      e.mutable_run_judged()->set_verdict(v1::VERDICT_CANCELLED);
      e.mutable_run_judged()->set_evidence_sha256(std::string(64, 'e'));
    });
  }
  writer.Add([&](v1::Event& e) {
    e.mutable_job_ended()->set_job_id(job);
    e.mutable_job_ended()->set_verdict(v1::VERDICT_CANCELLED);
  });
}

// Returns the bytes of events.db.
uintmax_t Write(const std::string& folder, uint64_t runs, bool snapshots) {
  {
    auto stores = OpenSqlStores(folder);
    RACKMARK_CHECK(stores.ok());
    Writer writer(*stores->events, snapshots);
    writer.Add([&](v1::Event& e) {
      e.mutable_cluster_created()->set_cluster_id(stores->events->cluster_id());
    });
    for (uint64_t job = 1; job <= runs / kRunsPerJob; ++job) {
      AddJob(writer, job, 1 + (job - 1) * kRunsPerJob);
    }
    writer.Commit();
  }
  return std::filesystem::file_size(folder + "/events.db");
}

double SecondsSince(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

void Measure(uint64_t runs, bool snapshots) {
  std::string folder = std::filesystem::temp_directory_path() / "restart_bench_XXXXXX";
  RACKMARK_CHECK(mkdtemp(folder.data()) != nullptr);
  const uintmax_t bytes = Write(folder, runs, snapshots);
  double best = 1e9;
  for (int turn = 0; turn < 3; ++turn) {
    const auto began = std::chrono::steady_clock::now();
    auto stores = OpenSqlStores(folder);
    RACKMARK_CHECK(stores.ok());
    Loop::Options options;
    options.events = stores->events.get();
    options.clock = &SystemClock();
    options.inbox_max = 64;
    options.snapshot_events = UINT64_MAX;  // no new one: each turn does the same
    options.snapshot_bytes = UINT64_MAX;
    options.fatal = [](const absl::Status&) {};
    Loop loop(options);
    const absl::Status status = loop.Recover("boot", absl::StrCat("boot/", turn));
    RACKMARK_CHECK(status.ok());
    best = std::min(best, SecondsSince(began));
  }
  auto stores = OpenSqlStores(folder);
  const auto began = std::chrono::steady_clock::now();
  const auto jobs = stores->events->history().Jobs(100);
  RACKMARK_CHECK(jobs.ok() && jobs->size() == 100);
  std::printf("%9llu runs, %-15s restart %8.3f s, list of 100 jobs %6.2f ms, events.db %7.1f MiB\n",
              static_cast<unsigned long long>(runs), snapshots ? "snapshots:" : "whole log:", best,
              1e3 * SecondsSince(began), static_cast<double>(bytes) / (1 << 20));
  stores = absl::CancelledError("closed");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace rackmark

int main(int argc, char** argv) {
  std::vector<uint64_t> sizes;
  for (int i = 1; i < argc; ++i) sizes.push_back(std::strtoull(argv[i], nullptr, 10));
  if (sizes.empty()) sizes = {10'000, 100'000};
  for (const uint64_t runs : sizes) {
    rackmark::Measure(runs, true);
    rackmark::Measure(runs, false);
  }
  return 0;
}

// Keeps the databases within their bounds: cuts the event log behind the older snapshot, and lets
// go of what is over its age or size (StorageConfig). Own thread; every step is bounded, and a step
// on the event log is one item of a turn, so that neither a decision nor ingest waits long for it.
// Chunks of a run are touched only when its job has ended, and so every run of it was judged; a
// file that jobs refer to, only when no open job and no schedule does.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "coordinator/loop.h"
#include "coordinator/storage.h"
#include "coordinator/store/artifact_store.h"
#include "coordinator/store/store.h"

namespace rackmark {

class Janitor {
 public:
  struct Options {
    StorageConfig storage;
    Loop* loop = nullptr;
    EventStore* events = nullptr;  // asked on the loop's thread only
    SampleStore* samples = nullptr;
    ArtifactStore* artifacts = nullptr;
    const Clock* clock = nullptr;
    // The disk's state is unknown: must end the process.
    std::function<void(const absl::Status&)> fatal;
  };
  // What one sweep let go of.
  struct Swept {
    uint64_t events = 0;
    uint64_t chunks = 0;
    uint64_t reports = 0;
    uint64_t history = 0;  // rows
    uint64_t bytes = 0;    // given back to the file system
    uint64_t artifacts = 0;
    uint64_t orphans = 0;  // runs of which nobody knows any more, that had left chunks
  };
  // What the sweep before has looked at.
  struct Progress {
    int64_t samples_before = 0;  // samples of jobs that ended before this (Unix time) are gone
    int64_t reports_before = 0;
    std::optional<int64_t> looked_at_all;  // when all runs were visited
    std::set<JobId> beyond;                // beyond the history limits of their schedules: done
    // Why this sweep found out nothing, where that may pass; of reads only.
    std::optional<absl::Status> unread;
  };

  // Sweeps in its interval, and not at once: a start has other work to do.
  explicit Janitor(Options options);
  ~Janitor();  // Stop()
  Janitor(const Janitor&) = delete;
  Janitor& operator=(const Janitor&) = delete;
  // Before the loop stops.
  void Stop();

  // All of it once; by age what has come to its age since the sweep before, and every kLookAtAll
  // every run, because a late chunk may have come in behind. The janitor's thread; a test may call
  // it on another one instead.
  static constexpr Nanos kLookAtAll = 3600 * kSecond;
  static absl::StatusOr<Swept> Sweep(const Options& options, const std::function<bool()>& go_on,
                                     Progress& progress);

 private:
  void Run();
  bool GoOn();
  bool Wait(Nanos time);

  const Options options_;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace rackmark

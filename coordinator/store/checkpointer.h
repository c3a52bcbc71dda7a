// Takes samples.db's WAL into its table while the next transaction is written: a thread and a
// connection of its own. Under load that never catches up, and a WAL begins anew only when it was
// caught up with: so at a bound the writer waits and copies the rest itself. Owned by
// SqlSampleStore; AfterCommit on the writer's thread (or under its lock).
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "coordinator/store/sqlite_db.h"

namespace rackmark {

class Checkpointer {
 public:
  struct Bounds {               // bytes of WAL
    uint64_t wake = 4 << 20;    // SQLite's own habit
    uint64_t bound = 64 << 20;  // while no reader holds it back
  };

  // `writer`, which leaves checkpoints to us, outlives this; `copier` is another connection to the
  // same file.
  Checkpointer(Database* writer, std::unique_ptr<Database> copier, Bounds bounds);
  ~Checkpointer();
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  // An error is one of the disk, perhaps of an earlier checkpoint: what the table holds is unknown.
  absl::Status AfterCommit();

 private:
  void Run();

  Database* const writer_;
  const std::unique_ptr<Database> copier_;  // of the thread
  const Bounds bounds_;
  std::mutex mutex_;
  std::condition_variable moved_;
  bool wanted_ = false, copying_ = false, stopping_ = false;
  absl::Status status_;
  std::thread thread_;
};

}  // namespace rackmark

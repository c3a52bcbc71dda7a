// Answers questions about ended jobs from the store's tables, on a thread of its own, so that no
// read of the disk stands on the loop's thread or on gRPC's. Ask from any thread.
#pragma once

#include <functional>
#include <thread>

#include "common/bounded_queue.h"
#include "coordinator/store/history.h"

namespace rackmark {

class Archive {
 public:
  // On the archive's thread; null: the coordinator is stopping.
  using Question = std::function<void(History*)>;

  Archive(History* history, size_t questions_max);
  ~Archive();  // Stop()
  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;

  // RESOURCE_EXHAUSTED when too many wait, UNAVAILABLE after Stop: the question is dropped.
  absl::Status Ask(Question question);
  // What waits is asked with null.
  void Stop();

 private:
  void Run();

  History* const history_;
  BoundedQueue<Question> questions_;
  std::thread thread_;
};

}  // namespace rackmark

// The one thread that touches the folder of artifacts for streams, so that no gRPC thread and not
// the loop waits for that disk. Each stream has at most one piece of work here. Owned by main; Stop
// it after the listener. Post from any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>
#include <thread>

#include "common/bounded_queue.h"
#include "common/status.h"
#include "coordinator/store/artifact_store.h"
#include "rackmark/v1/job.pb.h"

namespace rackmark {

class ArtifactDesk {
 public:
  // The store must outlive it.
  explicit ArtifactDesk(ArtifactStore* store, size_t waiting_max = 256);
  ~ArtifactDesk();  // Stop()
  ArtifactDesk(const ArtifactDesk&) = delete;
  ArtifactDesk& operator=(const ArtifactDesk&) = delete;

  ArtifactStore& store() const { return *store_; }
  // RESOURCE_EXHAUSTED (counted) if too much waits, or after Stop: `work` is dropped then.
  absl::Status Post(std::function<void()> work);
  // Does what waits, then ends the thread.
  void Stop();

 private:
  void Run();

  ArtifactStore* const store_;
  BoundedQueue<std::function<void()>> work_;
  std::thread thread_;
};

// FAILED_PRECONDITION, with the remedy: the job refers to a file that is not here.
absl::Status CheckArtifacts(const v1::Job& job, ArtifactStore& store);

}  // namespace rackmark

// The one thread that touches the folder of artifacts for streams, so that no gRPC thread and not
// the loop waits for that disk. Each stream has at most one piece of work here. Owned by main; Stop
// it after the listener. Also looks at uploads whose client has fallen silent. Any thread may call.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "common/bounded_queue.h"
#include "common/status.h"
#include "common/time.h"
#include "coordinator/store/artifact_store.h"
#include "rackmark/v1/job.pb.h"

namespace rackmark {

// A stream that waits for its client.
class Idler {
 public:
  virtual ~Idler() = default;
  // On the desk's thread: ends the stream if its client has been silent since before.
  virtual void EndIfIdle(Nanos since) = 0;
};

class ArtifactDesk {
 public:
  // An upload takes one of few places, and room in the store: a client that says nothing for that
  // long loses both.
  static constexpr Nanos kIdleMax = 60 * kSecond;
  // Downloads at once: each has a piece of 1 MiB in memory, and a whole fleet may want the same
  // file when a job begins.
  static constexpr size_t kDownloadsMax = 64;

  // The store must outlive it.
  explicit ArtifactDesk(ArtifactStore* store, size_t waiting_max = 256, Nanos idle_max = kIdleMax);
  ~ArtifactDesk();  // Stop()
  ArtifactDesk(const ArtifactDesk&) = delete;
  ArtifactDesk& operator=(const ArtifactDesk&) = delete;

  ArtifactStore& store() const { return *store_; }
  // RESOURCE_EXHAUSTED (counted) if too much waits, or after Stop: `work` is dropped then.
  absl::Status Post(std::function<void()> work);
  // RESOURCE_EXHAUSTED: all places are taken. Else FreePlace when the download is over.
  absl::Status TakePlace();
  void FreePlace();
  // Until it is gone.
  void Watch(std::weak_ptr<Idler> idler);
  // Does what waits, then ends the thread.
  void Stop();

 private:
  void Run();
  void EndIdlers();

  ArtifactStore* const store_;
  const Nanos idle_max_;
  BoundedQueue<std::function<void()>> work_;
  std::mutex mutex_;
  std::vector<std::weak_ptr<Idler>> idlers_;  // guarded by mutex_; as many as there are uploads
  size_t downloads_ = 0;                      // guarded by mutex_
  std::thread thread_;
};

// FAILED_PRECONDITION, with the remedy: the job refers to a file that is not here.
absl::Status CheckArtifacts(const v1::Job& job, ArtifactStore& store);

}  // namespace rackmark

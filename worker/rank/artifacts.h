// The file that a run refers to by hash, as the daemon sends it, part by part. The link's thread
// adds parts as they come, so that a busy runner holds up neither the daemon nor the dead-man
// timer; the runner finds the whole file and checks it. The last one is kept for the runs that
// follow: the daemon knows which it was. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "common/status.h"
#include "rackmark/v1/rank_frame.pb.h"

namespace rackmark {

constexpr uint64_t kArtifactFileBytesMax = uint64_t{64} << 20;

class Artifacts {
 public:
  // Parts of a file come in order; offset 0 begins it anew. INVALID_ARGUMENT: the daemon is broken.
  absl::Status Add(const v1::ArtifactPart& part);
  // FAILED_PRECONDITION: it did not come, or not whole. DATA_LOSS: it is another file's content.
  absl::StatusOr<std::shared_ptr<const std::string>> Find(const std::string& sha256) const;

 private:
  mutable std::mutex mutex_;
  // All below are guarded by mutex_.
  std::string sha256_;
  uint64_t total_bytes_ = 0;
  std::shared_ptr<std::string> bytes_;  // handed out once it is whole, and never changed then
};

}  // namespace rackmark

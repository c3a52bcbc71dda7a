// Files that runs refer to by hash, as this worker has fetched them: a folder with a bound, the one
// that was not used for longest goes first. It begins empty with each process, because fetching
// again is cheaper than proving what an earlier one left. Loop thread.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "common/status.h"
#include "rackmark/v1/rank_frame.pb.h"

namespace rackmark {

// One of them on its way to a rank, part by part. Outlives its file's removal.
class ArtifactFeed {
 public:
  ArtifactFeed(int fd, std::string sha256, uint64_t bytes)
      : fd_(fd), sha256_(std::move(sha256)), bytes_(bytes) {}
  ~ArtifactFeed();
  ArtifactFeed(const ArtifactFeed&) = delete;
  ArtifactFeed& operator=(const ArtifactFeed&) = delete;

  const std::string& sha256() const { return sha256_; }
  bool done() const { return offset_ == bytes_; }
  // Only while not done.
  absl::StatusOr<v1::ArtifactPart> Next();

 private:
  const int fd_;
  const std::string sha256_;
  const uint64_t bytes_;
  uint64_t offset_ = 0;
};

class ArtifactCache {
 public:
  static absl::StatusOr<ArtifactCache> Open(std::string folder, uint64_t bytes_max);

  const std::string& folder() const { return folder_; }
  bool Has(std::string_view sha256) const;
  // A file of that name is in the folder now. Others make room for it; itself it always stays.
  void Added(const std::string& sha256, uint64_t bytes);
  // NOT_FOUND if it is not here, or not any more.
  absl::StatusOr<std::unique_ptr<ArtifactFeed>> Feed(const std::string& sha256);

 private:
  struct Entry {
    std::string sha256;
    uint64_t bytes;
  };
  ArtifactCache(std::string folder, uint64_t bytes_max)
      : folder_(std::move(folder)), bytes_max_(bytes_max) {}
  void Drop(std::list<Entry>::iterator entry);

  std::string folder_;
  uint64_t bytes_max_;
  uint64_t bytes_ = 0;
  std::list<Entry> entries_;  // the one used last in front
};

}  // namespace rackmark

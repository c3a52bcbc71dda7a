// Files that jobs refer to by hash (traces), in a folder beside the databases. Files, not rows:
// they are large, written once and read whole, and in samples.db each would pass the WAL twice and
// hold up the chunks that wait behind it. They decide nothing, so a failed write fails one upload
// and not the process. Which ones jobs need is the caller's to know. Any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/hashed_file.h"
#include "common/status.h"
#include "common/time.h"

namespace rackmark {

class ArtifactStore {
 public:
  // A file comes before the job that refers to it, so what was used this lately is spared.
  static constexpr Nanos kSparedFor = 3600 * kSecond;
  struct Options {
    std::string folder;  // made if it is not there
    uint64_t total_bytes_max = 4ULL << 30;
    uint64_t bytes_max = 64ULL << 20;  // of one artifact
    size_t uploads_max = 16;           // at one time
  };
  struct Artifact {
    std::string sha256;
    uint64_t bytes = 0;
    int64_t used_unix_ns = 0;  // last uploaded or asked for: retention spares what is in use
  };
  // One that is being written. Removed, and its room given back, unless committed.
  class Upload {
   public:
    ~Upload();
    absl::Status Append(std::string_view piece) { return file_->Append(piece); }
    // On disk, and found from then on.
    absl::Status Commit();

   private:
    friend class ArtifactStore;
    Upload(ArtifactStore* store, std::string sha256, uint64_t bytes)
        : store_(store), sha256_(std::move(sha256)), bytes_(bytes) {}
    ArtifactStore* const store_;
    const std::string sha256_;
    const uint64_t bytes_;
    std::unique_ptr<HashedFile> file_;
    bool committed_ = false;
  };

  // Removes what an earlier process left half written, and what it set aside as damaged.
  static absl::StatusOr<std::unique_ptr<ArtifactStore>> Open(Options options);

  // INVALID_ARGUMENT: no such hash or size. RESOURCE_EXHAUSTED: no room, with the remedy. The store
  // must outlive it.
  absl::StatusOr<std::unique_ptr<Upload>> Begin(std::string_view sha256, uint64_t bytes);
  // Its size; missing if it is not here. Counts as a use.
  std::optional<uint64_t> Find(std::string_view sha256);
  // As Find, but reads it once in this process's life and sets one whose hash is another aside, as
  // <sha256>.damaged until the next start: it is missing then, and can be uploaded again.
  // UNAVAILABLE: it cannot be read now, which says nothing about its bytes.
  absl::StatusOr<std::optional<uint64_t>> FindWhole(std::string_view sha256);
  // At most `max` bytes from `offset`; fewer only at its end. NOT_FOUND if it is not here.
  absl::StatusOr<std::string> Read(std::string_view sha256, uint64_t offset, size_t max);

  // In order of hash.
  std::vector<Artifact> List() const;
  // What must go before the largest file, and a quarter of all, finds room.
  uint64_t BytesOver() const;
  // Whether it was removed: not if it is not here, or was used at that time or later. The caller
  // knows that no job needs it.
  absl::StatusOr<bool> Remove(std::string_view sha256, int64_t unused_since_unix_ns);

 private:
  struct Entry {
    uint64_t bytes = 0;
    int64_t used_unix_ns = 0;
    bool whole = false;  // its hash was seen to be right by this process
  };
  explicit ArtifactStore(Options options) : options_(std::move(options)) {}
  absl::Status Scan();
  std::string PathOf(std::string_view sha256) const;
  void Forget(std::map<std::string, Entry, std::less<>>::iterator it);
  void Ended(const Upload& upload);

  const Options options_;
  mutable std::mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_;
  uint64_t total_bytes_ = 0;  // of entries, and of the room that uploads have taken
  size_t uploads_ = 0;
};

}  // namespace rackmark

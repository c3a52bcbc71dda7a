#include "worker/daemon/artifact_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "common/hashed_file.h"

namespace rackmark {
namespace {

namespace fs = std::filesystem;

// Small, so that a rank's full pipe leaves little to move in its outbox.
constexpr uint64_t kPartBytes = 256 << 10;

}  // namespace

ArtifactFeed::~ArtifactFeed() { close(fd_); }

absl::StatusOr<v1::ArtifactPart> ArtifactFeed::Next() {
  v1::ArtifactPart part;
  part.set_sha256(sha256_);
  part.set_total_bytes(bytes_);
  part.set_offset(offset_);
  std::string& piece = *part.mutable_piece();
  piece.resize(std::min(kPartBytes, bytes_ - offset_));
  const ssize_t n = pread(fd_, piece.data(), piece.size(), static_cast<off_t>(offset_));
  if (n <= 0) return ErrnoStatus(n < 0 ? errno : EIO, absl::StrCat("cached file ", sha256_));
  piece.resize(static_cast<size_t>(n));
  offset_ += static_cast<uint64_t>(n);
  return part;
}

absl::StatusOr<ArtifactCache> ArtifactCache::Open(std::string folder, uint64_t bytes_max) {
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return ErrnoStatus(errno, folder);
  std::error_code error;
  fs::directory_iterator it(folder, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (IsSha256Hex(name) || name.rfind(kPartialPrefix, 0) == 0) unlink(it->path().c_str());
  }
  if (error) return ErrnoStatus(error.value(), folder);
  return ArtifactCache(std::move(folder), bytes_max);
}

bool ArtifactCache::Has(std::string_view sha256) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const Entry& entry) { return entry.sha256 == sha256; });
}

void ArtifactCache::Added(const std::string& sha256, uint64_t bytes) {
  if (Has(sha256)) return;
  entries_.push_front({sha256, bytes});
  bytes_ += bytes;
  while (bytes_ > bytes_max_ && entries_.size() > 1) Drop(std::prev(entries_.end()));
}

void ArtifactCache::Drop(std::list<Entry>::iterator entry) {
  unlink(absl::StrCat(folder_, "/", entry->sha256).c_str());
  bytes_ -= entry->bytes;
  entries_.erase(entry);
}

absl::StatusOr<std::unique_ptr<ArtifactFeed>> ArtifactCache::Feed(const std::string& sha256) {
  const auto entry = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& e) { return e.sha256 == sha256; });
  if (entry == entries_.end()) return absl::NotFoundError("no such file here");
  const std::string path = absl::StrCat(folder_, "/", sha256);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    const int error = errno;
    Drop(entry);  // somebody took it away: fetched again when it is wanted
    return ErrnoStatus(error, path);
  }
  entries_.splice(entries_.begin(), entries_, entry);
  return std::make_unique<ArtifactFeed>(fd, sha256, entry->bytes);
}

}  // namespace rackmark

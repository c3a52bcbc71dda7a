#include "coordinator/store/artifact_store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

namespace rackmark {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDamagedSuffix = ".damaged";

bool IsSetAside(std::string_view name) {
  return name.size() == 64 + kDamagedSuffix.size() && IsSha256Hex(name.substr(0, 64)) &&
         name.substr(64) == kDamagedSuffix;
}

int64_t UnixNow() { return SystemClock().Unix(); }

}  // namespace

absl::StatusOr<std::unique_ptr<ArtifactStore>> ArtifactStore::Open(Options options) {
  if (mkdir(options.folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, options.folder);
  }
  std::unique_ptr<ArtifactStore> store(new ArtifactStore(std::move(options)));
  RETURN_IF_ERROR(store->Scan());
  return store;
}

absl::Status ArtifactStore::Scan() {
  std::error_code error;
  fs::directory_iterator it(options_.folder, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.rfind(kPartialPrefix, 0) == 0 || IsSetAside(name)) {
      unlink(it->path().c_str());
      continue;
    }
    struct stat file {};
    if (!IsSha256Hex(name) || stat(it->path().c_str(), &file) != 0 || !S_ISREG(file.st_mode)) {
      continue;  // not ours to judge
    }
    const int64_t used = file.st_mtim.tv_sec * kSecond + file.st_mtim.tv_nsec;
    entries_[name] = {static_cast<uint64_t>(file.st_size), used, false};
    total_bytes_ += static_cast<uint64_t>(file.st_size);
  }
  return error ? ErrnoStatus(error.value(), options_.folder) : absl::OkStatus();
}

std::string ArtifactStore::PathOf(std::string_view sha256) const {
  return absl::StrCat(options_.folder, "/", ToAbsl(sha256));
}

absl::StatusOr<std::unique_ptr<ArtifactStore::Upload>> ArtifactStore::Begin(std::string_view sha256,
                                                                            uint64_t bytes) {
  if (!IsSha256Hex(sha256)) {
    return absl::InvalidArgumentError("sha256 must be 64 lower-case hex digits");
  }
  if (bytes == 0 || bytes > options_.bytes_max) {
    return absl::InvalidArgumentError(absl::StrCat("the file has ", bytes, " bytes; 1 to ",
                                                   options_.bytes_max, " are taken: cut it"));
  }
  std::unique_ptr<Upload> upload;
  {
    std::lock_guard lock(mutex_);
    if (uploads_ >= options_.uploads_max) {
      return absl::ResourceExhaustedError(
          absl::StrCat(uploads_, " files are being uploaded already; try again in a moment"));
    }
    if (bytes > options_.total_bytes_max - std::min(total_bytes_, options_.total_bytes_max)) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "the coordinator keeps ", options_.total_bytes_max, " bytes of uploaded files, ",
          total_bytes_, " are taken and ", bytes,
          " more do not fit; those that no open job refers to go when nobody used them for an "
          "hour: try again then, or start it with a larger --artifact-bytes"));
    }
    ++uploads_;
    total_bytes_ += bytes;
    upload.reset(new Upload(this, std::string(sha256), bytes));
  }
  ASSIGN_OR_RETURN(upload->file_,
                   HashedFile::Begin({options_.folder, upload->sha256_, bytes, /*durable=*/true}));
  return upload;
}

absl::Status ArtifactStore::Upload::Commit() {
  RETURN_IF_ERROR(file_->Commit());
  committed_ = true;
  return absl::OkStatus();
}

ArtifactStore::Upload::~Upload() { store_->Ended(*this); }

void ArtifactStore::Ended(const Upload& upload) {
  std::lock_guard lock(mutex_);
  --uploads_;
  if (upload.committed_) {
    const auto [it, fresh] =
        entries_.insert_or_assign(upload.sha256_, Entry{upload.bytes_, UnixNow(), true});
    if (fresh) return;  // the room that the upload took is the entry's now
  }
  total_bytes_ -= upload.bytes_;
}

std::optional<uint64_t> ArtifactStore::Find(std::string_view sha256) {
  std::lock_guard lock(mutex_);
  const auto it = entries_.find(sha256);
  if (it == entries_.end()) return std::nullopt;
  it->second.used_unix_ns = UnixNow();
  // The file's time is what the next process goes by; that it may fail costs nothing.
  utimensat(AT_FDCWD, PathOf(sha256).c_str(), nullptr, 0);
  return it->second.bytes;
}

absl::StatusOr<std::optional<uint64_t>> ArtifactStore::FindWhole(std::string_view sha256) {
  const std::optional<uint64_t> bytes = Find(sha256);
  if (!bytes) return bytes;
  {
    std::lock_guard lock(mutex_);
    const auto it = entries_.find(sha256);
    if (it != entries_.end() && it->second.whole) return bytes;
  }
  const std::string path = PathOf(sha256);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool gone = fd < 0 && errno == ENOENT;  // somebody else removed it
  const auto found = fd < 0 ? ErrnoStatus(errno, path) : HashOfFile(fd);
  if (fd >= 0) close(fd);
  if (!found.ok() && !gone) {
    return absl::UnavailableError(absl::StrCat(
        "the coordinator cannot read its file: ", found.status().message(), "; look at its disk"));
  }
  std::lock_guard lock(mutex_);
  const auto it = entries_.find(sha256);
  if (it == entries_.end()) return std::optional<uint64_t>();
  if (found.ok() && *found == sha256) it->second.whole = true;
  if (it->second.whole) return bytes;  // or uploaded anew since
  if (!gone) rename(path.c_str(), absl::StrCat(path, ToAbsl(kDamagedSuffix)).c_str());
  Forget(it);
  return std::optional<uint64_t>();
}

void ArtifactStore::Forget(std::map<std::string, Entry, std::less<>>::iterator it) {
  total_bytes_ -= it->second.bytes;
  entries_.erase(it);
}

absl::StatusOr<std::string> ArtifactStore::Read(std::string_view sha256, uint64_t offset,
                                                size_t max) {
  if (!IsSha256Hex(sha256)) {
    return absl::InvalidArgumentError("sha256 must be 64 lower-case hex digits");
  }
  const std::string path = PathOf(sha256);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("file ", ToAbsl(sha256)));
  std::string out(max, '\0');
  size_t done = 0;
  while (done < max) {
    const ssize_t n = pread(fd, out.data() + done, max - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      close(fd);
      return ErrnoStatus(error, path);
    }
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  close(fd);
  out.resize(done);
  return out;
}

std::vector<ArtifactStore::Artifact> ArtifactStore::List() const {
  std::lock_guard lock(mutex_);
  std::vector<Artifact> out;
  for (const auto& [sha256, entry] : entries_) {
    out.push_back({sha256, entry.bytes, entry.used_unix_ns});
  }
  return out;
}

uint64_t ArtifactStore::BytesOver() const {
  const uint64_t all = options_.total_bytes_max;
  const uint64_t keep = all - std::min(all, std::max(all / 4, options_.bytes_max));
  std::lock_guard lock(mutex_);
  return total_bytes_ - std::min(total_bytes_, keep);
}

absl::StatusOr<bool> ArtifactStore::Remove(std::string_view sha256, int64_t unused_since_unix_ns) {
  std::lock_guard lock(mutex_);
  const auto it = entries_.find(sha256);
  if (it == entries_.end() || it->second.used_unix_ns >= unused_since_unix_ns) return false;
  const std::string path = PathOf(sha256);
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoStatus(errno, path);
  Forget(it);
  return true;
}

}  // namespace rackmark

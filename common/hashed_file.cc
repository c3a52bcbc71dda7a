#include "common/hashed_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

namespace rackmark {
namespace {

absl::Status SyncFolder(const std::string& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, folder);
  const int result = fsync(fd);
  const int error = errno;
  close(fd);
  return result == 0 ? absl::OkStatus() : ErrnoStatus(error, absl::StrCat("sync of ", folder));
}

}  // namespace

absl::StatusOr<std::unique_ptr<HashedFile>> HashedFile::Begin(Options options) {
  RACKMARK_CHECK(IsSha256Hex(options.sha256));
  std::string partial = absl::StrCat(options.folder, "/", ToAbsl(kPartialPrefix), "XXXXXX");
  const int fd = mkostemp(partial.data(), O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, partial);
  return std::unique_ptr<HashedFile>(new HashedFile(std::move(options), std::move(partial), fd));
}

HashedFile::~HashedFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(partial_.c_str());
}

absl::Status HashedFile::Append(std::string_view piece) {
  if (piece.size() > options_.bytes - written_) {
    return absl::InvalidArgumentError(
        absl::StrCat("more bytes came than the ", options_.bytes, " that were announced"));
  }
  hash_.Add(piece);
  while (!piece.empty()) {
    const ssize_t n = write(fd_, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, absl::StrCat("writing into ", options_.folder));
    written_ += static_cast<uint64_t>(n);
    piece.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status HashedFile::Commit() {
  if (written_ != options_.bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(written_, " bytes came, ", options_.bytes, " were announced"));
  }
  const std::string found = hash_.Hex();
  if (found != options_.sha256) {
    return absl::InvalidArgumentError(absl::StrCat("the bytes have the sha256 ", found, ", not ",
                                                   options_.sha256, " as announced"));
  }
  if (options_.durable && fsync(fd_) != 0) {
    return ErrnoStatus(errno, absl::StrCat("sync of a file in ", options_.folder));
  }
  return MoveIntoPlace();
}

absl::Status HashedFile::MoveIntoPlace() {
  const std::string path = absl::StrCat(options_.folder, "/", options_.sha256);
  if (rename(partial_.c_str(), path.c_str()) != 0) return ErrnoStatus(errno, path);
  close(std::exchange(fd_, -1));
  if (!options_.durable) return absl::OkStatus();
  const absl::Status synced = SyncFolder(options_.folder);
  if (!synced.ok()) unlink(path.c_str());  // it may be gone after a power cut: not promised
  return synced;
}

absl::StatusOr<std::string> HashOfFile(int fd) {
  Sha256 hash;
  std::string piece(1 << 20, '\0');
  for (off_t at = 0;;) {
    const ssize_t n = pread(fd, piece.data(), piece.size(), at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "reading a file back");
    if (n == 0) return hash.Hex();
    hash.Add(std::string_view(piece).substr(0, static_cast<size_t>(n)));
    at += n;
  }
}

}  // namespace rackmark

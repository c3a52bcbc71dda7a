// A file that is named by the hash of its bytes, written in pieces: it has its name only once it is
// whole and the hash is right, so whoever finds the name finds the content. Owned by one thread at
// a time; what is not committed is removed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/sha256.h"
#include "common/status.h"

namespace rackmark {

// Files that were never committed, left by a process that was killed, begin with it.
constexpr std::string_view kPartialPrefix = ".partial-";

class HashedFile {
 public:
  struct Options {
    std::string folder;    // must exist
    std::string sha256;    // its name to be
    uint64_t bytes = 0;    // its size to be
    bool durable = false;  // survives a power cut once Commit has returned OK
  };
  static absl::StatusOr<std::unique_ptr<HashedFile>> Begin(Options options);
  ~HashedFile();
  HashedFile(const HashedFile&) = delete;
  HashedFile& operator=(const HashedFile&) = delete;

  // INVALID_ARGUMENT: more bytes than announced. Other errors: the disk's.
  absl::Status Append(std::string_view piece);
  // INVALID_ARGUMENT: fewer bytes, or another hash. One of the same name is replaced.
  absl::Status Commit();

 private:
  HashedFile(Options options, std::string partial, int fd)
      : options_(std::move(options)), partial_(std::move(partial)), fd_(fd) {}
  absl::Status MoveIntoPlace();

  const Options options_;
  const std::string partial_;
  int fd_;
  uint64_t written_ = 0;
  Sha256 hash_;
};

// The hash of an open file's bytes.
absl::StatusOr<std::string> HashOfFile(int fd);

}  // namespace rackmark

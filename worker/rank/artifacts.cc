#include "worker/rank/artifacts.h"

#include "common/sha256.h"

namespace rackmark {

absl::Status Artifacts::Add(const v1::ArtifactPart& part) {
  if (!IsSha256Hex(part.sha256()) || part.total_bytes() > kArtifactFileBytesMax) {
    return absl::InvalidArgumentError("the daemon sent a part of a file beyond every bound");
  }
  std::lock_guard lock(mutex_);
  if (part.offset() == 0) {
    sha256_ = part.sha256();
    total_bytes_ = part.total_bytes();
    bytes_ = std::make_shared<std::string>();
    bytes_->reserve(total_bytes_);
  }
  if (bytes_ == nullptr || sha256_ != part.sha256() || total_bytes_ != part.total_bytes() ||
      bytes_->size() != part.offset() || part.piece().size() > total_bytes_ - part.offset()) {
    return absl::InvalidArgumentError("the daemon sent a part of a file out of order");
  }
  bytes_->append(part.piece());
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const std::string>> Artifacts::Find(
    const std::string& sha256) const {
  std::shared_ptr<const std::string> bytes;
  {
    std::lock_guard lock(mutex_);
    if (bytes_ != nullptr && sha256_ == sha256 && bytes_->size() == total_bytes_) bytes = bytes_;
  }
  if (bytes == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("the daemon did not send the file ", sha256.substr(0, 12),
                     " that the run refers to; install programs of one build"));
  }
  if (Sha256Hex(*bytes) == sha256) return bytes;
  return absl::DataLossError(
      absl::StrCat("the file ", sha256.substr(0, 12), " does not have its hash any more"));
}

}  // namespace rackmark

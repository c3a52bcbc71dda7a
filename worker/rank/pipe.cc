#include "worker/rank/pipe.h"

#include <utility>

#include "common/frame.h"
#include "common/ids.h"

namespace rackmark {

Pipe::Pipe(int fd, std::string incarnation)
    : fd_(fd), incarnation_(std::move(incarnation)), thread_([this] { Loop(); }) {
  std::lock_guard lock(mutex_);
  last_status_.set_phase(v1::RANK_PHASE_STARTING);
}

Pipe::~Pipe() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

absl::Status Pipe::Heard(const v1::Identity& identity) {
  if (identity.protocol_max() < kProtocolMin || identity.protocol_min() > kProtocolMax) {
    return absl::FailedPreconditionError(
        absl::StrCat("the daemon speaks protocol versions ", identity.protocol_min(), " to ",
                     identity.protocol_max(), ", this rank ", kProtocolMin, " to ", kProtocolMax,
                     "; install rackmark-worker and rackmark-rank of the same build"));
  }
  std::lock_guard lock(mutex_);
  cluster_id_ = identity.cluster_id();
  epoch_ = identity.epoch();
  return absl::OkStatus();
}

absl::Status Pipe::Send(v1::FromRank frame) {
  std::lock_guard lock(mutex_);
  if (frame.has_status()) last_status_ = frame.status();
  return SendLocked(std::move(frame));
}

void Pipe::SayAgain() {
  std::lock_guard lock(mutex_);
  if (!queue_.empty()) return;
  v1::FromRank frame;
  *frame.mutable_status() = last_status_;
  SendLocked(std::move(frame)).IgnoreError();
}

absl::Status Pipe::SendLocked(v1::FromRank frame) {
  RETURN_IF_ERROR(failed_);
  v1::Identity* identity = frame.mutable_identity();
  identity->set_incarnation(incarnation_);
  identity->set_protocol_min(kProtocolMin);
  identity->set_protocol_max(kProtocolMax);
  identity->set_cluster_id(cluster_id_);
  identity->set_epoch(epoch_);
  queue_.push_back(frame.SerializeAsString());
  ++sent_;
  changed_.notify_all();
  return absl::OkStatus();
}

absl::Status Pipe::Flush() {
  std::unique_lock lock(mutex_);
  const uint64_t all = sent_;
  changed_.wait(lock, [&] { return written_ >= all || !failed_.ok(); });
  return failed_;
}

void Pipe::Loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stop_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const std::string bytes = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    absl::Status status = WriteFrame(fd_, bytes);
    lock.lock();
    ++written_;
    if (!status.ok()) {
      // Half a frame may have left: what comes after it could not be read.
      failed_ = std::move(status);
      queue_.clear();
    }
    changed_.notify_all();
  }
}

}  // namespace rackmark

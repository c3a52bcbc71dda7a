#include "coordinator/store/checkpointer.h"

#include <utility>

namespace rackmark {

Checkpointer::Checkpointer(Database* writer, std::unique_ptr<Database> copier, Bounds bounds)
    : writer_(writer), copier_(std::move(copier)), bounds_(bounds) {
  thread_ = std::thread([this] { Run(); });
}

Checkpointer::~Checkpointer() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    moved_.notify_all();
  }
  thread_.join();
}

absl::Status Checkpointer::AfterCommit() {
  const uint64_t bytes = writer_->WalBytes();
  std::unique_lock lock(mutex_);
  if (bytes >= bounds_.bound) {
    wanted_ = false;
    moved_.wait(lock, [this] { return !copying_; });
    RETURN_IF_ERROR(status_);
    return writer_->Checkpoint();
  }
  if (bytes >= bounds_.wake) {
    wanted_ = true;
    moved_.notify_all();
  }
  return status_;
}

void Checkpointer::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    moved_.wait(lock, [this] { return stopping_ || wanted_; });
    if (stopping_) return;
    wanted_ = false;
    copying_ = true;
    lock.unlock();
    const absl::Status status = copier_->Checkpoint();
    lock.lock();
    copying_ = false;
    if (status_.ok()) status_ = status;
    moved_.notify_all();
  }
}

}  // namespace rackmark

#include "coordinator/serve/sample_stream.h"

#include <utility>

#include "rpc/status_bridge.h"

namespace rackmark {

SampleStream::SampleStream(const WorkerService::Options& options, absl::Status admitted,
                           std::vector<std::string> certificate)
    : options_(options), certificate_(std::move(certificate)), status_(std::move(admitted)) {
  ended_ = !status_.ok();
}

void SampleStream::Begin() {
  self_ = shared_from_this();
  Proceed(std::unique_lock(mutex_));
}

void SampleStream::OnReadDone(bool ok) {
  absl::Status status;
  if (ok) status = Take();
  std::unique_lock lock(mutex_);
  reading_ = false;
  if (!ok || !status.ok()) End(std::move(status));
  Proceed(std::move(lock));
}

void SampleStream::OnWriteDone(bool ok) {
  std::unique_lock lock(mutex_);
  writing_ = false;
  if (!ok) Break();
  Proceed(std::move(lock));
}

// The end may have been told while this batch was on its way: nobody would hear its ack, and the
// worker keeps it in its spool.
absl::Status SampleStream::Take() {
  {
    std::lock_guard lock(mutex_);
    if (ended_) return absl::OkStatus();
    ++in_ingest_;  // from here on the stream is not finished
  }
  absl::Status status = options_.gate->CheckProtocolOf(batch_.identity());
  if (status.ok()) status = CheckEpoch();
  if (status.ok()) {
    status = options_.ingest->Offer(
        std::move(batch_),
        [self = shared_from_this()](absl::StatusOr<v1::SampleAck> ack) {
          self->Ack(std::move(ack));
        },
        certificate_);
  }
  if (status.ok()) return status;
  std::lock_guard lock(mutex_);
  --in_ingest_;
  return status;
}

// As of a Report: who has heard a later leader of our cluster gets nothing of us, and whether there
// is one the database says.
absl::Status SampleStream::CheckEpoch() const {
  const v1::Identity& theirs = batch_.identity();
  if (theirs.cluster_id() != options_.identity.cluster_id() ||
      theirs.epoch() <= options_.identity.epoch()) {
    return absl::OkStatus();
  }
  const absl::Status status = absl::AbortedError(
      absl::StrCat("a worker that sends samples has heard a leader of epoch ", theirs.epoch(),
                   ", this one has epoch ", options_.identity.epoch()));
  options_.doubted(status);
  return status;
}

// On ingest's thread, after the commit.
void SampleStream::Ack(absl::StatusOr<v1::SampleAck> ack) {
  std::unique_lock lock(mutex_);
  --in_ingest_;
  if (ack.ok()) {
    *ack->mutable_identity() = options_.identity;
    if (!broken_) acks_.push_back(*std::move(ack));
  } else {
    End(ack.status());
  }
  Proceed(std::move(lock));
}

// The first reason stays.
void SampleStream::End(absl::Status status) {
  if (!ended_) status_ = std::move(status);
  ended_ = true;
}

// Nobody hears acks any more.
void SampleStream::Break() {
  broken_ = true;
  acks_.clear();
  End(absl::OkStatus());
}

// What ingest still has speaks to this stream, so that it may not be finished yet. A read that is
// under way does not hold it: nothing but the end makes gRPC give it up.
SampleStream::Next SampleStream::Choose() {
  if (!writing_ && !acks_.empty()) {
    ack_ = std::move(acks_.front());
    acks_.pop_front();
    writing_ = true;
    return Next::kWrite;
  }
  if (ended_) return writing_ || in_ingest_ > 0 ? Next::kNothing : Next::kFinish;
  const size_t ahead = in_ingest_ + acks_.size() + (writing_ ? 1 : 0);
  if (reading_ || ahead >= kBatchesAhead || (ahead > 0 && !options_.ingest->HasRoom())) {
    return Next::kNothing;
  }
  reading_ = true;
  return Next::kRead;
}

// One thread at a time tells gRPC what is next, not under the lock; others leave it to that one.
// After the end nobody tells it anything: who finishes stays the one.
void SampleStream::Proceed(std::unique_lock<std::mutex> lock) {
  if (proceeding_) return;
  proceeding_ = true;
  for (Next next = Choose(); next != Next::kNothing; next = Choose()) {
    const grpc::Status status = ToGrpc(status_);
    lock.unlock();
    if (next == Next::kFinish) return Finish(status);
    if (next == Next::kWrite) {
      StartWrite(&ack_);
    } else {
      batch_.Clear();
      StartRead(&batch_);
    }
    lock.lock();
  }
  proceeding_ = false;
}

}  // namespace rackmark

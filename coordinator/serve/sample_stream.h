// One PushSamples stream: reads ahead while ingest waits for the disk, so that the next transaction
// is here when the former one is on disk. Acks go out in the order of their batches. Belongs to
// gRPC until it is done with it, and to each batch that ingest has. Called on gRPC's threads and on
// ingest's. The options must outlive it.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "coordinator/serve/worker_service.h"

namespace rackmark {

class SampleStream : public grpc::ServerBidiReactor<v1::SampleBatch, v1::SampleAck>,
                     public std::enable_shared_from_this<SampleStream> {
 public:
  // Of a peer that was not admitted only the end is told.
  // `certificate`: as Ingest::Offer takes it.
  SampleStream(const WorkerService::Options& options, absl::Status admitted,
               std::vector<std::string> certificate = {});

  // Gives gRPC its share in this object; once, before the service returns it.
  void Begin();
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone() override { self_.reset(); }

 protected:
  v1::SampleBatch batch_;  // of the read that is under way

 private:
  enum class Next { kNothing, kRead, kWrite, kFinish };
  static constexpr size_t kBatchesAhead = 4;  // the worker's window, 8 MiB, in its usual batches

  absl::Status Take();
  absl::Status CheckEpoch() const;
  void Ack(absl::StatusOr<v1::SampleAck> ack);
  // Locked.
  void End(absl::Status status);
  void Break();
  Next Choose();
  void Proceed(std::unique_lock<std::mutex> lock);

  const WorkerService::Options& options_;
  const std::vector<std::string> certificate_;
  std::shared_ptr<SampleStream> self_;
  v1::SampleAck ack_;  // of the write that is under way
  std::mutex mutex_;
  absl::Status status_;
  bool ended_ = false;   // nothing more is read
  bool broken_ = false;  // nothing more is written
  bool reading_ = false, writing_ = false, proceeding_ = false;
  size_t in_ingest_ = 0;
  std::deque<v1::SampleAck> acks_;
};

}  // namespace rackmark

// A worker as the coordinator sees it over Sync, without ranks: one TCP connection, Reports that
// say of each lease what a worker says whose ranks are starting. Thousands of them share gRPC's few
// threads. Owned by the bench's main thread, which calls everything but the reactions.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/time.h"
#include "rackmark/v1/worker_api.grpc.pb.h"

namespace rackmark {

// Of all workers of a bench.
struct FleetCounts {
  std::atomic<uint64_t> met = 0;       // had their first answer
  std::atomic<uint64_t> holding = 0;   // had a lease once
  std::atomic<uint64_t> sent = 0;      // Reports
  std::atomic<uint64_t> answered = 0;  // of them
  std::atomic<uint64_t> bytes = 0;     // of the Reports
  std::atomic<uint64_t> broken = 0;    // streams that ended before they were told to
  std::atomic<uint64_t> over = 0;      // streams of which gRPC knows nothing more
  std::mutex mutex;
  std::vector<Nanos> answer_times;  // sent to answered; guarded by mutex
};

class FleetWorker final : public grpc::ClientBidiReactor<v1::Report, v1::SyncReply> {
 public:
  static constexpr uint64_t kNodesPerRack = 18;
  static constexpr uint32_t kDevices = 8;
  static constexpr size_t kReportBytes = 1500;  // of one without leases

  // What it was told, at one moment.
  struct View {
    uint64_t lease = 0;  // the first one; 0 = none
    uint64_t version = 0;
    // Of the first version after ExpectNews, 0 before it came.
    Nanos told = 0;      // when it was heard here
    Nanos sent = 0;      // when the coordinator sent it, by its stamp: one machine, one clock
    Nanos received = 0;  // when the coordinator had the last answered Report
    uint64_t answered = 0;
  };

  FleetWorker(uint64_t index, FleetCounts* counts);
  void Begin(const std::shared_ptr<grpc::Channel>& channel);
  // Sends a Report now, or as soon as the last one is out. Any thread.
  void Send();
  // Says nothing more, also not when it is told something; its connection stays.
  void FallSilent();
  View Look() const;
  void ExpectNews();
  // Ends the stream; `over` counts it later.
  void End();

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;
  void Take(Nanos now);                      // reply_; mutex_ is held
  void Fill(v1::Report& report, Nanos now);  // mutex_ is held

  FleetCounts* const counts_;
  v1::NodeInfo info_;
  std::string incarnation_;
  std::unique_ptr<v1::WorkerService::Stub> stub_;
  grpc::ClientContext context_;
  v1::Report report_;    // on the wire while writing_
  v1::SyncReply reply_;  // the reader's

  mutable std::mutex mutex_;  // guards all below
  bool writing_ = false, again_ = false, silent_ = false, ended_ = false;
  uint64_t number_ = 0;
  std::string cluster_id_;
  uint64_t epoch_ = 0;
  v1::DesiredState desired_;
  v1::ClockExchange exchange_;
  View view_;
};

}  // namespace rackmark

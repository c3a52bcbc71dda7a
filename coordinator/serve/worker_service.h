// The worker's two streams. Sync: each Report becomes a Command, each answer and each change of the
// node's desired state a SyncReply, latest wins, only after the commit. PushSamples: batches go to
// ingest, one at a time per stream, so that gRPC's flow control holds back a worker that sends more
// than the disk takes. Owned by main; must outlive the listener and the loop.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "common/time.h"
#include "coordinator/loop.h"
#include "coordinator/serve/artifact_streams.h"
#include "coordinator/serve/auth.h"
#include "coordinator/serve/ingest.h"
#include "rackmark/v1/worker_api.grpc.pb.h"

namespace rackmark {

class SyncStream;

class WorkerService : public v1::WorkerService::CallbackService, public LoopListener {
 public:
  struct Options {
    Loop* loop = nullptr;
    Ingest* ingest = nullptr;
    const Gate* gate = nullptr;
    const Clock* clock = nullptr;
    v1::Identity identity;  // ours: in every reply
    std::string boot_id;
    v1::Timing timing;
    // As in Turns::Options: a worker that sends samples says so. Any thread.
    std::function<void(const absl::Status&)> doubted;
    ArtifactDesk* desk = nullptr;
  };
  explicit WorkerService(Options options)
      : options_(std::move(options)), artifacts_{options_.desk, options_.gate, options_.identity} {}

  grpc::ServerBidiReactor<v1::Report, v1::SyncReply>* Sync(
      grpc::CallbackServerContext* context) override;
  grpc::ServerBidiReactor<v1::SampleBatch, v1::SampleAck>* PushSamples(
      grpc::CallbackServerContext* context) override;
  grpc::ServerWriteReactor<v1::ArtifactPiece>* GetArtifact(grpc::CallbackServerContext* context,
                                                           const v1::GetArtifactRequest*) override;

  void DesiredChanged(NodeId node, const State& state) override;
  void RunToJudge(RunId) override {}
  void Committed(const State&, Now) override {}

 private:
  friend class SyncStream;
  // The node's pushes go to this stream from now on. False if a later stream has them already; an
  // earlier one is cut.
  bool Attach(NodeId node, const std::shared_ptr<SyncStream>& stream);
  void Forget(NodeId node, uint64_t number);
  v1::SyncReply ReplyFor(NodeId node, const State& state) const;

  const Options options_;
  const ArtifactContext artifacts_;
  std::atomic<uint64_t> streams_ = 0;
  std::mutex mutex_;
  std::map<NodeId, std::shared_ptr<SyncStream>> attached_;
};

}  // namespace rackmark

// All of the coordinator but its disk, over a real unix socket, with a scripted worker and a
// client: for the tests of the services. Each test has its own; the test's thread.
#pragma once

#include <stdlib.h>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/series.h"
#include "common/sha256.h"
#include "common/test_folder.h"
#include "coordinator/archive.h"
#include "coordinator/live.h"
#include "coordinator/loop.h"
#include "coordinator/reporter.h"
#include "coordinator/serve/artifact_desk.h"
#include "coordinator/serve/client_service.h"
#include "coordinator/serve/ingest.h"
#include "coordinator/serve/watch_hub.h"
#include "coordinator/serve/worker_service.h"
#include "coordinator/store/artifact_store.h"
#include "coordinator/store/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rpc/channel.h"
#include "rpc/identity.h"
#include "rpc/limits.h"
#include "rpc/listener.h"
#include "rpc/status_bridge.h"
#include "samples/chunk_codec.h"

namespace rackmark {

inline v1::Job MakeJob() {
  v1::Job job;
  job.set_name("happy");
  job.mutable_spec()->mutable_gang()->set_devices(1);
  job.mutable_spec()->mutable_gang()->set_kind(v1::DEVICE_KIND_CPU);
  v1::Limits* limits = job.mutable_spec()->mutable_limits();
  limits->set_setup_ns(60 * kSecond);
  limits->set_prepare_ns(60 * kSecond);
  limits->set_measure_ns(60 * kSecond);
  limits->set_drain_ns(60 * kSecond);
  limits->set_attempts(1);
  v1::NullWorkload* null = job.mutable_spec()->add_runs()->mutable_null();
  null->set_duration_ns(kSecond);
  null->set_samples_per_step(16);
  return job;
}

// The whole coordinator in memory.
class Coordinator {
 public:
  // `watched_every`: instead of the hub's own times.
  explicit Coordinator(Nanos upload_idle_max = ArtifactDesk::kIdleMax,
                       std::optional<Nanos> watched_every = std::nullopt) {
    const std::string folder = TestFolders::New("rm_serve");
    const auto fatal = [](const absl::Status& status) { ADD_FAILURE() << status; };
    Loop::Options options;
    options.events = &events_;
    options.clock = &SystemClock();
    options.inbox_max = 1024;
    options.fatal = fatal;
    loop_ = std::make_unique<Loop>(options);
    EXPECT_TRUE(loop_->Recover("boot", "boot/c").ok());
    identity_ = MakeIdentity(loop_->cluster_id(), loop_->epoch(), "boot/c");
    gate_ = std::make_unique<Gate>(*PeerPolicy::Create({}), loop_->cluster_id());
    Reporter::Options reporting;
    reporting.loop = loop_.get();
    reporting.samples = &samples_;
    reporting.history = &events_.history();
    reporting.fatal = fatal;
    reporting.report_bytes_max = 1 << 20;
    reporting.summarize = [](v1::RunSummary known,
                             const ChunkSource& chunks) -> absl::StatusOr<v1::RunSummary> {
      uint64_t n = 0;
      RETURN_IF_ERROR(chunks([&](const v1::Chunk&) {
        ++n;
        return absl::OkStatus();
      }));
      known.set_chunks(n);
      known.set_verdict(v1::VERDICT_PASS);
      return known;
    };
    reporter_ = std::make_unique<Reporter>(reporting);
    Ingest::Options ingest;
    ingest.store = &samples_;
    ingest.live = &live_;
    ingest.cluster_id = loop_->cluster_id();
    ingest.knows = [](uint64_t run, uint32_t) { return absl::StatusOr<bool>(run == 1); };
    ingest.fatal = fatal;
    ingest.bytes_max = 1 << 20;
    ingest.run_bytes_max = 1 << 20;
    ingest_ = std::make_unique<Ingest>(ingest);
    WatchHub::Options hub;
    hub.loop = loop_.get();
    hub.live = &live_;
    archive_ = std::make_unique<Archive>(&events_.history(), 64);
    hub.archive = archive_.get();
    hub.identity = identity_;
    hub.rhythm = watched_every.value_or(20 * kMillisecond);
    if (watched_every) hub.spare = *watched_every;
    hub_ = std::make_unique<WatchHub>(hub);
    folder_ = folder;
    ArtifactStore::Options artifacts;
    artifacts.folder = folder + "/artifacts";
    artifacts.total_bytes_max = 5 << 20;
    artifacts_ = *ArtifactStore::Open(artifacts);
    desk_ = std::make_unique<ArtifactDesk>(artifacts_.get(), 256, upload_idle_max);
    workers_ = std::make_unique<WorkerService>(WorkerService::Options{loop_.get(),
                                                                      ingest_.get(),
                                                                      gate_.get(),
                                                                      &SystemClock(),
                                                                      identity_,
                                                                      "boot",
                                                                      {},
                                                                      fatal,
                                                                      desk_.get()});
    clients_ = std::make_unique<ClientService>(
        ClientService::Options{loop_.get(), reporter_.get(), hub_.get(), gate_.get(), identity_,
                               desk_.get(), archive_.get()});
    loop_->AddListener(workers_.get());
    loop_->AddListener(hub_.get());
    loop_->AddListener(reporter_.get());
    loop_->Start();
    auto listener = Listener::Start({workers_.get(), clients_.get()},
                                    {Endpoint::Kind::kUnix, folder + "/c.sock"}, {});
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    channel_ = *Dial(*ParseEndpoint(listener_->address()), {});
  }
  ~Coordinator() {
    listener_->Shutdown(0);
    desk_->Stop();
    hub_->Stop();
    archive_->Stop();
    reporter_->Stop();
    ingest_->Stop();
    loop_->Stop();
  }
  std::shared_ptr<grpc::Channel> channel() const { return channel_; }
  const std::string& cluster_id() const { return loop_->cluster_id(); }
  const std::string& folder() const { return folder_; }
  ArtifactStore& artifacts() { return *artifacts_; }
  ArtifactDesk& desk() { return *desk_; }

 private:
  std::string folder_;
  MemoryEventStore events_{"c1"};
  MemorySampleStore samples_;
  LiveBoard live_;
  v1::Identity identity_;
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<Archive> archive_;
  std::unique_ptr<Reporter> reporter_;
  std::unique_ptr<Ingest> ingest_;
  std::unique_ptr<ArtifactStore> artifacts_;
  std::unique_ptr<ArtifactDesk> desk_;
  std::unique_ptr<WatchHub> hub_;
  std::unique_ptr<WorkerService> workers_;
  std::unique_ptr<ClientService> clients_;
  std::unique_ptr<Listener> listener_;
  std::shared_ptr<grpc::Channel> channel_;
};

inline void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
}

// A worker with one CPU slot that does at once whatever it is told.
class FakeWorker {
 public:
  FakeWorker(const Coordinator& coordinator, const std::string& incarnation)
      : cluster_id_(coordinator.cluster_id()),
        stub_(v1::WorkerService::NewStub(coordinator.channel())) {
    SetDeadline(context_);
    stream_ = stub_->Sync(&context_);
    *report_.mutable_identity() = MakeIdentity("", 0, incarnation);
    report_.mutable_node()->set_name("n1");
    report_.mutable_node()->set_boot_id("boot-n1");
    v1::Device* device = report_.mutable_node()->add_devices();
    device->set_kind(v1::DEVICE_KIND_CPU);
    report_.add_devices()->set_healthy(true);
  }
  void SendReport() {
    report_.set_report_number(report_.report_number() + 1);
    report_.set_worker_send_ns(SystemClock().Monotonic());
    ASSERT_TRUE(stream_->Write(report_));
  }
  v1::NodeInfo& node() { return *report_.mutable_node(); }
  // False at the end of the stream.
  bool Receive() {
    if (!stream_->Read(&reply_)) return false;
    if (reply_.has_desired()) desired_ = reply_.desired();
    return true;
  }
  grpc::Status Finish() { return stream_->Finish(); }
  const v1::SyncReply& reply() const { return reply_; }
  // The last one that came: an answer that says nothing of it means that one.
  const v1::DesiredState& desired() const { return desired_; }

  // Reports, obeys, until `done` says so.
  void ObeyUntil(const std::function<bool()>& done) {
    SendReport();
    while (!done()) {
      ASSERT_TRUE(Receive());
      const std::string before = report_.SerializeAsString();
      Obey();
      if (report_.SerializeAsString() != before) SendReport();
    }
  }

 private:
  void Obey() {
    *report_.mutable_identity() =
        MakeIdentity(cluster_id_, reply_.identity().epoch(), report_.identity().incarnation());
    report_.set_reflects_version(desired_.version());
    report_.clear_leases();
    report_.mutable_devices(0)->set_lease_id(0);
    for (const v1::DesiredLease& desired : desired_.leases()) {
      report_.mutable_devices(0)->set_lease_id(desired.lease_id());
      v1::LeaseReport* lease = report_.add_leases();
      lease->set_lease_id(desired.lease_id());
      lease->set_generation(desired.generation());
      v1::RankReport* rank = lease->add_ranks();
      rank->set_phase(desired.go() ? v1::RANK_PHASE_READY : v1::RANK_PHASE_CARDED);
      rank->mutable_card()->set_lease_id(desired.lease_id());
      rank->mutable_card()->set_generation(desired.generation());
      if (!desired.has_run()) continue;
      rank->set_run_id(desired.run().run_id());
      rank->set_attempt(desired.run().attempt());
      rank->set_phase(desired.run().goal() == v1::RUN_GOAL_DONE ? v1::RANK_PHASE_DONE
                                                                : v1::RANK_PHASE_PREPARED);
      if (desired.run().goal() == v1::RUN_GOAL_DONE) Drain(desired.run());
    }
  }
  // One chunk in each of the rank's and the node's stream, pushed and acked.
  void Drain(const v1::DesiredRun& run) {
    if (report_.streams_size() > 0) return;
    grpc::ClientContext context;
    SetDeadline(context);
    auto push = stub_->PushSamples(&context);
    for (const v1::StreamKind kind : {v1::STREAM_KIND_RANK, v1::STREAM_KIND_NODE}) {
      v1::ChunkPayload payload;
      PayloadBuilder(&payload).Add(SeriesId::kRankRss, 1, 42);
      v1::ChunkHeader header;
      header.set_cluster_id(cluster_id_);
      header.set_run(run.run_id());
      header.set_attempt(run.attempt());
      header.set_kind(kind);
      header.set_seq(1);
      header.set_last(true);
      v1::SampleBatch batch;
      *batch.mutable_identity() = report_.identity();
      *batch.add_chunks() = *PackChunk(header, payload);
      ASSERT_TRUE(push->Write(batch));
      v1::SampleAck ack;
      ASSERT_TRUE(push->Read(&ack));
      ASSERT_EQ(ack.watermarks_size(), 1);
      EXPECT_EQ(ack.watermarks(0).refused(), "");
      v1::StreamReport* stream = report_.add_streams();
      stream->set_run_id(run.run_id());
      stream->set_attempt(run.attempt());
      stream->set_kind(kind);
      stream->set_sealed_seq(1);
      stream->set_acked_seq(ack.watermarks(0).seq());
      stream->set_closed(true);
      stream->set_drained(ack.watermarks(0).seq() == 1);
    }
    push->WritesDone();
    EXPECT_TRUE(push->Finish().ok());
  }

  const std::string cluster_id_;
  std::unique_ptr<v1::WorkerService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::Report, v1::SyncReply>> stream_;
  v1::Report report_;
  v1::SyncReply reply_;
  v1::DesiredState desired_;
};

// Everything that a watcher sees until the job has ended; `began` is told of the first message, or
// of the end if there was none.
inline std::vector<v1::WatchJobReply> Watch(const Coordinator& coordinator, uint64_t job,
                                            std::promise<void>& began) {
  auto stub = v1::ClientService::NewStub(coordinator.channel());
  grpc::ClientContext context;
  SetDeadline(context);
  v1::WatchJobRequest request;
  *request.mutable_identity() = MakeIdentity("", 0, "cli");
  request.set_job_id(job);
  auto stream = stub->WatchJob(&context, request);
  std::vector<v1::WatchJobReply> seen;
  v1::WatchJobReply reply;
  while (stream->Read(&reply)) {
    seen.push_back(reply);
    if (seen.size() == 1) began.set_value();
  }
  if (seen.empty()) began.set_value();
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  return seen;
}

template <typename Request, typename Reply, typename Stub>
absl::StatusOr<Reply> Call(const Coordinator& coordinator,
                           grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                        Reply*),
                           Request request) {
  auto stub = v1::ClientService::NewStub(coordinator.channel());
  grpc::ClientContext context;
  SetDeadline(context);
  if (request.identity().protocol_max() == 0) {
    *request.mutable_identity() = MakeIdentity("", 0, "cli");
  }
  Reply reply;
  RETURN_IF_ERROR(FromGrpc(((*stub).*method)(&context, request, &reply)));
  return reply;
}

using Stub = v1::ClientService::Stub;

inline absl::StatusOr<v1::SubmitReply> Submit(const Coordinator& coordinator,
                                              const std::string& id) {
  v1::SubmitRequest request;
  *request.mutable_job() = MakeJob();
  request.set_submission_id(id);
  return Call<v1::SubmitRequest, v1::SubmitReply>(coordinator, &Stub::Submit, request);
}

}  // namespace rackmark

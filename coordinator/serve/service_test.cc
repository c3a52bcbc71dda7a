// All of the coordinator but its disk, over a real unix socket: a scripted worker takes a job
// through its life, and people watch it.
#include <stdlib.h>

#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <set>
#include <string>

#include "common/series.h"
#include "common/sha256.h"
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
namespace {

using ::testing::HasSubstr;

v1::Job MakeJob() {
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
  Coordinator() {
    std::string folder = testing::TempDir() + "rm_serve_XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    const auto fatal = [](const absl::Status& status) { ADD_FAILURE() << status; };
    loop_ = std::make_unique<Loop>(Loop::Options{{}, &events_, &SystemClock(), 1024, fatal});
    EXPECT_TRUE(loop_->Recover("boot", "boot/c").ok());
    identity_ = MakeIdentity(loop_->cluster_id(), loop_->epoch(), "boot/c");
    gate_ = std::make_unique<Gate>(*PeerPolicy::Create({}), loop_->cluster_id());
    Reporter::Options reporting;
    reporting.loop = loop_.get();
    reporting.samples = &samples_;
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
    hub.identity = identity_;
    hub.rhythm = 20 * kMillisecond;
    hub_ = std::make_unique<WatchHub>(hub);
    folder_ = folder;
    ArtifactStore::Options artifacts;
    artifacts.folder = folder + "/artifacts";
    artifacts.total_bytes_max = 5 << 20;
    artifacts_ = *ArtifactStore::Open(artifacts);
    desk_ = std::make_unique<ArtifactDesk>(artifacts_.get());
    workers_ = std::make_unique<WorkerService>(WorkerService::Options{loop_.get(),
                                                                      ingest_.get(),
                                                                      gate_.get(),
                                                                      &SystemClock(),
                                                                      identity_,
                                                                      "boot",
                                                                      {},
                                                                      fatal,
                                                                      desk_.get()});
    clients_ = std::make_unique<ClientService>(ClientService::Options{
        loop_.get(), reporter_.get(), hub_.get(), gate_.get(), identity_, desk_.get()});
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
    reporter_->Stop();
    ingest_->Stop();
    loop_->Stop();
  }
  std::shared_ptr<grpc::Channel> channel() const { return channel_; }
  const std::string& cluster_id() const { return loop_->cluster_id(); }
  const std::string& folder() const { return folder_; }
  ArtifactStore& artifacts() { return *artifacts_; }

 private:
  std::string folder_;
  MemoryEventStore events_{"c1"};
  MemorySampleStore samples_;
  LiveBoard live_;
  v1::Identity identity_;
  std::unique_ptr<Gate> gate_;
  std::unique_ptr<Loop> loop_;
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

void SetDeadline(grpc::ClientContext& context) {
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
  // False at the end of the stream.
  bool Receive() { return stream_->Read(&reply_); }
  grpc::Status Finish() { return stream_->Finish(); }
  const v1::SyncReply& reply() const { return reply_; }

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
    report_.set_reflects_version(reply_.desired().version());
    report_.clear_leases();
    report_.mutable_devices(0)->set_lease_id(0);
    for (const v1::DesiredLease& desired : reply_.desired().leases()) {
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
};

// Everything that a watcher sees until the job has ended; `began` is told of the first message, or
// of the end if there was none.
std::vector<v1::WatchJobReply> Watch(const Coordinator& coordinator, uint64_t job,
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

absl::StatusOr<v1::SubmitReply> Submit(const Coordinator& coordinator, const std::string& id) {
  v1::SubmitRequest request;
  *request.mutable_job() = MakeJob();
  request.set_submission_id(id);
  return Call<v1::SubmitRequest, v1::SubmitReply>(coordinator, &Stub::Submit, request);
}

// The YAML reader would have refused these; a client of somebody else need not have one.
TEST(Services, AJobOutOfBoundsIsRefusedWhoeverWroteIt) {
  Coordinator coordinator;
  const auto refuse = [&](void (*spoil)(v1::RunSpec&), const std::string& field) {
    v1::SubmitRequest request;
    *request.mutable_job() = MakeJob();
    spoil(*request.mutable_job()->mutable_spec()->mutable_runs(0));
    const auto reply =
        Call<v1::SubmitRequest, v1::SubmitReply>(coordinator, &Stub::Submit, request);
    EXPECT_EQ(reply.status().code(), absl::StatusCode::kInvalidArgument) << reply.status();
    EXPECT_THAT(std::string(reply.status().message()), testing::HasSubstr(field));
  };
  refuse([](v1::RunSpec& run) { run.mutable_null()->set_samples_per_step(1'000'000); },
         "null.samples_per_step");
  refuse([](v1::RunSpec& run) { run.mutable_serve()->set_model("tiny-30m"); },
         "serve.tensor_parallel");
}

TEST(Services, AJobFromSubmitToReport) {
  Coordinator coordinator;
  const auto submitted = Submit(coordinator, "s1");
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  EXPECT_EQ(submitted->identity().cluster_id(), coordinator.cluster_id());
  EXPECT_EQ(Submit(coordinator, "s1")->job_id(), submitted->job_id());

  v1::GetReportRequest early;
  early.set_job_id(submitted->job_id());
  const auto not_yet =
      Call<v1::GetReportRequest, v1::GetReportReply>(coordinator, &Stub::GetReport, early);
  EXPECT_EQ(not_yet.status().code(), absl::StatusCode::kFailedPrecondition);

  std::promise<void> began;
  auto watched = std::async(std::launch::async,
                            [&] { return Watch(coordinator, submitted->job_id(), began); });
  began.get_future().wait();  // it has seen the job wait; only now comes a worker
  FakeWorker worker(coordinator, "boot-n1/1");
  bool had_lease = false;
  worker.ObeyUntil([&] {
    had_lease = had_lease || worker.reply().desired().leases_size() > 0;
    return had_lease && worker.reply().desired().leases_size() == 0;
  });
  const auto seen = watched.get();
  ASSERT_FALSE(seen.empty());
  EXPECT_EQ(seen.front().job().phase(), v1::JOB_PHASE_QUEUED);
  EXPECT_EQ(seen.back().job().phase(), v1::JOB_PHASE_ENDED);
  EXPECT_EQ(seen.back().job().verdict(), v1::VERDICT_PASS);
  int ends = 0;
  for (const auto& reply : seen) {
    for (const auto& run : reply.runs()) ends += run.phase() == v1::RUN_PHASE_ENDED ? 1 : 0;
  }
  EXPECT_EQ(ends, 1);

  const auto report =
      Call<v1::GetReportRequest, v1::GetReportReply>(coordinator, &Stub::GetReport, early);
  ASSERT_TRUE(report.ok()) << report.status();
  ASSERT_EQ(report->summary().runs_size(), 1);
  EXPECT_EQ(report->summary().runs(0).chunks(), 2U);
  EXPECT_EQ(report->summary().runs(0).nodes(0).name(), "n1");
  const auto nodes =
      Call<v1::ListNodesRequest, v1::ListNodesReply>(coordinator, &Stub::ListNodes, {});
  ASSERT_EQ(nodes->nodes_size(), 1);
  EXPECT_EQ(nodes->nodes(0).phase(), v1::NODE_PHASE_UP);
}

TEST(Services, EachReportIsAnsweredWithItsStamps) {
  Coordinator coordinator;
  FakeWorker worker(coordinator, "boot-n1/1");
  for (uint64_t n = 1; n <= 3; ++n) {
    worker.SendReport();
    do {
      ASSERT_TRUE(worker.Receive());
    } while (worker.reply().answers_report() == 0);
    EXPECT_EQ(worker.reply().answers_report(), n);
    EXPECT_GE(worker.reply().coordinator_receive_ns(), worker.reply().worker_send_ns());
    EXPECT_GE(worker.reply().coordinator_send_ns(), worker.reply().coordinator_receive_ns());
    EXPECT_EQ(worker.reply().coordinator_boot_id(), "boot");
  }
}

TEST(Services, ASecondStreamOfAWorkerCutsTheFirst) {
  Coordinator coordinator;
  FakeWorker first(coordinator, "boot-n1/1");
  first.SendReport();
  ASSERT_TRUE(first.Receive());
  FakeWorker second(coordinator, "boot-n1/1");
  second.SendReport();
  ASSERT_TRUE(second.Receive());
  while (first.Receive()) {
  }
  EXPECT_FALSE(first.Finish().ok());
  second.SendReport();
  EXPECT_TRUE(second.Receive());
}

TEST(Services, ForeignClustersAndOtherProtocolsAreRefusedByName) {
  Coordinator coordinator;
  v1::ListJobsRequest request;
  *request.mutable_identity() = MakeIdentity("somebody else's", 0, "cli");
  auto refused =
      Call<v1::ListJobsRequest, v1::ListJobsReply>(coordinator, &Stub::ListJobs, request);
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("cluster"));
  *request.mutable_identity() = MakeIdentity("", 0, "cli");
  request.mutable_identity()->set_protocol_min(8);
  request.mutable_identity()->set_protocol_max(9);
  refused = Call<v1::ListJobsRequest, v1::ListJobsReply>(coordinator, &Stub::ListJobs, request);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("8 to 9"));
}

TEST(Services, AnUnknownJobIsNotFoundByEveryCallThatNamesOne) {
  Coordinator coordinator;
  v1::ListRunsRequest runs;
  runs.set_job_id(9);
  EXPECT_TRUE(absl::IsNotFound(
      Call<v1::ListRunsRequest, v1::ListRunsReply>(coordinator, &Stub::ListRuns, runs).status()));
  v1::CancelRequest cancel;
  cancel.set_job_id(9);
  EXPECT_TRUE(absl::IsNotFound(
      Call<v1::CancelRequest, v1::CancelReply>(coordinator, &Stub::Cancel, cancel).status()));
  auto stub = v1::ClientService::NewStub(coordinator.channel());
  grpc::ClientContext context;
  SetDeadline(context);
  v1::WatchJobRequest watch;
  *watch.mutable_identity() = MakeIdentity("", 0, "cli");
  watch.set_job_id(9);
  auto stream = stub->WatchJob(&context, watch);
  v1::WatchJobReply reply;
  EXPECT_FALSE(stream->Read(&reply));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::NOT_FOUND);
}

// Uploads in pieces of a given size, announcing `name` and `total`.
absl::StatusOr<v1::PutArtifactReply> Put(const Coordinator& coordinator, const std::string& content,
                                         const std::string& name, uint64_t total,
                                         size_t piece = 64 << 10) {
  auto stub = v1::ClientService::NewStub(coordinator.channel());
  grpc::ClientContext context;
  SetDeadline(context);
  v1::PutArtifactReply reply;
  auto stream = stub->PutArtifact(&context, &reply);
  v1::PutArtifactRequest request;
  *request.mutable_identity() = MakeIdentity("", 0, "cli");
  request.set_sha256(name);
  request.set_total_bytes(total);
  bool open = stream->Write(request);
  for (size_t at = 0; open && at < content.size(); at += piece) {
    v1::PutArtifactRequest more;
    more.set_piece(content.substr(at, piece));
    open = stream->Write(more);
  }
  stream->WritesDone();
  RETURN_IF_ERROR(FromGrpc(stream->Finish()));
  return reply;
}
absl::StatusOr<v1::PutArtifactReply> Put(const Coordinator& coordinator,
                                         const std::string& content) {
  return Put(coordinator, content, Sha256Hex(content), content.size());
}
absl::StatusOr<std::string> Get(const Coordinator& coordinator, const std::string& sha256) {
  auto stub = v1::WorkerService::NewStub(coordinator.channel());
  grpc::ClientContext context;
  SetDeadline(context);
  v1::GetArtifactRequest request;
  *request.mutable_identity() = MakeIdentity("", 0, "boot-n1/1");
  request.set_sha256(sha256);
  auto stream = stub->GetArtifact(&context, request);
  std::string content;
  v1::ArtifactPiece piece;
  while (stream->Read(&piece)) {
    content += piece.piece();
    EXPECT_EQ(piece.identity().cluster_id(), coordinator.cluster_id());
    EXPECT_LE(piece.piece().size(), kArtifactPieceBytesMax);
    EXPECT_LE(content.size(), piece.total_bytes());
  }
  RETURN_IF_ERROR(FromGrpc(stream->Finish()));
  return content;
}
std::string Content(size_t bytes) {
  std::string content(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) content[i] = static_cast<char>(i * 2654435761U >> 13);
  return content;
}

TEST(Services, AnArtifactGoesUpInPiecesAndDownWhole) {
  Coordinator coordinator;
  const std::string content = Content((3 << 20) + 17);
  const std::string sha256 = Sha256Hex(content);
  v1::FindArtifactRequest find;
  find.set_sha256(sha256);
  const auto found = [&] {
    return Call<v1::FindArtifactRequest, v1::FindArtifactReply>(coordinator, &Stub::FindArtifact,
                                                                find);
  };
  EXPECT_FALSE(found()->present());
  EXPECT_TRUE(absl::IsNotFound(Get(coordinator, sha256).status()));

  const auto put = Put(coordinator, content);
  ASSERT_TRUE(put.ok()) << put.status();
  EXPECT_FALSE(put->was_there());
  EXPECT_TRUE(found()->present());
  EXPECT_EQ(found()->bytes(), content.size());
  EXPECT_EQ(*Get(coordinator, sha256), content);
  const auto again = Put(coordinator, content);  // its reply was lost, say
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(again->was_there());
  EXPECT_EQ(coordinator.artifacts().List().size(), 1U);
}

TEST(Services, AnArtifactThatIsNotWhatItSaysIsRefused) {
  Coordinator coordinator;
  const std::string content = Content(100'000);
  const auto refused = [&](const absl::StatusOr<v1::PutArtifactReply>& put, absl::StatusCode code,
                           const std::string& words) {
    EXPECT_EQ(put.status().code(), code) << put.status();
    EXPECT_THAT(std::string(put.status().message()), HasSubstr(words));
  };
  const auto kBad = absl::StatusCode::kInvalidArgument;
  refused(Put(coordinator, content, Sha256Hex("other"), content.size()), kBad, "sha256");
  refused(Put(coordinator, content, Sha256Hex(content), content.size() - 1), kBad, "more bytes");
  refused(Put(coordinator, content, Sha256Hex(content), content.size() + 1), kBad, "announced");
  refused(Put(coordinator, content, "../../etc/passwd", content.size()), kBad, "64 lower-case");
  refused(Put(coordinator, content, Sha256Hex(content), (64 << 20) + 1), kBad, "cut it");
  refused(Put(coordinator, content, Sha256Hex(content), 0), kBad, "cut it");
  refused(Put(coordinator, Content(2 << 20), Sha256Hex(content), 2 << 20, 2 << 20), kBad,
          "a piece of");
  refused(Put(coordinator, Content(6 << 20)), absl::StatusCode::kResourceExhausted,
          "--artifact-bytes");
  EXPECT_TRUE(coordinator.artifacts().List().empty());
  EXPECT_TRUE(std::filesystem::is_empty(coordinator.folder() + "/artifacts"));
  EXPECT_TRUE(Put(coordinator, Content(5 << 20)).ok());  // what was refused takes no room
}

TEST(Services, AJobWhoseTraceIsNotHereIsRefusedWithTheRemedy) {
  Coordinator coordinator;
  const std::string content = Content(1000);
  v1::Job job = MakeJob();
  v1::TraceLoad* trace =
      job.mutable_spec()->mutable_runs(0)->mutable_serve()->mutable_load()->mutable_trace();
  trace->set_name("day\x1b.csv");
  trace->set_sha256(Sha256Hex(content));
  trace->set_bytes(content.size());
  const absl::Status before = CheckArtifacts(job, coordinator.artifacts());
  EXPECT_EQ(before.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(before.message()), HasSubstr("does not have the file day\\x1b.csv"));
  EXPECT_THAT(std::string(before.message()), HasSubstr("upload it"));
  ASSERT_TRUE(Put(coordinator, content).ok());
  EXPECT_TRUE(CheckArtifacts(job, coordinator.artifacts()).ok());
  trace->set_bytes(999);
  EXPECT_THAT(std::string(CheckArtifacts(job, coordinator.artifacts()).message()),
              HasSubstr("1000 bytes, the job says 999"));
}

TEST(Services, AWatcherThatGoesAwayIsForgotten) {
  Coordinator coordinator;
  const auto job = Submit(coordinator, "s1");
  ASSERT_TRUE(job.ok());
  auto stub = v1::ClientService::NewStub(coordinator.channel());
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::WatchJobRequest watch;
    *watch.mutable_identity() = MakeIdentity("", 0, "cli");
    watch.set_job_id(job->job_id());
    auto stream = stub->WatchJob(&context, watch);
    v1::WatchJobReply reply;
    ASSERT_TRUE(stream->Read(&reply));
    EXPECT_EQ(reply.job().name(), "happy");
    context.TryCancel();
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
}

}  // namespace
}  // namespace rackmark

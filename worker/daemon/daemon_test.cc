// The whole daemon with real processes (fake_rank) against a fake coordinator on a unix socket:
// start, card, connect, run, samples, ack, drained; and what happens when somebody fails.
#include "worker/daemon/daemon.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <thread>

#include "common/program.h"
#include "common/sha256.h"
#include "common/shm_name.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rackmark/v1/worker_api.grpc.pb.h"
#include "rpc/channel.h"
#include "rpc/identity.h"
#include "rpc/listener.h"
#include "rpc/status_bridge.h"
#include "samples/chunk_codec.h"
#include "worker/daemon/stream_key.h"
#include "worker/device/telemetry.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

// Answers Reports and acks chunks as told, and remembers what it heard.
class FakeCoordinator : public v1::WorkerService::Service {
 public:
  grpc::Status Sync(grpc::ServerContext*,
                    grpc::ServerReaderWriter<v1::SyncReply, v1::Report>* stream) override {
    v1::Report report;
    while (stream->Read(&report)) {
      std::lock_guard lock(mutex_);
      if (!refuse_.ok()) return ToGrpc(refuse_);
      report_ = report;
      sync_ = stream;
      changed_.notify_all();
      if (answering_) Write(&report);
    }
    std::lock_guard lock(mutex_);
    if (sync_ == stream) sync_ = nullptr;
    return grpc::Status::OK;
  }
  grpc::Status PushSamples(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<v1::SampleAck, v1::SampleBatch>* stream) override {
    v1::SampleBatch batch;
    while (stream->Read(&batch)) {
      std::lock_guard lock(mutex_);
      v1::SampleAck ack;
      *ack.mutable_identity() = MakeIdentity(cluster_, 1, "c");
      for (const v1::Chunk& chunk : batch.chunks()) {
        chunks_[KeyOf(chunk.header())][chunk.header().seq()] = chunk;
        v1::Watermark* mark = ack.add_watermarks();
        mark->set_run_id(chunk.header().run());
        mark->set_attempt(chunk.header().attempt());
        mark->set_kind(chunk.header().kind());
        mark->set_stream(chunk.header().stream());
        mark->set_seq(chunk.header().seq());
      }
      changed_.notify_all();
      if (!acking_) return {grpc::StatusCode::UNAVAILABLE, "no acks today"};
      stream->Write(ack);
    }
    return grpc::Status::OK;
  }

  // Answers with the next of `artifact_troubles_`, then with the file; a broken call has sent some.
  grpc::Status GetArtifact(grpc::ServerContext*, const v1::GetArtifactRequest* request,
                           grpc::ServerWriter<v1::ArtifactPiece>* stream) override {
    std::string content;
    grpc::Status trouble;
    {
      std::lock_guard lock(mutex_);
      ++artifact_calls_;
      content = artifacts_[request->sha256()];
      if (!artifact_troubles_.empty()) {
        trouble = artifact_troubles_.front();
        artifact_troubles_.erase(artifact_troubles_.begin());
      }
    }
    v1::ArtifactPiece piece;
    *piece.mutable_identity() = MakeIdentity(cluster_, 1, "c");
    piece.set_total_bytes(content.size());
    for (size_t at = 0; at < content.size(); at += 1 << 20) {
      piece.set_piece(content.substr(at, 1 << 20));
      stream->Write(piece);
      if (!trouble.ok()) break;
    }
    return trouble;
  }

  void Want(v1::DesiredState desired) {
    std::lock_guard lock(mutex_);
    desired.set_version(++version_);
    desired_ = std::move(desired);
    if (sync_ != nullptr && answering_) Write(nullptr);
  }
  template <typename F>
  void Set(F change) {
    std::lock_guard lock(mutex_);
    change(*this);
  }
  // The first Report, from now on, that reflects the last desired state and satisfies `predicate`.
  template <typename F>
  testing::AssertionResult Wait(F predicate) {
    std::unique_lock lock(mutex_);
    const bool ok =
        changed_.wait_for(lock, std::chrono::seconds(10), [&] { return predicate(report_); });
    if (ok) return testing::AssertionSuccess();
    return testing::AssertionFailure() << "last report:\n" << report_.Utf8DebugString();
  }
  std::map<uint64_t, v1::Chunk> Chunks(const StreamKey& key) {
    std::lock_guard lock(mutex_);
    return chunks_[key];
  }

  bool answering_ = true;
  bool acking_ = true;
  absl::Status refuse_;
  std::string cluster_ = "cafecafecafecafe";
  v1::Timing timing_;
  std::map<std::string, std::string> artifacts_;  // by the name that they are asked for
  std::vector<grpc::Status> artifact_troubles_;
  int artifact_calls_ = 0;

 private:
  void Write(const v1::Report* answers) {
    v1::SyncReply reply;
    *reply.mutable_identity() = MakeIdentity(cluster_, 1, "c");
    *reply.mutable_desired() = desired_;
    *reply.mutable_timing() = timing_;
    reply.set_node_id(5);
    if (answers != nullptr) {
      reply.set_answers_report(answers->report_number());
      reply.set_worker_send_ns(answers->worker_send_ns());
    }
    sync_->Write(reply);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  grpc::ServerReaderWriter<v1::SyncReply, v1::Report>* sync_ = nullptr;
  v1::Report report_;
  v1::DesiredState desired_;
  uint64_t version_ = 0;
  std::map<StreamKey, std::map<uint64_t, v1::Chunk>> chunks_;
};

class DaemonTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "rm_daemon_" + std::to_string(getpid());
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
    endpoint_ = {Endpoint::Kind::kUnix, root_ + "/s"};
    Listen();
    unsetenv("FAKE_RANK");
  }
  void TearDown() override {
    StopDaemon();
    listener_.reset();
    std::filesystem::remove_all(root_);
  }
  void Listen() {
    auto listener = Listener::Start({&fake_}, endpoint_, {});
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
  }
  void StartDaemon(std::optional<uint32_t> protocol = std::nullopt) {
    DaemonOptions options;
    options.node.set_name("n1");
    options.node.set_host_id("h1");
    options.node.set_boot_id("b1");
    for (uint32_t i = 0; i < 2; ++i) {
      options.node.add_devices()->set_index(i);
      options.node.mutable_devices(static_cast<int>(i))->set_kind(kind_);
    }
    options.session = {.incarnation = "b1/" + std::to_string(++incarnation_),
                       .boot_id = "b1",
                       .protocol = protocol};
    options.data_folder = root_ + "/data";
    auto daemon =
        Daemon::Create(std::move(options), *Dial(endpoint_, {}), RealProcesses(programs_, {}));
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    daemon_ = *std::move(daemon);
    thread_ = std::thread([this] { result_ = daemon_->Run(); });
  }
  void StopDaemon() {
    if (!daemon_) return;
    daemon_->Stop();
    if (thread_.joinable()) thread_.join();
    daemon_.reset();
  }

  static v1::DesiredState OneLease() {
    v1::DesiredState desired;
    v1::DesiredLease* lease = desired.add_leases();
    lease->set_lease_id(1);
    lease->set_generation(1);
    lease->set_world_size(2);
    lease->set_kind(v1::DEVICE_KIND_CPU);
    for (uint32_t i = 0; i < 2; ++i) {
      lease->add_ranks()->set_rank(i);
      lease->mutable_ranks(static_cast<int>(i))->set_device(i);
    }
    return desired;
  }
  static v1::DesiredState Going() {
    v1::DesiredState desired = OneLease();
    desired.mutable_leases(0)->set_go(true);
    return desired;
  }
  static v1::DesiredState Running(uint64_t run, v1::RunGoal goal) {
    v1::DesiredState desired = Going();
    desired.mutable_leases(0)->mutable_run()->set_run_id(run);
    desired.mutable_leases(0)->mutable_run()->set_attempt(1);
    desired.mutable_leases(0)->mutable_run()->set_goal(goal);
    return desired;
  }
  static v1::DesiredState RunningWith(uint64_t run, const std::string& sha256) {
    v1::DesiredState desired = Running(run, v1::RUN_GOAL_PREPARED);
    v1::RunSpec* spec = desired.mutable_leases(0)->mutable_run()->mutable_spec();
    spec->mutable_serve()->mutable_load()->mutable_trace()->set_sha256(sha256);
    return desired;
  }
  static auto BothIn(v1::RankPhase phase) {
    return [phase](const v1::Report& report) {
      if (report.leases_size() != 1 || report.leases(0).ranks_size() != 2) return false;
      return report.leases(0).ranks(0).phase() == phase &&
             report.leases(0).ranks(1).phase() == phase;
    };
  }
  static bool AllFree(const v1::Report& report) {
    if (report.leases_size() != 0 || report.devices_size() != 2) return false;
    return report.devices(0).lease_id() == 0 && report.devices(1).lease_id() == 0 &&
           report.devices(0).healthy() && report.devices(1).healthy();
  }
  void ToReady() {
    fake_.Want(OneLease());
    ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_CARDED)));
    fake_.Want(Going());
    ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_READY)));
  }
  static std::vector<int> Pids(const v1::Report& report) {
    std::vector<int> pids;
    for (const auto& rank : report.leases(0).ranks()) pids.push_back(rank.pid());
    return pids;
  }

  std::string root_;
  v1::DeviceKind kind_ = v1::DEVICE_KIND_CPU;  // of all devices
  RankPrograms programs_ = {.cpu = *ProgramFolder() + "/fake_rank", .gpu = ""};
  Endpoint endpoint_;
  FakeCoordinator fake_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Daemon> daemon_;
  std::thread thread_;
  absl::Status result_;
  int incarnation_ = 0;
};

bool Drained(const v1::Report& report) {
  if (report.streams_size() != 3) return false;  // two ranks and the node
  for (const auto& stream : report.streams()) {
    if (!stream.drained()) return false;
  }
  return true;
}

TEST_F(DaemonTest, FromStartToDrained) {
  StartDaemon();
  fake_.Want(OneLease());
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_CARDED)));
  ASSERT_TRUE(fake_.Wait([](const v1::Report& report) {
    return report.leases(0).ranks(1).card().shm_name() == "rank1" &&
           report.leases(0).ranks(1).card().rank() == 1 &&
           report.leases(0).ranks(0).card().host_id() == "h1" &&
           report.devices(1).lease_id() == 1 && report.reflects_version() == 1 &&
           report.node().environment().more().at("zstd") == ZstdVersion();
  }));
  fake_.Want(Going());
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_READY)));
  fake_.Want(Running(7, v1::RUN_GOAL_PREPARED));
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_PREPARED)));
  fake_.Want(Running(7, v1::RUN_GOAL_DONE));
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_DONE)));
  ASSERT_TRUE(fake_.Wait(Drained));
  for (uint32_t rank = 0; rank < 2; ++rank) {
    const auto chunks = fake_.Chunks({7, 1, v1::STREAM_KIND_RANK, rank});
    ASSERT_FALSE(chunks.empty());
    int requests = 0;
    for (const auto& entry : chunks) requests += UnpackChunk(entry.second)->requests_size();
    EXPECT_EQ(requests, 3);
    EXPECT_EQ(chunks.begin()->first, 1U);
    EXPECT_TRUE(chunks.rbegin()->second.header().last());
    EXPECT_EQ(chunks.rbegin()->second.header().cluster_id(), "cafecafecafecafe");
    EXPECT_EQ(chunks.rbegin()->second.header().node_id(), 5U);
  }
  const auto node = fake_.Chunks({7, 1, v1::STREAM_KIND_NODE, 0});
  ASSERT_FALSE(node.empty());
  EXPECT_GT(UnpackChunk(node.begin()->second)->columns_size(), 2);

  // The next run on the same processes, then the end of the lease.
  fake_.Want(Running(8, v1::RUN_GOAL_PREPARED));
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_PREPARED)));
  fake_.Want({});
  ASSERT_TRUE(fake_.Wait(AllFree));
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    int closed = 0;
    for (const auto& stream : report.streams()) {
      closed += stream.run_id() == 8 && stream.drained() ? 1 : 0;
    }
    return closed == 3;  // told by Reports even after the lease is gone
  }));
}

auto BothPrepared(uint64_t run, const std::string& note) {
  return [run, note](const v1::Report& report) {
    if (report.leases_size() != 1 || report.leases(0).ranks_size() != 2) return false;
    for (const auto& rank : report.leases(0).ranks()) {
      if (rank.phase() != v1::RANK_PHASE_PREPARED || rank.run_id() != run) return false;
      if (rank.note() != note) return false;
    }
    return true;
  };
}

TEST_F(DaemonTest, ARunsFileIsFetchedOnceAndGivenToEachRankBeforeTheRun) {
  std::string content((2 << 20) + 5, 'a');
  content[1'500'000] = 'b';
  const std::string sha256 = Sha256Hex(content);
  fake_.artifacts_[sha256] = content;
  StartDaemon();
  ToReady();
  fake_.Want(RunningWith(7, sha256));
  ASSERT_TRUE(fake_.Wait(BothPrepared(7, "file 1")));
  fake_.Want(RunningWith(8, sha256));  // they have it still
  ASSERT_TRUE(fake_.Wait(BothPrepared(8, "file 1")));
  const std::string other = Sha256Hex("other");
  fake_.Set([&](FakeCoordinator& fake) { fake.artifacts_[other] = "other"; });
  fake_.Want(RunningWith(9, other));
  ASSERT_TRUE(fake_.Wait(BothPrepared(9, "file 2")));
  fake_.Want(RunningWith(10, sha256));  // from the cache
  ASSERT_TRUE(fake_.Wait(BothPrepared(10, "file 3")));
  fake_.Set([](FakeCoordinator& fake) { EXPECT_EQ(fake.artifact_calls_, 2); });
  EXPECT_TRUE(std::filesystem::exists(root_ + "/data/artifacts/" + sha256));
}

TEST_F(DaemonTest, AFileIsAskedForAgainWhileTheCoordinatorIsAway) {
  const std::string content(3 << 20, 'a');
  const std::string sha256 = Sha256Hex(content);
  fake_.artifacts_[sha256] = content;
  const grpc::Status broken(grpc::StatusCode::UNAVAILABLE, "restarting");
  fake_.artifact_troubles_ = {broken, broken, {grpc::StatusCode::RESOURCE_EXHAUSTED, "busy"}};
  StartDaemon();
  ToReady();
  fake_.Want(RunningWith(7, sha256));
  ASSERT_TRUE(fake_.Wait(BothPrepared(7, "file 1")));
  fake_.Set([](FakeCoordinator& fake) { EXPECT_EQ(fake.artifact_calls_, 4); });
}

TEST_F(DaemonTest, AFileThatCannotBeHadFailsTheRunAndBlamesNobody) {
  fake_.artifacts_[Sha256Hex("right")] = "wrong";
  fake_.artifact_troubles_ = {{grpc::StatusCode::NOT_FOUND, "nobody uploaded it"}};
  StartDaemon();
  ToReady();
  const auto both_failed = [](uint64_t run, const std::string& words) {
    return [run, words](const v1::Report& report) {
      if (!BothIn(v1::RANK_PHASE_FAILED)(report)) return false;
      for (const auto& rank : report.leases(0).ranks()) {
        if (rank.run_id() != run || rank.failure().has_rank()) return false;
        if (rank.failure().kind() != v1::FAILURE_KIND_RANK_FAILED) return false;
        if (rank.failure().detail().find(words) == std::string::npos) return false;
      }
      return true;
    };
  };
  fake_.Want(RunningWith(7, Sha256Hex("missing")));
  ASSERT_TRUE(fake_.Wait(both_failed(7, "nobody uploaded it")));
  fake_.Want(RunningWith(8, Sha256Hex("right")));
  ASSERT_TRUE(fake_.Wait(both_failed(8, "the bytes have the sha256 " + Sha256Hex("wrong"))));
  EXPECT_TRUE(std::filesystem::is_empty(root_ + "/data/artifacts"));
  ASSERT_TRUE(fake_.Wait([](const v1::Report& report) {  // what it opened, it closed
    int drained = 0;
    for (const auto& stream : report.streams()) drained += stream.drained() ? 1 : 0;
    return drained == 6;
  }));
  fake_.Want(Running(9, v1::RUN_GOAL_PREPARED));  // the processes go on
  EXPECT_TRUE(fake_.Wait(BothPrepared(9, "")));
}

TEST_F(DaemonTest, ARankThatDiesIsReportedWithItsLastWords) {
  setenv("FAKE_RANK", "die-preparing", 1);
  StartDaemon();
  ToReady();
  fake_.Want(Running(7, v1::RUN_GOAL_PREPARED));
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_EXITED)));
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    const v1::Failure& failure = report.leases(0).ranks(1).failure();
    return failure.kind() == v1::FAILURE_KIND_RANK_DIED && failure.rank() == 1 &&
           failure.device() == 1 && failure.node() == "n1" &&
           failure.phase() == v1::RANK_PHASE_PREPARING &&
           failure.stderr_tail() == "out of ? luck\n" &&
           failure.detail().find("exit status 3") != std::string::npos &&
           report.devices(1).lease_id() == 0;  // reaped
  }));
  fake_.Want({});
  EXPECT_TRUE(fake_.Wait(AllFree));
}

TEST_F(DaemonTest, ARankThatFailsARunDoesTheNextOne) {
  setenv("FAKE_RANK", "fail-run", 1);
  StartDaemon();
  ToReady();
  fake_.Want(Running(7, v1::RUN_GOAL_PREPARED));
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_FAILED)));
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    const v1::Failure& failure = report.leases(0).ranks(1).failure();
    return failure.detail() == "told to fail" && failure.rank() == 1 && failure.device() == 1 &&
           failure.node() == "n1" && failure.phase() == v1::RANK_PHASE_PREPARING;
  }));
  fake_.Want(Running(8, v1::RUN_GOAL_DONE));
  EXPECT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_DONE)));
}

TEST_F(DaemonTest, ABystanderIsNotBlamedAndItsLastSamplesAreKept) {
  setenv("FAKE_RANK", "bystander", 1);
  StartDaemon();
  ToReady();
  fake_.Want(Running(7, v1::RUN_GOAL_PREPARED));
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_FAILED)));
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    const v1::Failure& failure = report.leases(0).ranks(1).failure();
    return failure.detail() == "told to fail" && !failure.has_rank() && !failure.has_device();
  }));
  fake_.Want({});
  ASSERT_TRUE(fake_.Wait(AllFree));
  ASSERT_TRUE(fake_.Wait(Drained));
  for (uint32_t rank = 0; rank < 2; ++rank) {
    int requests = 0;
    for (const auto& entry : fake_.Chunks({7, 1, v1::STREAM_KIND_RANK, rank})) {
      requests += UnpackChunk(entry.second)->requests_size();
    }
    EXPECT_EQ(requests, 3);
  }
}

TEST_F(DaemonTest, AKilledRanksSegmentIsRemoved) {
  setenv("FAKE_RANK", "leak-segment", 1);
  StartDaemon();
  fake_.Want(OneLease());
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_EXITED)));
  ASSERT_TRUE(fake_.Wait([](const v1::Report& report) {
    for (const v1::RankReport& rank : report.leases(0).ranks()) {
      if (!IsSegmentName(rank.card().shm_name())) return false;
      if (std::filesystem::exists("/dev/shm" + rank.card().shm_name())) return false;
    }
    return true;
  }));
}

TEST_F(DaemonTest, ARankOfAnotherBuildIsRefusedByName) {
  setenv("FAKE_RANK", "other-protocol", 1);
  StartDaemon();
  fake_.Want(OneLease());
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_EXITED)));
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    const v1::Failure& failure = report.leases(0).ranks(0).failure();
    return failure.kind() == v1::FAILURE_KIND_UNSUPPORTED &&
           failure.detail().find(kProtocolMismatch) != std::string::npos &&
           !report.leases(0).ranks(0).has_card();
  }));
}

TEST_F(DaemonTest, ADeafRankIsKilledAfterTheGrace) {
  setenv("FAKE_RANK", "deaf", 1);
  StartDaemon();
  ToReady();
  fake_.Want({});
  EXPECT_TRUE(fake_.Wait(AllFree));
}

TEST_F(DaemonTest, SilenceFencesAndTheReportSaysSo) {
  fake_.timing_.set_sync_interval_ns(20 * kMillisecond);
  fake_.timing_.set_fence_ns(300 * kMillisecond);
  StartDaemon();
  ToReady();
  std::vector<int> pids;
  fake_.Set([](FakeCoordinator& fake) { fake.answering_ = false; });
  ASSERT_TRUE(fake_.Wait([&](const v1::Report& report) {
    pids = Pids(report);
    return report.leases(0).ranks(0).phase() == v1::RANK_PHASE_EXITED &&
           report.leases(0).ranks(0).failure().kind() == v1::FAILURE_KIND_FENCED;
  }));
  for (int pid : pids) EXPECT_FALSE(ProcessStart(MachineFiles(), pid));
  // Back again: the same lease is not started a second time, a new one is.
  fake_.Set([](FakeCoordinator& fake) {
    fake.answering_ = true;
    fake.timing_.set_fence_ns(30 * kSecond);
  });
  v1::DesiredState next = OneLease();
  next.mutable_leases(0)->set_lease_id(2);
  fake_.Want(next);
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    return report.leases_size() == 1 && report.leases(0).lease_id() == 2 &&
           report.leases(0).ranks_size() == 2 &&
           report.leases(0).ranks(0).phase() == v1::RANK_PHASE_CARDED;
  }));
}

TEST_F(DaemonTest, UnackedChunksSurviveTheWorkersRestart) {
  fake_.acking_ = false;
  StartDaemon();
  ToReady();
  fake_.Want(Running(7, v1::RUN_GOAL_DONE));
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_DONE)));
  std::vector<int> pids;
  ASSERT_TRUE(fake_.Wait([&](const v1::Report& report) {
    pids = Pids(report);
    return true;
  }));
  StopDaemon();
  for (int pid : pids) EXPECT_FALSE(ProcessStart(MachineFiles(), pid));
  fake_.Set([](FakeCoordinator& fake) { fake.acking_ = true; });
  fake_.Want({});
  StartDaemon();
  ASSERT_TRUE(fake_.Wait([](const v1::Report& report) {
    return report.identity().incarnation() == "b1/2" && AllFree(report);
  }));
  EXPECT_TRUE(fake_.Wait(
      [&](const v1::Report&) { return std::filesystem::is_empty(root_ + "/data/spool"); }));
  EXPECT_TRUE(fake_.Chunks({7, 1, v1::STREAM_KIND_RANK, 1}).rbegin()->second.header().last());
}

TEST_F(DaemonTest, ACoordinatorsRestartKillsNoRun) {
  StartDaemon();
  ToReady();
  std::vector<int> before, after;
  ASSERT_TRUE(fake_.Wait([&](const v1::Report& report) {
    before = Pids(report);
    return true;
  }));
  listener_.reset();
  Listen();
  fake_.Want(Running(7, v1::RUN_GOAL_DONE));
  ASSERT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_DONE)));
  ASSERT_TRUE(fake_.Wait([&](const v1::Report& report) {
    after = Pids(report);
    return Drained(report);
  }));
  EXPECT_EQ(before, after);
}

TEST_F(DaemonTest, AnotherClusterIsAdoptedOnlyWithoutRanks) {
  StartDaemon();
  ToReady();
  fake_.Set([](FakeCoordinator& fake) { fake.cluster_ = "beefbeefbeefbeef"; });
  fake_.Want({});  // of the foreign cluster: it must not stop anything
  ASSERT_TRUE(fake_.Wait([](const v1::Report& report) {
    return report.report_number() == 1 && report.identity().cluster_id() == "cafecafecafecafe" &&
           BothIn(v1::RANK_PHASE_READY)(report);
  }));
  fake_.Set([](FakeCoordinator& fake) { fake.cluster_ = "cafecafecafecafe"; });
  fake_.Want({});
  ASSERT_TRUE(fake_.Wait(AllFree));
  fake_.Set([](FakeCoordinator& fake) { fake.cluster_ = "beefbeefbeefbeef"; });
  fake_.Want({});
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    return report.identity().cluster_id() == "beefbeefbeefbeef";
  }));
}

TEST_F(DaemonTest, NoCommonProtocolEndsTheDaemon) {
  fake_.refuse_ = CheckProtocol([] {
    v1::Identity identity;
    identity.set_protocol_min(99);
    identity.set_protocol_max(99);
    return identity;
  }());
  StartDaemon(99);
  thread_.join();
  EXPECT_EQ(result_.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(result_.message()), HasSubstr(std::string(kProtocolMismatch)));
}

TEST_F(DaemonTest, AGpuGetsTheProgramForGpus) {
  kind_ = v1::DEVICE_KIND_GPU;
  programs_ = {.cpu = root_ + "/no-rank", .gpu = *ProgramFolder() + "/fake_rank"};
  StartDaemon();
  v1::DesiredState desired = OneLease();
  desired.mutable_leases(0)->set_kind(v1::DEVICE_KIND_GPU);
  fake_.Want(desired);
  EXPECT_TRUE(fake_.Wait(BothIn(v1::RANK_PHASE_CARDED)));
}

TEST_F(DaemonTest, AnAbsentProgramForGpusIsUnsupportedAndSaysTheRemedy) {
  kind_ = v1::DEVICE_KIND_GPU;
  programs_.gpu = root_ + "/rackmark-rank-cuda";
  StartDaemon();
  v1::DesiredState desired = OneLease();
  desired.mutable_leases(0)->set_kind(v1::DEVICE_KIND_GPU);
  fake_.Want(desired);
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    if (!BothIn(v1::RANK_PHASE_EXITED)(report)) return false;
    const v1::Failure& failure = report.leases(0).ranks(0).failure();
    return failure.kind() == v1::FAILURE_KIND_UNSUPPORTED &&
           failure.detail().find("rackmark-rank-cuda") != std::string::npos &&
           failure.detail().find("CUDA toolkit") != std::string::npos;
  }));
}

TEST_F(DaemonTest, AnAbsentDeviceIsUnsupported) {
  StartDaemon();
  v1::DesiredState desired = OneLease();
  desired.mutable_leases(0)->set_kind(v1::DEVICE_KIND_GPU);
  fake_.Want(desired);
  EXPECT_TRUE(fake_.Wait([](const v1::Report& report) {
    return BothIn(v1::RANK_PHASE_EXITED)(report) &&
           report.leases(0).ranks(0).failure().kind() == v1::FAILURE_KIND_UNSUPPORTED;
  }));
}

}  // namespace
}  // namespace rackmark

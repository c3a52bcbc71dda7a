// The whole daemon with real processes (fake_rank) against a fake coordinator on a unix socket, for
// the tests of this folder. One thread drives it; the fake answers on gRPC's.
#pragma once

#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/program.h"
#include "gtest/gtest.h"
#include "rackmark/v1/worker_api.grpc.pb.h"
#include "rpc/channel.h"
#include "rpc/identity.h"
#include "rpc/listener.h"
#include "rpc/not_leader.h"
#include "rpc/status_bridge.h"
#include "worker/daemon/daemon.h"
#include "worker/daemon/stream_key.h"

namespace rackmark {

// Answers Reports and acks chunks as told, and remembers what it heard.
class FakeCoordinator : public v1::WorkerService::Service {
 public:
  grpc::Status Sync(grpc::ServerContext*,
                    grpc::ServerReaderWriter<v1::SyncReply, v1::Report>* stream) override {
    v1::Report report;
    while (stream->Read(&report)) {
      std::lock_guard lock(mutex_);
      if (!refuse_.ok()) return ToGrpc(refuse_);
      if (stand_by_for_) {
        ++refused_;
        return NotLeaderStatus(*stand_by_for_);
      }
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
      if (stand_by_for_) return NotLeaderStatus(*stand_by_for_);
      v1::SampleAck ack;
      *ack.mutable_identity() = MakeIdentity(cluster_, epoch_, "c");
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
  // The Report at hand or a later one that satisfies `predicate`.
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
  std::optional<std::string> stand_by_for_;  // whom it names
  int refused_ = 0;                          // Syncs, because it stands by
  uint64_t epoch_ = 1;
  std::string cluster_ = "cafecafecafecafe";
  v1::Timing timing_;
  std::map<std::string, std::string> artifacts_;  // by the name that they are asked for
  std::vector<grpc::Status> artifact_troubles_;
  int artifact_calls_ = 0;

 private:
  void Write(const v1::Report* answers) {
    v1::SyncReply reply;
    *reply.mutable_identity() = MakeIdentity(cluster_, epoch_, "c");
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
    endpoints_ = {endpoint_};
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
    auto daemon = Daemon::Create(std::move(options), *Coordinators::Create(endpoints_, {}),
                                 RealProcesses(programs_, {}));
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
  std::vector<Endpoint> endpoints_;  // that the daemon is given
  FakeCoordinator fake_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<Daemon> daemon_;
  std::thread thread_;
  absl::Status result_;
  int incarnation_ = 0;
};

}  // namespace rackmark

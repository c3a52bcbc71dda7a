// Whoever asks a standby hears who leads, if he may call at all.
#include "coordinator/serve/standby.h"

#include <sys/stat.h>

#include <fstream>
#include <string>

#include "common/test_folder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rackmark/v1/client_api.grpc.pb.h"
#include "rackmark/v1/worker_api.grpc.pb.h"
#include "rpc/channel.h"
#include "rpc/not_leader.h"
#include "rpc/status_bridge.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

class StandbyTest : public testing::Test {
 protected:
  void Start(const Endpoint& endpoint, const Security& security) {
    auto standby = Standby::Start(endpoint, security, *PeerPolicy::Create(security));
    ASSERT_TRUE(standby.ok()) << standby.status();
    standby_ = *std::move(standby);
  }
  std::shared_ptr<grpc::Channel> Channel(const Security& security) {
    return *Dial(*ParseEndpoint(standby_->address()), security);
  }
  absl::Status Ask(const Security& security = {}) {
    v1::ClientService::Stub stub(Channel(security));
    grpc::ClientContext context;
    v1::ListJobsReply reply;
    return FromGrpc(stub.ListJobs(&context, {}, &reply));
  }
  std::string Secret(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    std::ofstream(path) << text;
    chmod(path.c_str(), 0600);
    return path;
  }

  const std::string folder_ = TestFolders::New("rm_standby");
  const Endpoint socket_ = {Endpoint::Kind::kUnix, folder_ + "/s"};
  std::unique_ptr<Standby> standby_;
};

TEST_F(StandbyTest, EveryCallHearsWhoLeadsNow) {
  Start(socket_, {});
  EXPECT_EQ(NotLeaderOf(Ask())->address(), "");
  standby_->Follow("h:7");
  EXPECT_EQ(NotLeaderOf(Ask())->address(), "h:7");
  standby_->Follow("h:8");
  v1::WorkerService::Stub worker(Channel({}));
  grpc::ClientContext sync;
  const auto stream = worker.Sync(&sync);
  stream->Write(v1::Report());
  v1::SyncReply reply;
  EXPECT_FALSE(stream->Read(&reply));
  EXPECT_EQ(NotLeaderOf(FromGrpc(stream->Finish()))->address(), "h:8");
  grpc::ClientContext upload;
  v1::PutArtifactReply put;
  v1::ClientService::Stub client(Channel({}));
  const auto writer = client.PutArtifact(&upload, &put);
  v1::PutArtifactRequest piece;
  piece.set_piece(std::string(1 << 20, 'x'));
  while (writer->Write(piece)) {  // until it is refused
  }
  EXPECT_EQ(NotLeaderOf(FromGrpc(writer->Finish()))->address(), "h:8");
}

TEST_F(StandbyTest, WhoMayNotCallHearsNothing) {
  Security security;
  security.token_file = Secret("tokens", "viewer v-1 aaaaaaaaaaaaaaaaaaaa\n");
  Start({Endpoint::Kind::kTcp, "127.0.0.1:0"}, security);
  standby_->Follow("h:7");
  Security stranger;
  stranger.token_file = Secret("stranger", "bbbbbbbbbbbbbbbbbbbb\n");
  const absl::Status refused = Ask(stranger);
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_FALSE(NotLeaderOf(refused).has_value());
  Security viewer;
  viewer.token_file = Secret("viewer", "aaaaaaaaaaaaaaaaaaaa\n");
  EXPECT_EQ(NotLeaderOf(Ask(viewer))->address(), "h:7");
}

TEST_F(StandbyTest, ItsAddressIsFreeForTheLeaderWhenItIsGone) {
  for (const bool tcp : {false, true}) {
    Security security;
    if (tcp) security.token_file = Secret("tokens", "viewer v-1 aaaaaaaaaaaaaaaaaaaa\n");
    Start(tcp ? Endpoint{Endpoint::Kind::kTcp, "127.0.0.1:0"} : socket_, security);
    const Endpoint where = *ParseEndpoint(standby_->address());
    const auto busy = Standby::Start(where, security, *PeerPolicy::Create(security));
    EXPECT_EQ(busy.status().code(), absl::StatusCode::kAlreadyExists) << busy.status();
    EXPECT_TRUE(NotLeaderOf(Ask(security)).has_value());  // a connection is there
    standby_.reset();
    Start(where, security);
  }
}

}  // namespace
}  // namespace rackmark

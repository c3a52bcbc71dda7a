// Against a coordinator that is only a service with known answers.
#include "cli/coordinator_client.h"

#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rpc/identity.h"
#include "rpc/listener.h"
#include "rpc/not_leader.h"

namespace rackmark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Has five nodes and tells two at a time; its jobs are more than a message holds.
class Pages : public v1::ClientService::CallbackService {
 public:
  grpc::ServerUnaryReactor* ListNodes(grpc::CallbackServerContext* context,
                                      const v1::ListNodesRequest* request,
                                      v1::ListNodesReply* reply) override {
    *reply->mutable_identity() = MakeIdentity("c1", 1, "c");
    uint64_t id = request->after_node_id() + 1;
    for (; id <= 5 && reply->nodes_size() < 2; ++id) reply->add_nodes()->set_node_id(id);
    reply->set_left_out(static_cast<uint32_t>(6 - id));
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsReply* reply) override {
    EXPECT_EQ(request->limit(), 7U);
    *reply->mutable_identity() = MakeIdentity("c1", 1, "c");
    reply->add_jobs()->set_name(std::string(5 << 20, 'x'));
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

class CoordinatorClientTest : public testing::Test {
 protected:
  CoordinatorClientTest() {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    listener_ = *Listener::Start({&service_}, {Endpoint::Kind::kUnix, folder_ + "/c.sock"}, {});
    client_ = std::make_unique<CoordinatorClient>(
        *Coordinators::Create(*ParseEndpoints(listener_->address()), {}), "boot/1",
        [](Nanos) { return true; });
  }
  ~CoordinatorClientTest() override { listener_->Shutdown(0); }

  std::string folder_ = testing::TempDir() + "/client-XXXXXX";
  Pages service_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<CoordinatorClient> client_;
};

TEST_F(CoordinatorClientTest, AsksForNodesUntilItHasAll) {
  const auto nodes = client_->ListNodes(20 * kSecond);
  ASSERT_TRUE(nodes.ok()) << nodes.status();
  std::vector<uint64_t> ids;
  for (const v1::NodeStatus& node : nodes->nodes()) ids.push_back(node.node_id());
  EXPECT_THAT(ids, ElementsAre(1, 2, 3, 4, 5));
  EXPECT_EQ(nodes->left_out(), 0U);
}

TEST_F(CoordinatorClientTest, AnAnswerThatIsTooLargeIsNoMissingCoordinator) {
  const auto jobs = client_->ListJobs(7, 20 * kSecond);
  EXPECT_EQ(jobs.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(jobs.status().message()),
              HasSubstr("does not fit into one message of 4 MiB; ask for less"));
}

// Answers every call "not the leader".
class StandsBy : public grpc::CallbackGenericService {
 public:
  explicit StandsBy(std::string leader) : leader_(std::move(leader)) {}
  std::atomic<int> asked = 0;

 private:
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    class Refusal : public grpc::ServerGenericBidiReactor {
     public:
      explicit Refusal(const std::string& leader) { Finish(NotLeaderStatus(leader)); }
      void OnDone() override { delete this; }
    };
    ++asked;
    return new Refusal(leader_);
  }
  const std::string leader_;
};

class SeveralCoordinators : public CoordinatorClientTest {
 protected:
  std::unique_ptr<Listener> StandBy(StandsBy& standby, const std::string& name) {
    Listener::Extras extras;
    extras.others = &standby;
    return *Listener::Start({}, {Endpoint::Kind::kUnix, folder_ + "/" + name}, {}, extras);
  }
  std::unique_ptr<CoordinatorClient> ClientOf(const std::string& addresses) {
    return std::make_unique<CoordinatorClient>(
        *Coordinators::Create(*ParseEndpoints(addresses), {}), "boot/1",
        [this](Nanos wait) { return pauses_.push_back(wait), true; });
  }
  std::vector<Nanos> pauses_;
};

TEST_F(SeveralCoordinators, TheOneThatLeadsIsFoundWithoutWaitingAndKept) {
  StandsBy standby(listener_->address());
  const auto listener = StandBy(standby, "s");
  // Nobody listens at the first; the second knows who leads, so that the third need not be asked.
  const std::string nobody = "unix:" + folder_ + "/nobody";
  const auto client = ClientOf(
      absl::StrCat(nobody, ",", listener->address(), ",", nobody, "2,", listener_->address()));
  for (int i = 0; i < 2; ++i) {
    const auto nodes = client->ListNodes(20 * kSecond);
    ASSERT_TRUE(nodes.ok()) << nodes.status();
    EXPECT_EQ(nodes->nodes_size(), 5);
  }
  EXPECT_EQ(standby.asked, 1);
  for (const Nanos pause : pauses_) EXPECT_EQ(pause, 0);
  EXPECT_EQ(client->coordinators().Ask().address, listener_->address());
}

TEST_F(SeveralCoordinators, ACallWithoutPatienceLeavesTheNextOneToAnother) {
  StandsBy standby("");
  const auto listener = StandBy(standby, "s");
  const auto client = ClientOf(absl::StrCat(listener->address(), ",", listener_->address()));
  EXPECT_TRUE(IsConnectionLoss(client->ListNodes(0).status()));
  EXPECT_EQ(client->coordinators().Ask().address, listener_->address());
  EXPECT_TRUE(client->ListNodes(0).ok());
  EXPECT_EQ(standby.asked, 1);
}

TEST_F(SeveralCoordinators, AStandbyThatIsNamedAloneSaysWhomToName) {
  StandsBy standby("h:1");
  const auto listener = StandBy(standby, "s");
  const auto alone = ClientOf(listener->address())->ListNodes(20 * kSecond);
  EXPECT_TRUE(absl::IsUnavailable(alone.status()));
  EXPECT_THAT(std::string(alone.status().message()), HasSubstr("the one that leads is h:1"));
  EXPECT_EQ(standby.asked, 1);
}

TEST_F(SeveralCoordinators, WithoutALeaderTheRoundsHavePausesAndAnEnd) {
  StandsBy one(""), two("");
  const auto a = StandBy(one, "a"), b = StandBy(two, "b");
  const auto nobody =
      ClientOf(absl::StrCat(a->address(), ",", b->address()))->ListNodes(200 * kMillisecond);
  EXPECT_TRUE(absl::IsUnavailable(nobody.status()));
  EXPECT_THAT(std::string(nobody.status().message()), HasSubstr("none of them leads"));
  EXPECT_GE(one.asked, 1);
  EXPECT_GE(two.asked, 1);
  EXPECT_TRUE(std::any_of(pauses_.begin(), pauses_.end(), [](Nanos p) { return p > 0; }));
}

}  // namespace
}  // namespace rackmark

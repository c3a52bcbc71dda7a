// Against a coordinator that is only a service with known answers.
#include "cli/coordinator_client.h"

#include <stdlib.h>

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rpc/channel.h"
#include "rpc/identity.h"
#include "rpc/listener.h"

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
                                     const v1::ListJobsRequest*,
                                     v1::ListJobsReply* reply) override {
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
    client_ = std::make_unique<CoordinatorClient>(*Dial(*ParseEndpoint(listener_->address()), {}),
                                                  "boot/1", [](Nanos) { return true; });
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
  const auto jobs = client_->ListJobs(20 * kSecond);
  EXPECT_EQ(jobs.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(jobs.status().message()),
              HasSubstr("does not fit into one message of 4 MiB; ask for less"));
}

}  // namespace
}  // namespace rackmark

// Over real unix sockets and loopback: who gets in, as whom, and what is refused with which words.
#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rackmark/v1/client_api.grpc.pb.h"
#include "rpc/channel.h"
#include "rpc/endpoint.h"
#include "rpc/identity.h"
#include "rpc/listener.h"
#include "rpc/peer.h"
#include "rpc/status_bridge.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

class WhoAmI : public v1::ClientService::CallbackService {
 public:
  explicit WhoAmI(std::shared_ptr<const PeerPolicy> policy) : policy_(std::move(policy)) {}
  grpc::ServerUnaryReactor* GetVersion(grpc::CallbackServerContext* context,
                                       const v1::GetVersionRequest*,
                                       v1::GetVersionReply* reply) override {
    auto* reactor = context->DefaultReactor();
    const auto principal = policy_->Identify(*context);
    if (principal.ok()) {
      reply->set_version(principal->how() + " " + v1::Role_Name(principal->role()));
    }
    reactor->Finish(ToGrpc(principal.status()));
    return reactor;
  }

 private:
  std::shared_ptr<const PeerPolicy> policy_;
};

absl::StatusOr<std::string> Ask(const std::string& address, const Security& security) {
  ASSIGN_OR_RETURN(const Endpoint endpoint, ParseEndpoint(address));
  ASSIGN_OR_RETURN(auto channel, Dial(endpoint, security));
  auto stub = v1::ClientService::NewStub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  v1::GetVersionReply reply;
  RETURN_IF_ERROR(FromGrpc(stub->GetVersion(&context, {}, &reply)));
  return reply.version();
}

std::string SocketPath(const char* name) { return testing::TempDir() + name; }

TEST(Rpc, UnixSocketIsPrivateAndItsPeerIsAdmin) {
  WhoAmI service(*PeerPolicy::Create({}));
  const std::string path = SocketPath("rm_rpc_a.sock");
  auto listener = Listener::Start({&service}, {Endpoint::Kind::kUnix, path}, {});
  ASSERT_TRUE(listener.ok()) << listener.status();
  struct stat info {};
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  const auto answer = Ask((*listener)->address(), {});
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(*answer, "unix-peercred ROLE_ADMIN");

  const auto second = Listener::Start({&service}, {Endpoint::Kind::kUnix, path}, {});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("in use"));
}

TEST(Rpc, StaleSocketFileIsReplacedAndForeignFileIsNot) {
  WhoAmI service(*PeerPolicy::Create({}));
  const std::string path = SocketPath("rm_rpc_b.sock");
  std::ofstream(path) << "precious";
  EXPECT_FALSE(Listener::Start({&service}, {Endpoint::Kind::kUnix, path}, {}).ok());
  std::string kept;
  std::ifstream(path) >> kept;
  EXPECT_EQ(kept, "precious");
  ASSERT_EQ(remove(path.c_str()), 0);
}

TEST(Rpc, LoopbackNeedsTokensAndOtherAddressesTls) {
  WhoAmI service(*PeerPolicy::Create({}));
  const auto open = Listener::Start({&service}, *ParseEndpoint("127.0.0.1:0"), {});
  EXPECT_EQ(open.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(open.status().message()), HasSubstr("--token-file"));
  Security tokens;
  tokens.token_file = "anything";
  const auto wide = Listener::Start({&service}, *ParseEndpoint("0.0.0.0:0"), tokens);
  EXPECT_EQ(wide.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(wide.status().message()), HasSubstr("--tls-cert"));
}

TEST(Rpc, TokensGiveTheirRoleAndWrongOnesNone) {
  const std::string path = SocketPath("rm_tokens");
  std::ofstream(path) << "viewer ann 0123456789abcdef\n";
  chmod(path.c_str(), 0644);
  Security security;
  security.token_file = path;
  EXPECT_EQ(PeerPolicy::Create(security).status().code(), absl::StatusCode::kPermissionDenied);
  chmod(path.c_str(), 0600);
  WhoAmI service(*PeerPolicy::Create(security));
  auto listener = Listener::Start({&service}, *ParseEndpoint("127.0.0.1:0"), security);
  ASSERT_TRUE(listener.ok()) << listener.status();
  EXPECT_EQ(*Ask((*listener)->address(), security), "token ROLE_VIEWER");

  EXPECT_EQ(Ask((*listener)->address(), {}).status().code(), absl::StatusCode::kUnauthenticated);
  Security wrong;
  wrong.token_file = SocketPath("rm_wrong_token");
  std::ofstream(wrong.token_file) << "fedcba9876543210\n";
  chmod(wrong.token_file.c_str(), 0600);
  EXPECT_EQ(Ask((*listener)->address(), wrong).status().code(), absl::StatusCode::kUnauthenticated);
}

TEST(Rpc, ATokensNameIsUtf8) {
  Security security;
  security.token_file = SocketPath("rm_name_tokens");
  std::ofstream(security.token_file) << "viewer ann 0123456789abcdef\n"
                                     << "operator J\xfcrgen 0123456789abcdef\n";
  chmod(security.token_file.c_str(), 0600);
  const auto refused = PeerPolicy::Create(security).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("rm_name_tokens:2: the name is not UTF-8"));
}

TEST(Identity, ProtocolRangesMustOverlap) {
  v1::Identity theirs = MakeIdentity("c", 1, "i");
  EXPECT_TRUE(CheckProtocol(theirs).ok());
  theirs.set_protocol_min(9);
  theirs.set_protocol_max(11);
  EXPECT_THAT(std::string(CheckProtocol(theirs).message()), HasSubstr("9 to 11"));
  EXPECT_FALSE(CheckProtocol(v1::Identity()).ok());
}

TEST(Identity, ForeignClusterIsRefusedAndNoClusterIsNot) {
  EXPECT_TRUE(CheckCluster(MakeIdentity("", 0, "i"), "abc").ok());
  EXPECT_TRUE(CheckCluster(MakeIdentity("abc", 0, "i"), "abc").ok());
  EXPECT_FALSE(CheckCluster(MakeIdentity("abd", 0, "i"), "abc").ok());
}

TEST(EndpointTest, RefusesWhatNobodyCanDial) {
  EXPECT_FALSE(ParseEndpoint("").ok());
  EXPECT_FALSE(ParseEndpoint("unix:").ok());
  EXPECT_FALSE(ParseEndpoint("host").ok());
  EXPECT_FALSE(ParseEndpoint("host:99999").ok());
  EXPECT_FALSE(ParseEndpoint("unix:/" + std::string(120, 'x')).ok());
  EXPECT_TRUE(ParseEndpoint("[::1]:50")->IsLocal());
  EXPECT_TRUE(ParseEndpoint("127.0.0.1:50")->IsLocal());
  EXPECT_TRUE(ParseEndpoint("127.9.8.7:50")->IsLocal());
  EXPECT_TRUE(ParseEndpoint("localhost:50")->IsLocal());
  EXPECT_FALSE(ParseEndpoint("127.example.com:50")->IsLocal());
  EXPECT_FALSE(ParseEndpoint("127.0.0.1.example.com:50")->IsLocal());
  EXPECT_FALSE(ParseEndpoint("127.:50")->IsLocal());
  EXPECT_FALSE(ParseEndpoint("0.0.0.0:50")->IsLocal());
  EXPECT_FALSE(ParseEndpoint("10.0.0.1:50")->IsLocal());
  EXPECT_TRUE(ParseEndpoint("unix:/run/x")->IsLocal());
}

}  // namespace
}  // namespace rackmark

// Which of several coordinators is asked, and what a standby's refusal says on its way.
#include "rpc/coordinators.h"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <vector>

#include "common/test_folder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rackmark/v1/client_api.grpc.pb.h"
#include "rpc/listener.h"
#include "rpc/not_leader.h"
#include "rpc/status_bridge.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<Coordinators> Of(const std::string& text, const Security& security = {}) {
  auto endpoints = ParseEndpoints(text);
  EXPECT_TRUE(endpoints.ok()) << endpoints.status();
  return *Coordinators::Create(*std::move(endpoints), security);
}

Security WithToken() {
  Security security;
  security.token_file = TestFolders::New("rm_token") + "/token";
  std::ofstream(security.token_file) << "0123456789abcdef\n";
  std::filesystem::permissions(security.token_file, std::filesystem::perms::owner_read);
  return security;
}

absl::Status Refusal(const std::string& leader) { return FromGrpc(NotLeaderStatus(leader)); }

// What MoveOn said, and who is asked then.
std::string Next(Coordinators& all, const absl::Status& why) {
  const bool at_once = all.MoveOn(all.Ask(), why);
  return absl::StrCat(all.Ask().address, at_once ? "" : " later");
}

TEST(NotLeader, TravelsInTheDetailsAndNothingElseIsTakenForIt) {
  EXPECT_EQ(NotLeaderOf(Refusal("h:1"))->address(), "h:1");
  EXPECT_EQ(NotLeaderOf(Refusal(""))->address(), "");
  EXPECT_EQ(std::string(Refusal("h:1").message()), "not the leader, ask h:1");
  EXPECT_EQ(Refusal("").code(), absl::StatusCode::kFailedPrecondition);
  const grpc::StatusCode code = grpc::StatusCode::FAILED_PRECONDITION;
  for (const grpc::Status& other :
       {grpc::Status(code, "not the leader, ask h:1"), grpc::Status(code, "x", "no details"),
        grpc::Status(code, "x",
                     "\x0a\x03"
                     "abc"),
        grpc::Status::OK}) {
    EXPECT_FALSE(NotLeaderOf(FromGrpc(other)).has_value()) << other.error_message();
  }
}

TEST(ParseEndpoints, TakesSeveralAndRefusesWhatCannotBeMeant) {
  const auto two = ParseEndpoints("unix:/a,[::1]:7");
  ASSERT_TRUE(two.ok()) << two.status();
  ASSERT_EQ(two->size(), 2U);
  EXPECT_EQ((*two)[0].ToString(), "unix:/a");
  EXPECT_EQ((*two)[1].ToString(), "[::1]:7");
  for (const char* bad : {"", "h:1,", ",h:1", "h:1,,h:2", "h:1, h:2 ,x"}) {
    EXPECT_FALSE(ParseEndpoints(bad).ok()) << bad;
  }
  EXPECT_THAT(std::string(ParseEndpoints("h:1,h:2,h:1").status().message()),
              HasSubstr("h:1 is named twice"));
  std::string many = "h:1";
  for (int i = 2; i <= 17; ++i) absl::StrAppend(&many, ",h:", i);
  EXPECT_THAT(std::string(ParseEndpoints(many).status().message()), HasSubstr("at most 16"));
}

TEST(Coordinators, ATokenDoesNotTravelInClearText) {
  Security security = WithToken();
  const auto create = [&security](const std::string& text) {
    return Coordinators::Create(*ParseEndpoints(text), security).status();
  };
  for (const char* local : {"unix:/a", "127.0.0.1:7", "localhost:7,[::1]:7"}) {
    EXPECT_TRUE(create(local).ok()) << create(local);
  }
  for (const char* remote : {"10.0.0.1:7", "127.0.0.1:7,h:1", "h:1,unix:/a"}) {
    EXPECT_TRUE(absl::IsPermissionDenied(create(remote))) << remote << ": " << create(remote);
  }
  EXPECT_THAT(std::string(create("unix:/a,h:1").message()), HasSubstr("h:1, which is not on"));
  // With TLS it is encrypted: all that is wrong here is that there are no such files.
  security.tls = TlsFiles{"/nowhere/a", "/nowhere/b", "/nowhere/c"};
  EXPECT_TRUE(absl::IsNotFound(create("h:1"))) << create("h:1");
  // Without a token there is nothing to hide.
  EXPECT_TRUE(Coordinators::Create(*ParseEndpoints("h:1"), {}).ok());
}

TEST(Coordinators, AreAskedInOrderRoundAndRoundWithAPauseOnceARound) {
  const auto all = Of("h:1,h:2,h:3");
  const absl::Status gone = absl::UnavailableError("gone");
  EXPECT_EQ(all->Ask().address, "h:1");
  EXPECT_EQ(Next(*all, gone), "h:2");
  EXPECT_EQ(Next(*all, gone), "h:3");
  EXPECT_EQ(Next(*all, gone), "h:1 later");
  EXPECT_EQ(Next(*all, gone), "h:2");
  all->Answered(all->Ask());
  EXPECT_EQ(Next(*all, gone), "h:3");
  EXPECT_EQ(Next(*all, gone), "h:1");
}

TEST(Coordinators, AHintGoesFirstIfItNamesOneOfOurs) {
  const auto all = Of("h:1,h:2,h:3");
  EXPECT_EQ(Next(*all, Refusal("h:3")), "h:3");
  EXPECT_EQ(Next(*all, Refusal("evil:1")), "h:1");
  EXPECT_EQ(Next(*all, Refusal("h:1")), "h:2 later");  // itself: it cannot know
  EXPECT_EQ(Next(*all, Refusal("")), "h:3");
}

TEST(Coordinators, ManyCallersMoveOnOnceAndOneAloneStays) {
  const auto all = Of("h:1,h:2");
  const Coordinators::Way way = all->Ask();
  const absl::Status gone = absl::UnavailableError("gone");
  EXPECT_TRUE(all->MoveOn(way, gone));
  EXPECT_TRUE(all->MoveOn(way, gone));  // late: about the one before
  EXPECT_EQ(all->Ask().address, "h:2");
  EXPECT_NE(all->Ask().channel, way.channel);
  all->Answered(way);  // as late
  EXPECT_EQ(Next(*all, gone), "h:1 later");

  const auto alone = Of("h:1");
  const Coordinators::Way only = alone->Ask();
  EXPECT_FALSE(alone->several());
  EXPECT_FALSE(alone->MoveOn(only, Refusal("h:2")));
  EXPECT_EQ(alone->Ask().address, "h:1");
  EXPECT_EQ(alone->Ask().channel, only.channel);
}

class Version : public v1::ClientService::CallbackService {
 public:
  grpc::ServerUnaryReactor* GetVersion(grpc::CallbackServerContext* context,
                                       const v1::GetVersionRequest*,
                                       v1::GetVersionReply*) override {
    {
      std::lock_guard lock(mutex_);
      peers_.push_back(context->peer());
    }
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ServerWriteReactor<v1::WatchJobReply>* WatchJob(grpc::CallbackServerContext*,
                                                        const v1::WatchJobRequest*) override {
    class Two : public grpc::ServerWriteReactor<v1::WatchJobReply> {
     public:
      Two() { StartWrite(&reply_); }
      void OnWriteDone(bool ok) override {
        if (ok && ++written_ < 2) return StartWrite(&reply_);
        Finish(grpc::Status::OK);
      }
      void OnDone() override { delete this; }

     private:
      v1::WatchJobReply reply_;
      int written_ = 0;
    };
    return new Two;
  }
  std::vector<std::string> peers() {
    std::lock_guard lock(mutex_);
    return peers_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> peers_;  // of each GetVersion; guarded by mutex_
};

TEST(Coordinators, SamplesHaveAConnectionOfTheirOwn) {
  Version service;
  const Security security = WithToken();  // a port of this machine is open to all its users
  auto listener = *Listener::Start({&service}, {Endpoint::Kind::kTcp, "127.0.0.1:0"}, security);
  const Coordinators::Way way = Of(listener->address(), security)->Ask();
  for (const auto& channel : {way.channel, way.channel, way.bulk}) {
    grpc::ClientContext context;
    v1::GetVersionReply version;
    ASSERT_TRUE(v1::ClientService::NewStub(channel)->GetVersion(&context, {}, &version).ok());
  }
  const std::vector<std::string> peers = service.peers();
  ASSERT_EQ(peers.size(), 3U);
  EXPECT_EQ(peers[0], peers[1]);
  EXPECT_NE(peers[0], peers[2]);
}

TEST(Listener, AsksBeforeEachMessageAndEachStatus) {
  Version service;
  std::atomic<int> asked = 0;
  Listener::Extras extras;
  extras.before_answer = [&] { ++asked; };
  const Endpoint endpoint = {Endpoint::Kind::kUnix, TestFolders::New("rm_guard") + "/s"};
  auto listener = *Listener::Start({&service}, endpoint, {}, std::move(extras));
  v1::ClientService::Stub stub(Of(listener->address())->Ask().channel);
  grpc::ClientContext one;
  v1::GetVersionReply version;
  ASSERT_TRUE(stub.GetVersion(&one, {}, &version).ok());
  EXPECT_EQ(asked, 1);  // its message and its status go together
  grpc::ClientContext stream;
  const auto watch = stub.WatchJob(&stream, {});
  v1::WatchJobReply reply;
  int replies = 0;
  while (watch->Read(&reply)) ++replies;
  EXPECT_TRUE(watch->Finish().ok());
  EXPECT_EQ(replies, 2);
  EXPECT_EQ(asked, 4);
}

}  // namespace
}  // namespace rackmark

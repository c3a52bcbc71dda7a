// A suite is followed against a coordinator that is only a service, and not a good one.
#include "cli/suite_follow.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>

#include "common/exit_codes.h"
#include "common/test_folder.h"
#include "gtest/gtest.h"
#include "rpc/identity.h"
#include "rpc/listener.h"

namespace rackmark {
namespace {

constexpr int kJobs = 50;

// Tells of a suite with open jobs, and never answers a Cancel.
class Odd : public v1::ClientService::CallbackService {
 public:
  grpc::ServerUnaryReactor* ListSuites(grpc::CallbackServerContext* context,
                                       const v1::ListSuitesRequest* request,
                                       v1::ListSuitesReply* reply) override {
    *reply->mutable_identity() = MakeIdentity("c1", 1, "c");
    if (knows) {
      v1::SuiteStatus& suite = *reply->add_suites();
      suite.set_suite_id(request->suite_id());
      for (uint64_t id = 1; id <= kJobs; ++id) {
        v1::JobStatus& job = *suite.add_jobs();
        job.set_job_id(id);
        job.set_phase(v1::JOB_PHASE_QUEUED);
      }
    }
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ServerUnaryReactor* Cancel(grpc::CallbackServerContext*, const v1::CancelRequest*,
                                   v1::CancelReply*) override {
    class Silence : public grpc::ServerUnaryReactor {
     public:
      void OnCancel() override { Finish(grpc::Status::CANCELLED); }
      void OnDone() override { delete this; }
    };
    // The user's second stop comes while the first Cancel is under way.
    if (++cancels == 1) kill(getpid(), SIGINT);
    return new Silence;
  }
  std::atomic<bool> knows = true;
  std::atomic<int> cancels = 0;
};

class SuiteFollowTest : public testing::Test {
 protected:
  SuiteFollowTest() {
    const std::string folder = TestFolders::New("rm_follow");
    listener_ = *Listener::Start({&service_}, {Endpoint::Kind::kUnix, folder + "/c.sock"}, {});
    client_ = std::make_unique<CoordinatorClient>(
        *Coordinators::Create(*ParseEndpoints(listener_->address()), {}), "boot/1",
        [this](Nanos duration) { return !stop_->Wait(duration).has_value(); });
  }
  ~SuiteFollowTest() override { listener_->Shutdown(0); }
  std::optional<int> Run() {
    SuiteFollowOptions options;
    options.suite_id = 3;
    return SuiteFollower(*client_, *stop_, screen_, options).Run();
  }

  std::unique_ptr<StopSignal> stop_ = *StopSignal::Install(std::nullopt);
  Screen screen_{2};
  Odd service_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<CoordinatorClient> client_;
};

TEST_F(SuiteFollowTest, ASecondStopIsSeenBeforeEachJobHasWaitedForASilentCoordinator) {
  stop_->Trigger("SIGINT");
  EXPECT_EQ(Run(), kExitCancelled);
  EXPECT_EQ(service_.cancels, 1);
}

TEST_F(SuiteFollowTest, AnAnswerWithoutTheSuiteIsAnErrorOfTheCoordinator) {
  service_.knows = false;
  EXPECT_EQ(Run(), kExitInternal);
}

}  // namespace
}  // namespace rackmark

// The table of roles: nobody may more than it says, and every RPC of the protos is in it.
#include "coordinator/serve/auth.h"

#include <map>
#include <string>

#include "gtest/gtest.h"
#include "rackmark/v1/client_api.pb.h"
#include "rackmark/v1/worker_api.pb.h"

namespace rackmark {
namespace {

TEST(Auth, EveryRpcOfTheProtosHasARole) {
  for (const auto* file :
       {v1::SubmitRequest::descriptor()->file(), v1::Report::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        EXPECT_NE(LeastRole(file->service(s)->method(m)->name()), v1::ROLE_UNKNOWN);
      }
    }
  }
  EXPECT_DEATH((void)LeastRole("FormatDisk"), "CHECK");
}

// A new RPC fails this test until somebody has decided who may call it.
TEST(Auth, EachRpcNeedsTheRoleThatWasDecided) {
  const std::map<std::string, v1::Role> decided = {
      {"Submit", v1::ROLE_OPERATOR},
      {"Cancel", v1::ROLE_OPERATOR},
      {"ListNodes", v1::ROLE_VIEWER},
      {"ListJobs", v1::ROLE_VIEWER},
      {"ListRuns", v1::ROLE_VIEWER},
      {"GetReport", v1::ROLE_VIEWER},
      {"GetVersion", v1::ROLE_VIEWER},
      {"WatchJob", v1::ROLE_VIEWER},
      {"Sync", v1::ROLE_WORKER},
      {"PushSamples", v1::ROLE_WORKER},
      {"PutArtifact", v1::ROLE_OPERATOR},
      {"FindArtifact", v1::ROLE_VIEWER},
      {"GetArtifact", v1::ROLE_WORKER},
      {"Why", v1::ROLE_VIEWER},
      {"SubmitSuite", v1::ROLE_OPERATOR},
      {"ListSuites", v1::ROLE_VIEWER},
      {"ApplySchedule", v1::ROLE_OPERATOR},
      {"ListSchedules", v1::ROLE_VIEWER},
      {"RemoveSchedule", v1::ROLE_OPERATOR},
      {"ChangeNode", v1::ROLE_ADMIN},
  };
  std::map<std::string, v1::Role> found;
  for (const auto* file :
       {v1::SubmitRequest::descriptor()->file(), v1::Report::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const std::string name = file->service(s)->method(m)->name();
        // The table knows no service: a name may be used once.
        EXPECT_TRUE(found.emplace(name, LeastRole(name)).second) << name;
      }
    }
  }
  EXPECT_EQ(found, decided);
  for (const auto& [rpc, least] : decided) {
    EXPECT_EQ(MayDo(v1::ROLE_WORKER, least), least == v1::ROLE_WORKER) << rpc;
    EXPECT_EQ(MayDo(v1::ROLE_VIEWER, least), least == v1::ROLE_VIEWER) << rpc;
  }
}

// PROTOCOL 1: every message carries an identity, first.
TEST(Auth, EveryMessageBetweenProcessesCarriesAnIdentity) {
  for (const auto* file :
       {v1::SubmitRequest::descriptor()->file(), v1::Report::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const auto* method = file->service(s)->method(m);
        for (const auto* message : {method->input_type(), method->output_type()}) {
          const auto* field = message->FindFieldByNumber(1);
          ASSERT_NE(field, nullptr) << message->name();
          EXPECT_EQ(field->message_type(), v1::Identity::descriptor()) << message->name();
        }
      }
    }
  }
}

TEST(Auth, WithACertificateANodeIsNamedByIt) {
  EXPECT_TRUE(CheckNodeName({}, "n1").ok());
  EXPECT_TRUE(CheckNodeName({"n1"}, "n1").ok());
  EXPECT_TRUE(CheckNodeName({"127.0.0.1", "n1"}, "n1").ok());
  const absl::Status other = CheckNodeName({"n1"}, "n2");
  EXPECT_EQ(other.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_NE(std::string(other.message()).find("start the worker with --name n1"),
            std::string::npos);
  EXPECT_FALSE(CheckNodeName({"n1"}, "").ok());
}

TEST(Auth, RolesMayWhatTheyMay) {
  struct Case {
    v1::Role role;
    bool read, submit, admin, work;
  };
  const Case cases[] = {{v1::ROLE_VIEWER, true, false, false, false},
                        {v1::ROLE_OPERATOR, true, true, false, false},
                        {v1::ROLE_ADMIN, true, true, true, true},
                        {v1::ROLE_WORKER, false, false, false, true},
                        {v1::ROLE_UNKNOWN, false, false, false, false}};
  for (const Case& c : cases) {
    EXPECT_EQ(MayDo(c.role, LeastRole("ListJobs")), c.read) << c.role;
    EXPECT_EQ(MayDo(c.role, LeastRole("Submit")), c.submit) << c.role;
    EXPECT_EQ(MayDo(c.role, LeastRole("ApplySchedule")), c.submit) << c.role;
    EXPECT_EQ(MayDo(c.role, LeastRole("ChangeNode")), c.admin) << c.role;
    EXPECT_EQ(MayDo(c.role, LeastRole("Sync")), c.work) << c.role;
  }
}

}  // namespace
}  // namespace rackmark

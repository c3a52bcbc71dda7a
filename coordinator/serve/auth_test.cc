// The table of roles: nobody may more than it says, and every RPC of the protos is in it.
#include "coordinator/serve/auth.h"

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
    EXPECT_EQ(MayDo(c.role, v1::ROLE_ADMIN), c.admin) << c.role;
    EXPECT_EQ(MayDo(c.role, LeastRole("Sync")), c.work) << c.role;
  }
}

}  // namespace
}  // namespace rackmark

// How often the hub looks at what was committed.
#include "coordinator/serve/service_test_fixture.h"

namespace rackmark {
namespace {

// Each look costs all watchers times all runs, on the loop's thread: with an hour between two there
// is the one of the submission, and only the job's end is told besides.
TEST(WatchHub, CommitsSoonAfterALookArePassedOverAndTheEndIsToldAtOnce) {
  Coordinator coordinator(ArtifactDesk::kIdleMax, 3600 * kSecond);
  const auto submitted = Submit(coordinator, "s1");
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  std::promise<void> began;
  auto watched = std::async(std::launch::async,
                            [&] { return Watch(coordinator, submitted->job_id(), began); });
  began.get_future().wait();
  FakeWorker worker(coordinator, "boot-n1/1");
  bool had_lease = false;
  worker.ObeyUntil([&] {
    had_lease = had_lease || worker.desired().leases_size() > 0;
    return had_lease && worker.desired().leases_size() == 0;
  });
  const auto seen = watched.get();
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen.front().job().phase(), v1::JOB_PHASE_QUEUED);
  EXPECT_EQ(seen.back().job().phase(), v1::JOB_PHASE_ENDED);
}

}  // namespace
}  // namespace rackmark

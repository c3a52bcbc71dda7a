// How meetings over Gloo end that cannot come about. The ranks are threads of this process.
#include "kernels/collective_gloo.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "kernels/test_gang.h"

namespace rackmark {
namespace {

class GlooMeetingTest : public testing::Test {
 protected:
  // Far longer than the tests wait: who is not told would still be waiting.
  static constexpr Nanos kLimit = 3 * kPlenty;

  // As the rank program does: Gloo writes to peers that have closed.
  static void SetUpTestSuite() { signal(SIGPIPE, SIG_IGN); }

  void Make(int world) {
    for (int rank = 0; rank < world; ++rank) {
      auto mesh = GlooMesh::Create({rank, world, "lo", kLimit});
      ASSERT_TRUE(mesh.ok()) << mesh.status();
      cards_.push_back((*mesh)->addresses());
      ranks_.push_back(*std::move(mesh));
    }
  }
  std::future<absl::Status> Connect(size_t rank) {
    return std::async(std::launch::async, [this, rank] { return ranks_[rank]->Connect(cards_); });
  }
  static void ExpectFreed(std::future<absl::Status>& connecting, const std::string& who) {
    ASSERT_EQ(connecting.wait_for(std::chrono::nanoseconds(kPlenty)), std::future_status::ready)
        << who << " still waits";
    const absl::Status status = connecting.get();
    EXPECT_TRUE(absl::IsUnavailable(status)) << who << ": " << status;
  }

  std::vector<std::string> cards_;
  std::vector<std::unique_ptr<GlooMesh>> ranks_;
};

TEST_F(GlooMeetingTest, AllWhoComeMeet) {
  ASSERT_NO_FATAL_FAILURE(Make(3));
  std::vector<std::future<absl::Status>> all;
  for (size_t rank = 0; rank < 3; ++rank) all.push_back(Connect(rank));
  for (auto& one : all) EXPECT_EQ(one.get(), absl::OkStatus());
}

// One rank of three has not come yet. One of the two that wait for it gives up: the other hears of
// it, whichever side of their connection it is, and nobody waits for the limit.
TEST_F(GlooMeetingTest, WhoGivesUpWaitingFreesTheOthers) {
  for (size_t absent = 0; absent < 3; ++absent) {
    for (const size_t step : {1U, 2U}) {
      const size_t quits = (absent + step) % 3, waits = (absent + 3 - step) % 3;
      const std::string text = absl::StrCat("rank ", absent, " absent, rank ", quits, " quits");
      cards_.clear();
      ranks_.clear();
      ASSERT_NO_FATAL_FAILURE(Make(3));
      auto quitting = Connect(quits);
      auto waiting = Connect(waits);
      ranks_[quits]->Abort();
      ExpectFreed(quitting, text + ", the one that quits");
      ExpectFreed(waiting, text + ", the one that waits");
    }
  }
}

// It gave up before it knew where the others listen, and can tell them only when it does.
TEST_F(GlooMeetingTest, WhoHasGivenUpBeforeTheMeetingTellsTheOthersWhenItIsToMeetThem) {
  for (size_t quits = 0; quits < 3; ++quits) {
    cards_.clear();
    ranks_.clear();
    ASSERT_NO_FATAL_FAILURE(Make(3));
    ranks_[quits]->Abort();
    std::vector<std::future<absl::Status>> all;
    for (size_t rank = 0; rank < 3; ++rank) all.push_back(Connect(rank));
    for (size_t rank = 0; rank < 3; ++rank) {
      ExpectFreed(all[rank], absl::StrCat("rank ", quits, " quits, rank ", rank));
    }
  }
}

TEST_F(GlooMeetingTest, ACardOfAnotherBuildEndsTheMeetingForAll) {
  ASSERT_NO_FATAL_FAILURE(Make(2));
  auto waiting = Connect(0);
  std::vector<std::string> wrong = cards_;
  wrong[0] += "x";
  EXPECT_TRUE(absl::IsFailedPrecondition(ranks_[1]->Connect(wrong)));
  ranks_[1]->Abort();
  EXPECT_TRUE(absl::IsUnavailable(ranks_[1]->Connect(cards_)));
  ExpectFreed(waiting, "rank 0");
}

}  // namespace
}  // namespace rackmark

// Waits that end in every way that they can, and a teardown whose order and limit hold.
#include "kernels/watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <string>
#include <vector>

#include "kernels/teardown.h"

namespace rackmark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A clock that goes on by a step whenever it is read.
class SteppingClock : public Clock {
 public:
  explicit SteppingClock(Nanos step) : step_(step) {}
  Nanos Monotonic() const override { return now_ += step_; }
  Nanos Boottime() const override { return now_; }
  Nanos Unix() const override { return now_; }

 private:
  const Nanos step_;
  mutable Nanos now_ = 0;
};

TEST(Await, EndsWhenItIsDoneEvenWithoutTime) {
  const SteppingClock clock(kSecond);
  EXPECT_TRUE(Await({&clock, 0}, "x", [] { return true; }).ok());
  int asked = 0;
  EXPECT_TRUE(Await({&clock, 100 * kSecond}, "x", [&] { return ++asked == 3; }).ok());
  EXPECT_EQ(asked, 3);
}

TEST(Await, ADeadlineNamesWhatAndTheLimit) {
  const SteppingClock clock(kMillisecond);
  const absl::Status late =
      Await({&clock, 7 * kMillisecond}, "the all-reduce", [] { return false; });
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  EXPECT_THAT(std::string(late.message()), HasSubstr("the all-reduce was not over after 7 ms"));
}

TEST(Await, AnAbortFromAnotherThreadEndsTheWait) {
  std::atomic<bool> aborted{false};
  std::promise<void> waiting;
  auto waiter = std::async(std::launch::async, [&] {
    bool told = false;
    return Await({&SystemClock(), 600 * kSecond, &aborted}, "it", [&]() -> absl::StatusOr<bool> {
      if (!std::exchange(told, true)) waiting.set_value();
      return false;
    });
  });
  waiting.get_future().wait();
  aborted.store(true);
  EXPECT_TRUE(absl::IsUnavailable(waiter.get()));
}

TEST(Await, AnErrorComesBackAsItIs) {
  const SteppingClock clock(1);
  const absl::Status status = Await({&clock, kSecond}, "it", []() -> absl::StatusOr<bool> {
    return absl::DataLossError("the link broke");
  });
  EXPECT_EQ(status, absl::DataLossError("the link broke"));
}

TEST(Teardown, GoesByStageAndBackwardsWithinAndOverErrors) {
  std::vector<std::string> order;
  Teardown teardown;
  const auto step = [&](const char* name, absl::Status status = absl::OkStatus()) {
    return [&order, name, status] {
      order.push_back(name);
      return status;
    };
  };
  teardown.Add(TeardownStage::kStreams, "stream", step("stream"));
  teardown.Add(TeardownStage::kWorldCommunicator, "world", step("world"));
  teardown.Add(TeardownStage::kMemory, "first", step("first", absl::InternalError("second error")));
  teardown.Add(TeardownStage::kMemory, "second", step("second", absl::DataLossError("ecc")));
  teardown.Add(TeardownStage::kSubCommunicators, "sub", step("sub"));
  teardown.Add(TeardownStage::kGraphs, "graph", step("graph"));
  teardown.Add(TeardownStage::kWindows, "window", step("window"));
  const absl::Status status = teardown.Run(600 * kSecond, [](std::string_view) { FAIL(); });
  EXPECT_EQ(status, absl::DataLossError("second: ecc"));
  EXPECT_THAT(order, ElementsAre("graph", "window", "sub", "world", "second", "first", "stream"));
  EXPECT_TRUE(teardown.Run(0, [](std::string_view) { FAIL(); }).ok()) << "nothing is left";
}

TEST(Teardown, AStepThatHangsIsNamed) {
  std::promise<std::string> stuck;
  std::future<std::string> named = stuck.get_future();
  Teardown teardown;
  // Hangs until the guard has spoken, as a communicator would for good.
  std::string step;
  teardown.Add(TeardownStage::kWorldCommunicator, "world", [&] {
    step = named.get();
    return absl::OkStatus();
  });
  const absl::Status status =
      teardown.Run(0, [&](std::string_view name) { stuck.set_value(std::string(name)); });
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(step, "world");
}

}  // namespace
}  // namespace rackmark

// Follows one suite to its end, through restarts of the coordinator: what `run` does with a suite
// of its own. It asks twice a second; what is new becomes a line that stays. Main's thread.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>

#include "cli/coordinator_client.h"
#include "cli/fleet_text.h"
#include "cli/screen.h"
#include "common/program.h"

namespace rackmark {

struct SuiteFollowOptions {
  uint64_t suite_id = 0;
  // Called ten times a second: keeps a local cluster alive. An error ends the view.
  std::function<absl::Status()> supervise;
  std::function<void()> hurry;  // a second stop came
};

class SuiteFollower {
 public:
  SuiteFollower(CoordinatorClient& client, StopSignal& stop, Screen& screen,
                SuiteFollowOptions options);

  // Missing = the suite has ended, see last(); else what main should return.
  std::optional<int> Run();

  const v1::SuiteStatus& last() const { return last_; }
  bool cancelled() const { return cancelled_at_.has_value(); }

 private:
  std::optional<int> Fail(const absl::Status& status, int exit);
  std::optional<int> Look();
  std::optional<int> Lose(const absl::Status& status);
  std::optional<int> CheckStop();
  // The connection loss that ended it early.
  absl::Status CancelOpen();

  CoordinatorClient& client_;
  StopSignal& stop_;
  Screen& screen_;
  const SuiteFollowOptions options_;
  const Nanos start_;
  Nanos heard_;
  bool lost_ = false;
  v1::SuiteStatus last_;
  SuiteNews news_;
  std::optional<Nanos> cancelled_at_;
  std::string cause_;
  std::set<uint64_t> cancelled_jobs_;  // the coordinator has heard it
};

}  // namespace rackmark

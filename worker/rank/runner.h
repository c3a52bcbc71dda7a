// The rank's main thread: takes orders from the inbox, one at a time, and walks through init,
// connect and run after run. Errors are statuses, reported as FAILED; the process goes on and takes
// the next run if its gang still can.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/status.h"
#include "common/time.h"
#include "rackmark/v1/rank_frame.pb.h"
#include "worker/rank/emitter.h"
#include "worker/rank/gang.h"
#include "worker/rank/inbox.h"
#include "worker/rank/pipe.h"
#include "worker/rank/recorder.h"
#include "worker/rank/workload.h"

namespace rackmark {

class Runner : private Progress {
 public:
  struct Options {
    Inbox* inbox = nullptr;
    Pipe* pipe = nullptr;
    Emitter* emitter = nullptr;
    Recorder* recorder = nullptr;
    SegmentName* segment = nullptr;
    const Artifacts* artifacts = nullptr;
    Accelerator* accelerator = nullptr;  // null: this program drives CPU slots
    const Clock* clock = nullptr;
  };
  explicit Runner(const Options& options) : options_(options) {}
  ~Runner() override;

  // Until a RankStop (OK) or until the daemon is gone (UNAVAILABLE).
  absl::Status Run();

 private:
  enum class Stage { kNone, kPrepared, kDone, kFailed };

  // Each returns an error only if the daemon cannot be told.
  absl::Status Take(const v1::ToRank& frame);
  absl::Status Init(const v1::RankInit& init);
  absl::Status Connect(const v1::RankConnect& connect);
  absl::Status Order(const v1::DesiredRun& order);
  absl::Status Advance(const v1::DesiredRun& order);
  absl::Status Fail(const absl::Status& why);
  absl::Status SendStatus();

  // The run's own errors.
  absl::Status Keep(const v1::Hold& hold, v1::HoldPhase phase);
  absl::Status Prepare(const v1::RunSpec& spec);
  absl::Status Measure();
  absl::Status Guarded(absl::Status (Workload::*step)());

  void Phase(v1::RankPhase phase) override;
  void Note(std::string_view note) override;
  bool Cancelled() const override { return options_.inbox->cancelled(); }

  const Options options_;
  std::optional<uint32_t> rank_;  // since init, also one that failed
  std::unique_ptr<Gang> gang_;    // made at init, usable after connect
  bool connected_ = false;
  v1::Hold lease_hold_;  // before the first run
  v1::Hold run_hold_;
  std::unique_ptr<Workload> workload_;
  Stage stage_ = Stage::kNone;
  v1::RankStatus status_;  // what the daemon was told last
};

}  // namespace rackmark

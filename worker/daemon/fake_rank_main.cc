// A rank that does no work: answers the daemon's frames as PROTOCOL says, sends a few samples in
// each run, and misbehaves on request. Environment: FAKE_RANK = "", "die-preparing" (prints a last
// word and exits 3), "deaf" (ignores RankStop), "fail-run" (FAILED instead of PREPARED).
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/frame.h"
#include "common/time.h"
#include "rackmark/v1/rank_frame.pb.h"
#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

constexpr int kFd = 3;

void Send(const v1::FromRank& frame) {
  if (!WriteFrame(kFd, frame.SerializeAsString()).ok()) _exit(4);
}

void SendStatus(v1::RankPhase phase, const v1::DesiredRun& run) {
  v1::FromRank frame;
  frame.mutable_status()->set_phase(phase);
  frame.mutable_status()->set_run_id(run.run_id());
  frame.mutable_status()->set_attempt(run.attempt());
  if (phase == v1::RANK_PHASE_FAILED) {
    frame.mutable_status()->mutable_failure()->set_kind(v1::FAILURE_KIND_RANK_FAILED);
    frame.mutable_status()->mutable_failure()->set_detail("told to fail");
  }
  Send(frame);
}

void Measure(const v1::DesiredRun& run) {
  SendStatus(v1::RANK_PHASE_MEASURING, run);
  for (int i = 0; i < 3; ++i) {
    v1::FromRank frame;
    PayloadBuilder builder(frame.mutable_samples());
    builder.Add(SeriesId::kStepCompute, SystemClock().Monotonic(), 0.001 * i);
    frame.mutable_samples()->add_requests()->set_index(static_cast<uint64_t>(i));
    Send(frame);
  }
  v1::FromRank end;
  end.mutable_samples_end()->set_run_id(run.run_id());
  end.mutable_samples_end()->set_attempt(run.attempt());
  Send(end);
  SendStatus(v1::RANK_PHASE_DONE, run);
}

void TakeRun(const v1::DesiredRun& run, const std::string& mode) {
  if (run.goal() == v1::RUN_GOAL_DONE) return Measure(run);
  SendStatus(v1::RANK_PHASE_PREPARING, run);
  if (mode == "die-preparing") {
    std::fputs("out of \xff luck\n", stderr);
    _exit(3);
  }
  SendStatus(mode == "fail-run" ? v1::RANK_PHASE_FAILED : v1::RANK_PHASE_PREPARED, run);
}

void Take(const v1::ToRank& frame, const std::string& mode) {
  if (frame.has_init()) {
    v1::FromRank card;
    card.mutable_card()->set_host_id(frame.init().host_id());
    card.mutable_card()->set_shm_name("rank" + std::to_string(frame.init().rank()));
    Send(card);
    SendStatus(v1::RANK_PHASE_CARDED, {});
  } else if (frame.has_connect()) {
    SendStatus(v1::RANK_PHASE_READY, {});
  } else if (frame.has_run()) {
    TakeRun(frame.run(), mode);
  } else if (frame.has_stop() && mode != "deaf") {
    _exit(0);
  }
}

int Main() {
  const char* mode = std::getenv("FAKE_RANK");
  FrameReader reader;
  while (true) {
    if (!reader.ReadSome(kFd).ok()) return 5;  // the daemon is gone
    while (auto bytes = reader.Next()) {
      v1::ToRank frame;
      if (!frame.ParseFromString(*bytes)) return 6;
      Take(frame, mode == nullptr ? "" : mode);
    }
  }
}

}  // namespace
}  // namespace rackmark

int main() { return rackmark::Main(); }

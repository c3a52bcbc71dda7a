// A rank that does no work: answers the daemon's frames as PROTOCOL says, sends a few samples in
// each run, and misbehaves on request. Environment: FAKE_RANK = "", "die-preparing" (prints a last
// word and exits 3), "deaf" (ignores RankStop), "fail-run" (FAILED instead of PREPARED, by its own
// doing), "bystander" (the same by a peer's, and its last samples come after it), "leak-segment"
// (is killed with the segment on its card still there), "leak-unsaid" (the same before it sent the
// card), "other-protocol" (speaks none of ours).
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "common/frame.h"
#include "common/ids.h"
#include "common/sha256.h"
#include "common/time.h"
#include "rackmark/v1/rank_frame.pb.h"
#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

constexpr int kFd = 3;
uint64_t g_files_begun = 0;
std::string g_segment;  // its name, as the daemon wants it

void Send(v1::FromRank frame) {
  const char* mode = std::getenv("FAKE_RANK");
  const bool odd = mode != nullptr && std::string_view(mode) == "other-protocol";
  frame.mutable_identity()->set_protocol_min(odd ? kProtocolMax + 1 : kProtocolMin);
  frame.mutable_identity()->set_protocol_max(odd ? kProtocolMax + 1 : kProtocolMax);
  if (!WriteFrame(kFd, frame.SerializeAsString()).ok()) _exit(4);
}

void SendStatus(v1::RankPhase phase, const v1::DesiredRun& run,
                std::optional<uint32_t> culprit = std::nullopt) {
  v1::FromRank frame;
  frame.mutable_status()->set_phase(phase);
  frame.mutable_status()->set_run_id(run.run_id());
  frame.mutable_status()->set_attempt(run.attempt());
  if (g_files_begun > 0) {
    frame.mutable_status()->set_note("file " + std::to_string(g_files_begun));
  }
  if (phase == v1::RANK_PHASE_FAILED) {
    frame.mutable_status()->mutable_failure()->set_kind(v1::FAILURE_KIND_RANK_FAILED);
    frame.mutable_status()->mutable_failure()->set_detail("told to fail");
    if (culprit) frame.mutable_status()->mutable_failure()->set_rank(*culprit);
  }
  Send(frame);
}

void SendSamples(const v1::DesiredRun& run) {
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
}

void Measure(const v1::DesiredRun& run) {
  SendStatus(v1::RANK_PHASE_MEASURING, run);
  SendSamples(run);
  SendStatus(v1::RANK_PHASE_DONE, run);
}

uint32_t g_rank = 0;
uint64_t g_said_again = 0;

std::string g_file;  // the last one that it was given

// The file that the run refers to must have come before it, whole; the note tells how often one
// came.
bool HasFile(const v1::DesiredRun& run) {
  const std::string& sha256 = run.spec().serve().load().trace().sha256();
  if (sha256.empty() || Sha256Hex(g_file) == sha256) return true;
  SendStatus(v1::RANK_PHASE_FAILED, run, g_rank);
  return false;
}

void TakePart(const v1::ArtifactPart& part) {
  if (part.offset() == 0) {
    g_file.clear();
    ++g_files_begun;
  }
  if (part.offset() != g_file.size()) _exit(7);
  g_file += part.piece();
}

void TakeRun(const v1::DesiredRun& run, const std::string& mode) {
  if (!HasFile(run)) return;
  if (run.goal() == v1::RUN_GOAL_DONE) return Measure(run);
  SendStatus(v1::RANK_PHASE_PREPARING, run);
  if (mode == "die-preparing") {
    std::fputs("out of \xff luck\n", stderr);
    _exit(3);
  }
  if (mode == "fail-run") return SendStatus(v1::RANK_PHASE_FAILED, run, g_rank);
  if (mode == "bystander") {
    SendStatus(v1::RANK_PHASE_FAILED, run);
    return SendSamples(run);
  }
  SendStatus(v1::RANK_PHASE_PREPARED, run);
}

void Take(const v1::ToRank& frame, const std::string& mode) {
  if (frame.has_init()) {
    v1::FromRank card;
    card.mutable_card()->set_host_id(frame.init().host_id());
    card.mutable_card()->set_shm_name("rank" + std::to_string(frame.init().rank()));
    g_rank = frame.init().rank();
    if (mode == "leak-segment") {
      card.mutable_card()->set_shm_name(g_segment);
      shm_open(g_segment.c_str(), O_CREAT | O_RDWR, 0600);
    }
    if (mode == "leak-unsaid") {
      shm_open(g_segment.c_str(), O_CREAT | O_RDWR, 0600);
      std::fputs(g_segment.c_str(), stderr);
      raise(SIGKILL);
    }
    Send(card);
    SendStatus(v1::RANK_PHASE_CARDED, {});
    if (mode == "leak-segment") raise(SIGKILL);
  } else if (frame.has_connect()) {
    SendStatus(v1::RANK_PHASE_READY, {});
  } else if (frame.has_keep_alive() && mode == "says-again") {
    // As the real one does; and a new card, by which a test sees that it was heard.
    SendStatus(v1::RANK_PHASE_READY, {});
    v1::FromRank card;
    card.mutable_card()->set_shm_name("again" + std::to_string(++g_said_again));
    Send(card);
  } else if (frame.has_artifact()) {
    TakePart(frame.artifact());
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

int main(int argc, char** argv) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (std::string_view(argv[i]) == "--segment") rackmark::g_segment = argv[i + 1];
  }
  return rackmark::Main();
}

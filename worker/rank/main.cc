// rackmark-rank and rackmark-rank-cuda: one rank of a gang, a child of rackmark-worker. People do
// not start it.
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/exit_codes.h"
#include "common/ids.h"
#include "common/log.h"
#include "common/program.h"
#include "common/shm_name.h"
#include "common/time.h"
#include "worker/rank/accelerator.h"
#include "worker/rank/emitter.h"
#include "worker/rank/inbox.h"
#include "worker/rank/link.h"
#include "worker/rank/parting.h"
#include "worker/rank/pipe.h"
#include "worker/rank/recorder.h"
#include "worker/rank/runner.h"
#include "worker/rank/segment_name.h"

namespace rackmark {
namespace {

int Complain(int exit_code, std::string_view why) {
  std::fprintf(stderr, "%s: %.*s\n", RankProgramName().data(), static_cast<int>(why.size()),
               why.data());
  return exit_code;
}

int RunRank(int fd, const std::string& segment_name) {
  EndWithDaemon();
  const absl::StatusOr<std::string> boot_id = BootId();
  if (!boot_id.ok()) return Complain(kExitError, FromAbsl(boot_id.status().message()));
  const Clock& clock = SystemClock();
  SegmentName segment(segment_name);
  const std::unique_ptr<Accelerator> accelerator = MakeAccelerator();
  Inbox inbox;
  Artifacts artifacts;
  Pipe pipe(fd, absl::StrCat(*boot_id, "/", RandomHex(8)));
  Recorder recorder;
  Link link({.fd = fd,
             .inbox = &inbox,
             .pipe = &pipe,
             .artifacts = &artifacts,
             .clock = &clock,
             .end_process = [&segment](int exit_code, std::string_view why) {
               segment.Remove();
               // No destructors: the runner may be anywhere.
               _exit(Complain(exit_code, why));
             }});
  // After the link: while this one's thread waits for a daemon that reads nothing, the dead-man
  // timer still runs.
  Emitter emitter(&pipe, &recorder, &clock);
  Runner runner({.inbox = &inbox,
                 .pipe = &pipe,
                 .emitter = &emitter,
                 .recorder = &recorder,
                 .segment = &segment,
                 .artifacts = &artifacts,
                 .accelerator = accelerator.get(),
                 .clock = &clock});
  const absl::Status ended = runner.Run();
  segment.Remove();
  if (accelerator != nullptr) accelerator->Close().IgnoreError();  // the process ends anyway
  // Here, where the dead-man timer still runs: the daemon may not be reading.
  pipe.Flush().IgnoreError();
  if (!ended.ok()) return Complain(kExitError, FromAbsl(ended.message()));
  return kExitPass;
}

int Main(int argc, char** argv) {
  Flags flags(RankProgramName(), "--fd N",
              "One rank of a gang. rackmark-worker starts it; it is not for people.");
  std::optional<int64_t> fd;
  flags.Add("fd", &fd, "inherited socket to the worker daemon", 3, 1 << 20);
  std::string segment;
  flags.Add("segment", &segment, "the name of a shared-memory segment of this rank");
  if (const auto exit_code = flags.ParseMain(argc, argv)) return *exit_code;
  if (!fd) {
    return Complain(kExitUsage,
                    "--fd is missing; this program is started by rackmark-worker, which gives it "
                    "a socket");
  }
  struct stat what {};
  if (fstat(static_cast<int>(*fd), &what) != 0 || !S_ISSOCK(what.st_mode)) {
    return Complain(kExitUsage, absl::StrCat("--fd ", *fd,
                                             " is no open socket; this program is "
                                             "started by rackmark-worker, which gives it one"));
  }
  if (!segment.empty() && !IsSegmentName(segment)) {
    return Complain(kExitUsage, absl::StrCat("--segment ", segment, " is no name of a segment: ",
                                             ToAbsl(kSegmentPrefix), " and hex digits"));
  }
  // Gloo writes to peers that may be dead; that is an error to report, not this rank's end.
  std::signal(SIGPIPE, SIG_IGN);  // NOLINT: nothing of this program could use it
  InitLog(RankProgramName(), LogLevel::kInfo);
  return RunRank(static_cast<int>(*fd), segment);
}

}  // namespace
}  // namespace rackmark

int main(int argc, char** argv) { return rackmark::Main(argc, argv); }

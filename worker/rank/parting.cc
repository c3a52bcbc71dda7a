#include "worker/rank/parting.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <atomic>

#include "common/shm_name.h"

namespace rackmark {
namespace {

constexpr std::string_view kFolder = "/dev/shm";
std::array<char, 128> g_path;  // read by the handler while g_stands
std::atomic<bool> g_stands{false};
static_assert(std::atomic<bool>::is_always_lock_free);

extern "C" void RemoveAndEnd(int signal) {
  if (g_stands.load()) unlink(g_path.data());
  raise(signal);  // whose handler is the default one by now
}

}  // namespace

void NoteStandingSegment(std::string_view name) {
  g_stands.store(false);
  if (!IsSegmentName(name)) return;  // its bound is far below the array's
  const size_t folder = kFolder.copy(g_path.data(), kFolder.size());
  const size_t end = folder + name.copy(g_path.data() + folder, name.size());
  g_path.at(end) = '\0';
  g_stands.store(true);
}

void EndWithDaemon() {
  struct sigaction action {};
  action.sa_handler = &RemoveAndEnd;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  // SIGHUP is what the kernel sends to a stopped rank without a daemon, and lets it go on.
  for (const int signal : {SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
  // Instead of SIGKILL, which this process was started with and which leaves no last words.
  prctl(PR_SET_PDEATHSIG, SIGTERM);
}

}  // namespace rackmark

#include "cli/screen.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "cli/progress.h"
#include "common/status.h"

namespace rackmark {
namespace {

constexpr Nanos kRedraw = 250 * kMillisecond;
constexpr Nanos kPlainInterval = 5 * kSecond;

int WidthOf(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

bool IsTerminal(int fd) {
  const char* kind = std::getenv("TERM");
  return isatty(fd) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
}

}  // namespace

Screen::Screen(int fd)
    : fd_(fd), terminal_(IsTerminal(fd)), style_(std::getenv("NO_COLOR") == nullptr) {}

Screen::~Screen() { Clear(); }

void Screen::Write(const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t n = write(fd_, bytes.data() + at, bytes.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // nobody reads progress any more; the job goes on
    at += static_cast<size_t>(n);
  }
}

void Screen::Show(const v1::WatchJobReply& reply, Nanos elapsed) {
  const std::string phase = PhaseWord(reply) + std::to_string(reply.job().runs_ended());
  const bool news = phase != last_phase_;
  if (!news && elapsed - last_shown_ < (terminal_ ? kRedraw : kPlainInterval)) return;
  last_phase_ = phase;
  last_shown_ = elapsed;
  if (terminal_) {
    // One column is left free: a full line makes some terminals wrap.
    Draw(LiveLines(reply, elapsed, {WidthOf(fd_) - 1, style_}));
  } else {
    Write(PlainLine(reply, elapsed) + "\n");
  }
}

void Screen::Draw(const std::vector<std::string>& lines) {
  // One write, and lines are overwritten rather than erased first: no flicker.
  std::string bytes = drawn_ == 0 ? "\x1b[?25l" : absl::StrCat("\x1b[", drawn_, "A\r");
  for (const std::string& line : lines) absl::StrAppend(&bytes, line, "\x1b[K\n");
  bytes += "\x1b[J";
  drawn_ = lines.size();
  Write(bytes);
}

void Screen::Say(const std::string& line) {
  Clear();
  Write(line + "\n");
}

void Screen::Clear() {
  if (drawn_ == 0) return;
  Write(absl::StrCat("\x1b[", drawn_, "A\r\x1b[J\x1b[?25h"));
  drawn_ = 0;
}

}  // namespace rackmark

#include "cli/screen.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "cli/progress.h"
#include "common/status.h"
#include "common/text.h"

namespace rackmark {
namespace {

constexpr Nanos kRedraw = 250 * kMillisecond;
constexpr Nanos kPlainInterval = 5 * kSecond;

int WidthOf(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

// Of a line that LiveLines made: its only escapes are those of styles, its bytes mostly ASCII.
size_t Columns(const std::string& line) {
  size_t columns = 0;
  bool escape = false;
  for (const char c : line) {
    if (c == '\x1b') escape = true;
    if (!escape && (static_cast<unsigned char>(c) & 0xc0) != 0x80) ++columns;
    if (escape && c == 'm') escape = false;
  }
  return columns;
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
    if (n <= 0) {
      error_ = n < 0 ? errno : EIO;  // the job goes on all the same
      return;
    }
    at += static_cast<size_t>(n);
  }
}

void Screen::Show(const v1::WatchJobReply& reply, Nanos elapsed) {
  const std::string word = PhaseWord(reply);
  calibrates_ |= word == "calibrating";
  const std::string phase = word + std::to_string(reply.job().runs_ended());
  const bool news = phase != last_phase_;
  if (!news && elapsed - last_shown_ < (terminal_ ? kRedraw : kPlainInterval)) return;
  last_phase_ = phase;
  last_shown_ = elapsed;
  if (terminal_) {
    // One column is left free: a full line makes some terminals wrap.
    Draw("", LiveLines(reply, elapsed, {WidthOf(fd_) - 1, style_, calibrates_}));
  } else {
    Write(PlainLine(reply, elapsed) + "\n");
  }
}

// Lines may take several rows now if the terminal has become narrower since they were drawn.
std::string Screen::ToTop() const {
  const auto width = static_cast<size_t>(WidthOf(fd_));
  size_t rows = 0;
  for (const std::string& line : drawn_)
    rows += 1 + (std::max<size_t>(1, Columns(line)) - 1) / width;
  return absl::StrCat("\x1b[", rows, "A\r");
}

void Screen::Draw(const std::string& above, const std::vector<std::string>& lines) {
  // Lines are overwritten rather than erased first.
  std::string bytes = drawn_.empty() ? "\x1b[?25l" : ToTop();
  bytes += above;
  for (const std::string& line : lines) absl::StrAppend(&bytes, line, "\x1b[K\n");
  bytes += "\x1b[J";
  drawn_ = lines;
  Write(bytes);
}

void Screen::Say(const std::string& line) {
  const std::string safe = EscapeControl(line);
  if (drawn_.empty()) return Write(safe + "\n");
  Draw(safe + "\x1b[K\n", std::vector<std::string>(drawn_));
}

void Screen::Clear() {
  if (drawn_.empty()) return;
  Write(ToTop() + "\x1b[J\x1b[?25h");
  drawn_.clear();
}

}  // namespace rackmark

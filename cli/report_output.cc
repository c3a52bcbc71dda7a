#include "cli/report_output.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "cli/output_text.h"
#include "report/render.h"

namespace rackmark {
namespace {

constexpr int kWidthMax = 120;  // longer lines are hard to read

absl::Status WriteAll(int fd, std::string_view text, const std::string& path) {
  for (size_t at = 0; at < text.size();) {
    const ssize_t n = write(fd, text.data() + at, text.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return ErrnoStatus(errno, absl::StrCat("write ", path));
    at += static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

}  // namespace

TerminalOptions TerminalOf(int fd) {
  TerminalOptions options;
  winsize size{};
  if (isatty(fd) != 1) return options;
  if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    options.width = std::min<int>(size.ws_col, kWidthMax);
  }
  options.color = std::getenv("NO_COLOR") == nullptr;
  return options;
}

std::string ReportText(const v1::JobSummary& summary, Output output) {
  switch (output) {
    case Output::kTable: return RenderTerminal(summary, TerminalOf(STDOUT_FILENO));
    case Output::kJson:
    case Output::kYaml: return MessageText(summary, output);
    case Output::kHtml: return RenderHtml(summary);
    case Output::kMarkdown: return RenderMarkdown(summary);
    case Output::kCsv: return RenderCsv(summary);
    case Output::kJunit: return RenderJunit(summary);
  }
  return "";
}

absl::Status WriteFile(const std::string& path, std::string_view text) {
  const std::string part = path + ".part";
  const int fd = open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("write ", path));
  const absl::Status written = WriteAll(fd, text, path);
  const bool closed = close(fd) == 0;
  RETURN_IF_ERROR(written);
  if (!closed || rename(part.c_str(), path.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("write ", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<ReportFiles> WriteReport(const v1::JobSummary& summary, const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return ErrnoStatus(error.value(), absl::StrCat("create folder ", folder, " (see --out)"));
  }
  const ReportFiles files{folder + "/report.html", folder + "/report.json"};
  RETURN_IF_ERROR(WriteFile(files.html, RenderHtml(summary)));
  RETURN_IF_ERROR(WriteFile(files.json, RenderJson(summary)));
  RETURN_IF_ERROR(WriteFile(folder + "/report.md", RenderMarkdown(summary)));
  RETURN_IF_ERROR(WriteFile(folder + "/report.csv", RenderCsv(summary)));
  RETURN_IF_ERROR(WriteFile(folder + "/report.junit.xml", RenderJunit(summary)));
  return files;
}

}  // namespace rackmark

#include "cli/report_output.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <iterator>

#include "cli/output_text.h"
#include "common/text.h"
#include "report/render.h"

namespace rackmark {
namespace {

constexpr int kWidthMax = 120;  // longer lines are hard to read
constexpr const char* kReportNames[] = {"report.html", "report.json", "report.md", "report.csv",
                                        "report.junit.xml"};

absl::Status CannotWrite(int error, const std::string& path) {
  return ErrnoStatus(error, absl::StrCat(EscapeControl(path), ": cannot be written"));
}

absl::Status WriteAll(int fd, std::string_view text, const std::string& path) {
  for (size_t at = 0; at < text.size();) {
    const ssize_t n = write(fd, text.data() + at, text.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return CannotWrite(errno, path);
    at += static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

// Where a file grows before it takes its name. A folder of that name would only be noticed then.
absl::StatusOr<int> OpenPart(const std::string& part, const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return CannotWrite(EISDIR, path);
  const int fd = open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return CannotWrite(errno, path);
  return fd;
}

absl::Status MakeFolder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error) return absl::OkStatus();
  return ErrnoStatus(error.value(), absl::StrCat(EscapeControl(folder), ": cannot be made"));
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
  ASSIGN_OR_RETURN(const int fd, OpenPart(part, path));
  const absl::Status written = WriteAll(fd, text, path);
  const bool closed = close(fd) == 0;
  RETURN_IF_ERROR(written);
  if (!closed || rename(part.c_str(), path.c_str()) != 0) return CannotWrite(errno, path);
  return absl::OkStatus();
}

absl::Status CheckWritable(const std::string& path) {
  const std::string part = path + ".part";
  ASSIGN_OR_RETURN(const int fd, OpenPart(part, path));
  close(fd);
  unlink(part.c_str());
  return absl::OkStatus();
}

absl::Status CheckReportFolder(const std::string& folder) {
  RETURN_IF_ERROR(MakeFolder(folder));
  for (const char* name : kReportNames) RETURN_IF_ERROR(CheckWritable(folder + "/" + name));
  return absl::OkStatus();
}

absl::Status BadOut(const absl::Status& status, std::string_view what) {
  return absl::Status(status.code(), absl::StrCat("--out ", status.message(), "; name a ",
                                                  ToAbsl(what), " that you may write to"));
}

absl::StatusOr<ReportFiles> WriteReport(const v1::JobSummary& summary, const std::string& folder) {
  RETURN_IF_ERROR(MakeFolder(folder));
  const std::string texts[] = {RenderHtml(summary), RenderJson(summary), RenderMarkdown(summary),
                               RenderCsv(summary), RenderJunit(summary)};
  static_assert(std::size(texts) == std::size(kReportNames));
  for (size_t i = 0; i < std::size(texts); ++i) {
    RETURN_IF_ERROR(WriteFile(absl::StrCat(folder, "/", kReportNames[i]), texts[i]));
  }
  return ReportFiles{absl::StrCat(folder, "/", kReportNames[0]),
                     absl::StrCat(folder, "/", kReportNames[1])};
}

}  // namespace rackmark

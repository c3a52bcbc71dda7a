// A finished job's summary for people and files; the rendering itself is report/'s.
#pragma once

#include <string>
#include <string_view>

#include "cli/command_line.h"
#include "common/status.h"
#include "rackmark/v1/summary.pb.h"
#include "report/render.h"

namespace rackmark {

// Width and colours of what the descriptor leads to.
TerminalOptions TerminalOf(int fd);

std::string ReportText(const v1::JobSummary& summary, Output output);

// Replaces the file whole, or leaves the former one.
absl::Status WriteFile(const std::string& path, std::string_view text);

// Whether the file could be written, by beginning to; so that nobody learns at the end of an hour
// that the result has no place. A file that is there stays as it is.
absl::Status CheckWritable(const std::string& path);
// The same for the files of a report. Makes the folder.
absl::Status CheckReportFolder(const std::string& folder);
// What CheckWritable or CheckReportFolder said of --out, with what to do; `what`: file or folder.
absl::Status BadOut(const absl::Status& status, std::string_view what);

struct ReportFiles {
  std::string html;
  std::string json;
};
// report.html, .json, .md, .csv and .junit.xml in `folder`, which is made. Names the first two.
absl::StatusOr<ReportFiles> WriteReport(const v1::JobSummary& summary, const std::string& folder);

}  // namespace rackmark

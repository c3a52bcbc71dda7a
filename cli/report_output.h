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

struct ReportFiles {
  std::string html;
  std::string json;
};
// report.html, .json, .md, .csv and .junit.xml in `folder`, which is made. Names the first two.
absl::StatusOr<ReportFiles> WriteReport(const v1::JobSummary& summary, const std::string& folder);

}  // namespace rackmark

// Reads a report.json back into the summary that it was written from: what RenderJson wrote, bit
// for bit but for numbers that JSON cannot hold (they read as NaN or missing). Pure. The text is
// untrusted: it may come from a mail.
#pragma once

#include <string_view>

#include "common/status.h"
#include "rackmark/v1/summary.pb.h"

namespace rackmark {

constexpr size_t kReportJsonBytesMax = 64 << 20;
constexpr uint32_t kReportFormat = 1;

// INVALID_ARGUMENT: no JSON, no report, of another format; the sentence names the field. Fields
// that this build does not know are skipped: a newer Rackmark of the same format wrote them.
absl::StatusOr<v1::JobSummary> ReadReportJson(std::string_view text);

}  // namespace rackmark

#include "trace/trace.h"

#include <algorithm>

#include "common/text.h"
#include "trace/lines.h"

namespace rackmark {
namespace {

using namespace trace_internal;

// Takes the next line off `text`, without its line end.
std::string_view NextLine(std::string_view& text) {
  const size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == text.npos ? text.size() : end + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

class Reader {
 public:
  explicit Reader(std::string_view file) : file_(file) {}

  absl::Status Read(std::string_view text) {
    RETURN_IF_ERROR(CheckSize(text));
    text = text.substr(text.substr(0, 3) == "\xef\xbb\xbf" ? 3 : 0);  // a mark of UTF-8
    RETURN_IF_ERROR(FindFormat(text));
    // One line end at the last line is none; a second one leaves an empty line, which is refused.
    while (!text.empty()) {
      ++line_;
      const absl::Status read = Take(NextLine(text));
      if (!read.ok()) return At(FromAbsl(read.message()));
    }
    if (!trace_.requests.empty()) return absl::OkStatus();
    return At("holds no request; name a trace that has some");
  }
  Trace Result() { return std::move(trace_); }

 private:
  absl::Status At(std::string_view sentence) const {
    return absl::InvalidArgumentError(
        absl::StrCat(EscapeControl(file_), ":", line_, ": ", ToAbsl(sentence)));
  }

  absl::Status CheckSize(std::string_view text) const {
    if (text.size() <= kTraceBytesMax) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(EscapeControl(file_), ": is larger than ",
                                                   FormatBytes(double{kTraceBytesMax}),
                                                   "; cut it to the requests that are wanted"));
  }

  // By the first line; a header is taken off.
  absl::Status FindFormat(std::string_view& text) {
    std::string_view after = text;
    const std::string_view first = NextLine(after);
    line_ = 1;
    if (first == kAzureHeader) {
      trace_.format = v1::TRACE_FORMAT_AZURE_CSV;
      text = after;
      return absl::OkStatus();
    }
    line_ = 0;  // the loop counts
    trace_.format = v1::TRACE_FORMAT_MOONCAKE_JSONL;
    if (first.substr(0, 1) == "{") return absl::OkStatus();
    line_ = 1;
    return At(absl::StrCat("\"", EscapeControl(first.substr(0, 64)), "\" begins no trace; the ",
                           "first line must be the CSV header ", ToAbsl(kAzureHeader),
                           " or a JSON object of a Mooncake trace"));
  }

  absl::Status Take(std::string_view text) {
    if (text.empty()) return absl::InvalidArgumentError("is empty; remove the line");
    if (text.size() > kTraceLineBytesMax) {
      return absl::InvalidArgumentError(absl::StrCat("is longer than ", kTraceLineBytesMax,
                                                     " bytes; name a trace, one request a line"));
    }
    const size_t first_hash = trace_.hashes.size();
    absl::StatusOr<Line> line = trace_.format == v1::TRACE_FORMAT_AZURE_CSV
                                    ? ReadAzureLine(text)
                                    : ReadMooncakeLine(text, trace_.hashes);
    RETURN_IF_ERROR(line);
    if (trace_.requests.empty()) first_ns_ = last_ns_ = line->time_ns;
    if (line->time_ns < last_ns_) {
      return absl::InvalidArgumentError(
          absl::StrCat("its timestamp is ", FormatDuration(last_ns_ - line->time_ns),
                       " before that of the line above; sort the trace by time"));
    }
    last_ns_ = line->time_ns;
    trace_.requests.push_back({last_ns_ - first_ns_, line->prompt_tokens, line->output_tokens,
                               static_cast<uint32_t>(first_hash),
                               static_cast<uint32_t>(trace_.hashes.size() - first_hash), line_});
    return CheckCounts();
  }

  absl::Status CheckCounts() const {
    if (trace_.requests.size() <= kTraceRequestsMax && trace_.hashes.size() <= kTraceHashesMax) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(absl::StrCat("is beyond the bound of ", kTraceRequestsMax,
                                                   " requests or ", kTraceHashesMax,
                                                   " hashes; cut the file here"));
  }

  const std::string_view file_;
  Trace trace_;
  uint32_t line_ = 0;
  Nanos first_ns_ = 0;
  Nanos last_ns_ = 0;
};

}  // namespace

absl::StatusOr<Trace> ReadTrace(std::string_view text, std::string_view file_name) {
  Reader reader(file_name);
  RETURN_IF_ERROR(reader.Read(text));
  return reader.Result();
}

}  // namespace rackmark

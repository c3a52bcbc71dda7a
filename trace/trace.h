// Recorded request traces as text: Azure's LLM inference CSV and Mooncake's JSONL, told apart by
// their content. Strict: one line that is not as it should be refuses the whole file, with its
// number and the reason, because a trace with a hole is another load. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/status.h"
#include "common/time.h"
#include "rackmark/v1/job.pb.h"

namespace rackmark {

// Bounds of what is read (law 5); beyond them a file is refused, never cut off.
constexpr size_t kTraceBytesMax = size_t{64} << 20;
constexpr size_t kTraceLineBytesMax = size_t{1} << 20;
constexpr size_t kTraceRequestsMax = 4'000'000;
constexpr size_t kTraceHashesMax = 16'000'000;     // over all requests
constexpr uint32_t kTraceLengthMax = 100'000'000;  // tokens, as recorded
// Tokens that one hash of a Mooncake trace stands for.
constexpr uint32_t kTraceBlockTokens = 512;

struct TraceRequest {
  Nanos offset_ns = 0;  // after the first request
  uint32_t prompt_tokens = 0;
  uint32_t output_tokens = 0;
  // In Trace::hashes: one for each block of the prompt, the last one perhaps of a part.
  uint32_t first_hash = 0;
  uint32_t hash_count = 0;
  uint32_t line = 0;  // in the file, from 1
};

struct Trace {
  v1::TraceFormat format = v1::TRACE_FORMAT_UNKNOWN;
  std::vector<TraceRequest> requests;  // at least one; offsets ascend
  std::vector<uint64_t> hashes;        // empty if the format has none
};

// INVALID_ARGUMENT: "file:line: <what is wrong>; <remedy>". `file_name` is only for this sentence.
// A last line without newline, CRLF and equal timestamps are good; descending ones are not.
absl::StatusOr<Trace> ReadTrace(std::string_view text, std::string_view file_name);

}  // namespace rackmark

// Trace readers (trace/). Input: two bytes of settings, then the file.
#include <algorithm>

#include "common/status.h"
#include "tests/fuzz/target.h"
#include "trace/replay.h"

namespace rackmark::fuzz {

std::vector<std::string> Seeds() {
  const std::string azure =
      "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n"
      "2023-11-16 18:15:50.9951690,396,109\r\n2023-11-16 18:15:50.9951690,879,55";
  const std::string mooncake =
      "{\"timestamp\": 0, \"input_length\": 6758, \"output_length\": 500, \"hash_ids\": [0, 1, 2, "
      "3, "
      "4, 5, 6, 7, 8, 9, 10, 11, 12, 13]}\n"
      "{\"timestamp\": 3000, \"input_length\": 600, \"output_length\": 7, \"hash_ids\": [0, 1]}\n";
  std::vector<std::string> seeds;
  for (const std::string& text : {azure, mooncake}) {
    RACKMARK_CHECK(ReadTrace(text, "seed").ok());  // a seed that is refused reaches nothing
    for (const char settings : {'\0', '\x15', '\xff'}) {
      seeds.push_back(std::string(2, settings) + text);
    }
  }
  return seeds;
}

namespace {

void CheckTrace(const Trace& trace) {
  RACKMARK_CHECK(!trace.requests.empty());
  Nanos last = 0;
  for (const TraceRequest& r : trace.requests) {
    RACKMARK_CHECK(r.offset_ns >= last && r.line > 0);
    RACKMARK_CHECK(r.prompt_tokens <= kTraceLengthMax && r.output_tokens <= kTraceLengthMax);
    RACKMARK_CHECK(r.first_hash + size_t{r.hash_count} <= trace.hashes.size());
    last = r.offset_ns;
  }
}

void CheckReplay(const Trace& trace, const Replay& replay, const ReplaySettings& settings) {
  RACKMARK_CHECK(!replay.requests.empty());
  uint64_t input = 0, output = 0;
  for (const ReplayRequest& r : replay.requests) {
    RACKMARK_CHECK(r.offset_ns >= 0 && r.offset_ns < replay.duration_ns);
    RACKMARK_CHECK(r.source < trace.requests.size());
    RACKMARK_CHECK(r.prompt_tokens > 0 && r.output_tokens > 0);
    RACKMARK_CHECK(!settings.length_max ||
                   uint64_t{r.prompt_tokens} + r.output_tokens <= *settings.length_max);
    input += r.prompt_tokens;
    output += r.output_tokens;
    if (replay.block_tokens == 0) continue;
    const uint32_t hashes = trace.requests[r.source].hash_count;
    for (const uint32_t position : {0U, r.prompt_tokens / 2, r.prompt_tokens - 1}) {
      RACKMARK_CHECK(hashes == 0 || BlockOf(position, replay.block_tokens, hashes).hash < hashes);
    }
  }
  RACKMARK_CHECK(input == replay.input_tokens && output == replay.output_tokens);
  RACKMARK_CHECK(!settings.request_limit || replay.requests.size() <= *settings.request_limit);
  for (const auto& share : {replay.prefix_share, replay.prefix_block_share}) {
    RACKMARK_CHECK(!share || (*share >= 0 && *share <= 1));
  }
  v1::Load load;
  load.mutable_trace()->set_time_scale(settings.time_scale);
  PutFacts(trace, replay, load);
  RACKMARK_CHECK(CheckFacts(trace, replay, load.trace()).ok());
}

}  // namespace
}  // namespace rackmark::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rackmark;
  if (size < 2) return 0;
  ReplaySettings settings;
  constexpr double kScales[] = {1, 0.001, 1000, 0.37};
  settings.time_scale = kScales[data[0] & 3U];
  settings.length_scale = kScales[(data[0] >> 2) & 3U];
  if ((data[0] & 16U) != 0) settings.length_max = 1 + data[1] * 64U;
  if ((data[0] & 32U) != 0) settings.request_limit = 1 + data[1] / 16U;
  if ((data[0] & 64U) != 0) settings.duration_ns = (1 + Nanos{data[1]}) * kSecond / 10;
  const auto trace = ReadTrace(fuzz::AsText(data + 2, size - 2), "trace");
  if (!trace.ok()) {
    RACKMARK_CHECK(trace.status().message().find("trace") != absl::string_view::npos);
    return 0;
  }
  fuzz::CheckTrace(*trace);
  const auto replay = MakeReplay(*trace, settings);
  if (replay.ok()) fuzz::CheckReplay(*trace, *replay, settings);
  return 0;
}

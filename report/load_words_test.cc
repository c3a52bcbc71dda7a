#include "report/load_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rackmark {
namespace {

using testing::HasSubstr;

v1::RunSummary TraceRun() {
  v1::RunSummary run;
  v1::TraceLoad& trace = *run.mutable_spec()->mutable_serve()->mutable_load()->mutable_trace();
  trace.set_sha256("0123456789abcdef");
  trace.set_bytes(2048);
  trace.set_format(v1::TRACE_FORMAT_MOONCAKE_JSONL);
  trace.set_name("conv.jsonl");
  trace.set_time_scale(0.1);
  trace.set_length_scale(0.25);
  trace.set_length_max(900);
  trace.set_request_limit(50);
  trace.set_requests(42);
  trace.set_dropped_long(7);
  trace.set_input_tokens(1234);
  trace.set_output_tokens(567);
  trace.set_prefix_share(0.36);
  return run;
}

std::string Text(const std::vector<Headline>& lines) {
  std::string text;
  for (const Headline& line : lines) text += line.name + "|" + line.value + "|" + line.note + "\n";
  return text;
}

TEST(TraceWords, SayEverythingThatTheReplayWasMadeWith) {
  const std::string text = Text(LoadLines(TraceRun().spec().serve().load()));
  for (const char* part :
       {"trace|conv.jsonl|Mooncake JSONL, 2 KiB", "sha256|0123456789abcdef|",
        "replayed|42 requests|7 dropped as longer than 900 tokens", "time x 0.1, lengths x 0.25",
        "the first 50 requests", "1234 in prompts|567 to be made", "prompts share|36 %|"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_EQ(LoadWords(TraceRun().spec().serve().load()), "trace conv.jsonl");
}

TEST(TraceWords, HitsStandBesideWhatWasPossibleAndAreMissingNotZero) {
  v1::RunSummary run = TraceRun();
  v1::MissingValue& missing = *run.add_missing();
  missing.set_name("prefix cache hit rate");
  missing.set_reason("no prefix reuse in this workload");
  EXPECT_THAT(Text(TraceHeadlines(run)),
              HasSubstr("Prefix hits|missing: no prefix reuse in this workload|at most 36 %"));
  run.mutable_serve()->set_prefix_hit_share(0.21);
  EXPECT_THAT(Text(TraceHeadlines(run)), HasSubstr("Prefix hits|21 %|at most 36 %"));
  run.mutable_spec()->mutable_serve()->mutable_load()->set_requests_per_second(3);
  EXPECT_TRUE(TraceHeadlines(run).empty());
}

TEST(TraceWords, ADrawnLoadSaysItsLengths) {
  v1::Load load;
  load.set_requests_per_second(12);
  load.mutable_prompt_tokens()->set_min(4);
  load.mutable_prompt_tokens()->set_max(9);
  EXPECT_EQ(LoadWords(load), "12 requests/s");
  EXPECT_THAT(Text(LoadLines(load)), HasSubstr("prompt tokens|4 to 9|uniform"));
}

}  // namespace
}  // namespace rackmark

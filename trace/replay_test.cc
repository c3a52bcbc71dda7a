#include "trace/replay.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

Trace Parse(const std::string& text) {
  auto trace = ReadTrace(text, "t");
  EXPECT_TRUE(trace.ok()) << trace.status();
  return trace.ok() ? *std::move(trace) : Trace();
}

// Four requests, 1 s apart: 1024, 1025, 512 and 2048 prompt tokens.
Trace Four() {
  return Parse(
      "{\"timestamp\": 500, \"input_length\": 1024, \"output_length\": 10, \"hash_ids\": [1, 2]}\n"
      "{\"timestamp\": 1500, \"input_length\": 1025, \"output_length\": 20, "
      "\"hash_ids\": [1, 2, 3]}\n"
      "{\"timestamp\": 2500, \"input_length\": 512, \"output_length\": 30, \"hash_ids\": [1]}\n"
      "{\"timestamp\": 3500, \"input_length\": 2048, \"output_length\": 1, "
      "\"hash_ids\": [4, 2, 5, 6]}\n");
}

Replay Make(const Trace& trace, const ReplaySettings& settings) {
  auto replay = MakeReplay(trace, settings);
  EXPECT_TRUE(replay.ok()) << replay.status();
  return replay.ok() ? *std::move(replay) : Replay();
}

TEST(Replay, AsRecordedIsTheWholeTraceAndOneMeanGap) {
  const Replay replay = Make(Four(), {});
  ASSERT_EQ(replay.requests.size(), 4U);
  EXPECT_EQ(replay.requests[3].offset_ns, 3 * kSecond);
  EXPECT_EQ(replay.duration_ns, 4 * kSecond);
  EXPECT_EQ(replay.input_tokens, 1024U + 1025 + 512 + 2048);
  EXPECT_EQ(replay.output_tokens, 61U);
  EXPECT_EQ(replay.block_tokens, 512U);
  EXPECT_EQ(replay.Longest().source, 3U);
}

TEST(Replay, PrefixShareCountsLeadingBlocksThatWereThereBefore) {
  const Replay replay = Make(Four(), {});
  // 2 of request 1's blocks, request 2's one; block 2 of request 3 follows a new block.
  EXPECT_DOUBLE_EQ(*replay.prefix_block_share, 3.0 / 10);
  EXPECT_DOUBLE_EQ(*replay.prefix_share, (1024.0 + 512) / (1024 + 1025 + 512 + 2048));
}

TEST(Replay, ScalesMultiplyGapsLengthsAndTheBlock) {
  ReplaySettings settings;
  settings.time_scale = 0.5;
  settings.length_scale = 1.0 / 64;
  const Replay replay = Make(Four(), settings);
  EXPECT_EQ(replay.requests[1].offset_ns, kSecond / 2);
  EXPECT_EQ(replay.duration_ns, 2 * kSecond);
  EXPECT_EQ(replay.block_tokens, 8U);
  EXPECT_EQ(replay.requests[0].prompt_tokens, 16U);
  EXPECT_EQ(replay.requests[0].output_tokens, 1U);  // the floor
  // The one token of request 1's third block is rounded away, so all of it was there before.
  EXPECT_EQ(replay.requests[1].prompt_tokens, 16U);
  EXPECT_DOUBLE_EQ(*replay.prefix_share, 24.0 / 72);
}

TEST(Replay, LengthMaxDropsAndCountsAndNeverCuts) {
  ReplaySettings settings;
  settings.length_max = 1034;
  const Replay replay = Make(Four(), settings);
  EXPECT_EQ(replay.dropped_long, 2U);
  ASSERT_EQ(replay.requests.size(), 2U);
  EXPECT_EQ(replay.requests[0].prompt_tokens, 1024U);
  EXPECT_EQ(replay.requests[1].prompt_tokens, 512U);
  EXPECT_EQ(replay.requests[1].offset_ns, 2 * kSecond);  // arrivals do not move
  EXPECT_DOUBLE_EQ(*replay.prefix_block_share, 1.0 / 3);
}

TEST(Replay, RequestLimitCountsThoseThatAreLeft) {
  ReplaySettings settings;
  settings.length_max = 1034;
  settings.request_limit = 1;
  const Replay replay = Make(Four(), settings);
  EXPECT_EQ(replay.requests.size(), 1U);
  EXPECT_EQ(replay.dropped_long, 0U);  // nothing after the limit is looked at
  EXPECT_GE(replay.duration_ns, 100 * kMillisecond);
}

TEST(Replay, DurationCutsAndItsEndIsOutside) {
  ReplaySettings settings;
  settings.duration_ns = 2 * kSecond;
  EXPECT_EQ(Make(Four(), settings).requests.size(), 2U);
  EXPECT_EQ(Make(Four(), settings).duration_ns, 2 * kSecond);
}

// The rank is given the duration that the client worked out, and must count the same.
TEST(Replay, RecountsToTheSameFactsWithTheDurationFilledIn) {
  const Trace trace = Four();
  for (const std::optional<uint64_t>& limit : {std::optional<uint64_t>(), {uint64_t{2}}}) {
    v1::Load load;
    load.mutable_trace()->set_time_scale(0.3);
    load.mutable_trace()->set_length_scale(0.7);
    load.mutable_trace()->set_length_max(900);
    if (limit) load.mutable_trace()->set_request_limit(*limit);
    PutFacts(trace, Make(trace, SettingsOf(load.trace())), load);
    EXPECT_EQ(load.trace().dropped_long(), limit ? 0U : 1U);

    ReplaySettings again = SettingsOf(load.trace());
    again.duration_ns = load.duration_ns();
    const Replay replay = Make(trace, again);
    EXPECT_TRUE(CheckFacts(trace, replay, load.trace()).ok());
    load.mutable_trace()->set_input_tokens(load.trace().input_tokens() + 1);
    const absl::Status refused = CheckFacts(trace, replay, load.trace());
    EXPECT_TRUE(absl::IsFailedPrecondition(refused));
    EXPECT_THAT(std::string(refused.message()), HasSubstr("programs of one build"));
  }
}

TEST(Replay, WithoutHashesTheShareIsMissing) {
  const Trace trace = Parse("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,1,2");
  const Replay replay = Make(trace, {});
  EXPECT_FALSE(replay.prefix_share.has_value());
  EXPECT_EQ(replay.block_tokens, 0U);
  v1::Load load;
  PutFacts(trace, replay, load);
  EXPECT_FALSE(load.trace().has_prefix_share());
}

TEST(Replay, NothingLeftIsAnErrorWithARemedy) {
  ReplaySettings settings;
  settings.length_max = 2;
  EXPECT_THAT(std::string(MakeReplay(Four(), settings).status().message()),
              HasSubstr("all 4 are longer than length_max; write"));
  settings = {};
  settings.length_scale = 1e6;
  EXPECT_THAT(std::string(MakeReplay(Four(), settings).status().message()),
              HasSubstr("the request of line 1 has"));
  settings = {};
  settings.time_scale = 0;
  EXPECT_FALSE(MakeReplay(Four(), settings).ok());
}

TEST(Replay, ATraceOfCenturiesIsRefusedBeforeItsDurationOverflows) {
  const Trace trace = Parse(
      "{\"timestamp\": 0, \"input_length\": 1, \"output_length\": 1, \"hash_ids\": [1]}\n"
      "{\"timestamp\": 8000000, \"input_length\": 1, \"output_length\": 1, \"hash_ids\": [1]}\n");
  ReplaySettings settings;
  settings.time_scale = 1e6;  // 8e18 ns; one gap more would not fit
  const auto replay = MakeReplay(trace, settings);
  EXPECT_TRUE(absl::IsInvalidArgument(replay.status())) << replay.status();
  settings.time_scale = 1e5;
  EXPECT_EQ(Make(trace, settings).duration_ns, Nanos{1'600'000'000'000'000'000});
}

TEST(BlockOf, TheLastHashTakesWhatRoundingLeftOver) {
  EXPECT_EQ(BlockOf(0, 5, 3).hash, 0U);
  EXPECT_EQ(BlockOf(9, 5, 3).hash, 1U);
  EXPECT_EQ(BlockOf(9, 5, 3).offset, 4U);
  EXPECT_EQ(BlockOf(16, 5, 3).hash, 2U);
  EXPECT_EQ(BlockOf(16, 5, 3).offset, 6U);
}

// The public traces, where they are: their figures are known from elsewhere.
class RealTrace : public ::testing::Test {
 protected:
  // Empty if the file is not there.
  static std::string Text(const std::string& name) {
    const char* folder = std::getenv("RACKMARK_DATA_DIR");
    const std::string path = std::string(folder ? folder : RACKMARK_DATA_DEFAULT) + "/" + name;
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  static Replay First(const Trace& trace, Nanos duration) {
    ReplaySettings settings;
    settings.duration_ns = duration;
    return Make(trace, settings);
  }
};

TEST_F(RealTrace, MooncakeConversation) {
  const std::string text = Text("mooncake_conversation_trace.jsonl");
  if (text.empty()) GTEST_SKIP() << "no mooncake_conversation_trace.jsonl in RACKMARK_DATA_DIR";
  const Trace trace = Parse(text);
  ASSERT_EQ(trace.requests.size(), 12031U);
  const Replay whole = Make(trace, {});
  EXPECT_EQ(whole.input_tokens, 144793823U);
  EXPECT_NEAR(*whole.prefix_block_share, 0.366, 0.0005);
  EXPECT_NEAR(*whole.prefix_share, 0.3736, 0.0005);
  EXPECT_EQ(First(trace, 20 * kSecond).input_tokens, 799683U);
  EXPECT_EQ(First(trace, 60 * kSecond).requests.size(), 162U);
}

TEST_F(RealTrace, ScalingMooncakeKeepsWhatItsPromptsShare) {
  const std::string text = Text("mooncake_conversation_trace.jsonl");
  if (text.empty()) GTEST_SKIP() << "no mooncake_conversation_trace.jsonl in RACKMARK_DATA_DIR";
  ReplaySettings settings;
  settings.length_scale = 1.0 / 64;
  const Trace trace = Parse(text);
  EXPECT_NEAR(*Make(trace, settings).prefix_block_share, 0.366, 0.003);
  // Truncation would have given 99.99 %: dropping keeps the share below what all of them share.
  settings.length_max = 64;
  const Replay dropped = Make(trace, settings);
  EXPECT_EQ(dropped.requests.size(), 3883U);
  EXPECT_NEAR(*dropped.prefix_share, 0.483, 0.001);
  settings.length_max = 8;  // no prompt is so short
  EXPECT_EQ(MakeReplay(trace, settings).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(RealTrace, AzureConversation) {
  const std::string text = Text("AzureLLMInferenceTrace_conv.csv");
  if (text.empty()) GTEST_SKIP() << "no AzureLLMInferenceTrace_conv.csv in RACKMARK_DATA_DIR";
  const Trace trace = Parse(text);
  ASSERT_EQ(trace.requests.size(), 19366U);
  EXPECT_EQ(First(trace, 20 * kSecond).input_tokens, 26413U);
  EXPECT_EQ(First(trace, 60 * kSecond).requests.size(), 191U);
}

}  // namespace
}  // namespace rackmark

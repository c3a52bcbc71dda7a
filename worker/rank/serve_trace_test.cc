#include "worker/rank/workloads/serve_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/sha256.h"

namespace rackmark {
namespace {

using testing::HasSubstr;

// Two requests that share their first block of two, and a third of its own.
const char kText[] =
    "{\"timestamp\": 0, \"input_length\": 1000, \"output_length\": 2, \"hash_ids\": [1, 2]}\n"
    "{\"timestamp\": 9, \"input_length\": 1024, \"output_length\": 2, \"hash_ids\": [1, 3]}\n"
    "{\"timestamp\": 9, \"input_length\": 512, \"output_length\": 2, \"hash_ids\": [4]}\n";

v1::Load LoadOf(const std::string& text) {
  v1::Load load;
  load.set_duration_ns(kSecond);
  v1::TraceLoad& trace = *load.mutable_trace();
  trace.set_sha256(Sha256Hex(text));
  trace.set_name("t.jsonl");
  trace.set_time_scale(1);
  trace.set_length_scale(1.0 / 64);
  const auto read = ReadTrace(text, "t");
  EXPECT_TRUE(read.ok()) << read.status();
  ReplaySettings settings = SettingsOf(trace);
  settings.duration_ns = load.duration_ns();
  const auto replay = MakeReplay(*read, settings);
  EXPECT_TRUE(replay.ok()) << replay.status();
  PutFacts(*read, *replay, load);
  return load;
}

class ServeTraceTest : public testing::Test {
 protected:
  ServeTraceTest() {
    v1::ArtifactPart part;
    part.set_sha256(Sha256Hex(kText));
    part.set_total_bytes(sizeof(kText) - 1);
    part.set_piece(kText);
    EXPECT_TRUE(artifacts_.Add(part).ok());
  }
  Artifacts artifacts_;
  const ServeTrace::Options options_{5, 1024};
};

TEST_F(ServeTraceTest, EqualHashesAreEqualTokensAndNothingElseIs) {
  const auto trace = ServeTrace::Create(LoadOf(kText), artifacts_, options_);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_TRUE((*trace)->shares_prefixes());
  ASSERT_EQ((*trace)->replay().block_tokens, 8u);
  int same_second = 0, same_third = 0;
  for (uint32_t p = 0; p < 8; ++p) {
    EXPECT_EQ((*trace)->Token(0, p), (*trace)->Token(1, p));
    same_second += (*trace)->Token(0, p + 8) == (*trace)->Token(1, p + 8) ? 1 : 0;
    same_third += (*trace)->Token(0, p) == (*trace)->Token(2, p) ? 1 : 0;
    EXPECT_LT((*trace)->Token(0, p), 1024);
    // A position in the block, not in the prompt, and the seed.
    EXPECT_EQ((*trace)->Token(2, p), PromptToken(options_.seed ^ 0x68617368, 4, p, 1024));
  }
  EXPECT_LT(same_second, 4);
  EXPECT_LT(same_third, 4);
}

TEST_F(ServeTraceTest, RequestsBesideTheTraceHavePromptsOfTheirOwn) {
  const auto trace = ServeTrace::Create(LoadOf(kText), artifacts_, options_);
  ASSERT_TRUE(trace.ok());
  const uint64_t other = uint64_t{1} << 40;
  EXPECT_EQ((*trace)->Token(other, 3), PromptToken(options_.seed, other, 3, 1024));
}

TEST_F(ServeTraceTest, OtherCountsThanPromisedAndAbsentFilesAreRefused) {
  v1::Load load = LoadOf(kText);
  load.mutable_trace()->set_requests(4);
  const auto counted = ServeTrace::Create(load, artifacts_, options_);
  EXPECT_TRUE(absl::IsFailedPrecondition(counted.status()));
  EXPECT_THAT(std::string(counted.status().message()), HasSubstr("the job says 4"));
  load = LoadOf(kText);
  load.mutable_trace()->set_sha256(Sha256Hex("another"));
  EXPECT_THAT(std::string(ServeTrace::Create(load, artifacts_, options_).status().message()),
              HasSubstr("did not send the file"));
}

}  // namespace
}  // namespace rackmark

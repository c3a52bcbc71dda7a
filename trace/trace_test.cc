#include "trace/trace.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const char kHeader[] = "TIMESTAMP,ContextTokens,GeneratedTokens\n";

Trace Read(const std::string& text) {
  auto trace = ReadTrace(text, "t");
  EXPECT_TRUE(trace.ok()) << trace.status();
  return trace.ok() ? *std::move(trace) : Trace();
}

std::string Error(const std::string& text) {
  const auto trace = ReadTrace(text, "dir/t.csv");
  EXPECT_FALSE(trace.ok()) << text;
  return std::string(trace.status().message());
}

std::string Azure(const std::string& line) { return kHeader + line; }

std::string Mooncake(const std::string& time, int input, const std::string& hashes) {
  return "{\"timestamp\": " + time + ", \"input_length\": " + std::to_string(input) +
         ", \"output_length\": 3, \"hash_ids\": [" + hashes + "]}\n";
}

TEST(AzureTrace, TimesAreOffsetsToTheNanosecond) {
  const Trace trace =
      Read(Azure("2023-11-16 23:59:59.6805900,374,44\n"
                 "2023-11-17 00:00:00.0000001,5,1\n"));
  EXPECT_EQ(trace.format, v1::TRACE_FORMAT_AZURE_CSV);
  ASSERT_EQ(trace.requests.size(), 2U);
  EXPECT_EQ(trace.requests[0].offset_ns, 0);
  EXPECT_EQ(trace.requests[1].offset_ns, 319410100);
  EXPECT_EQ(trace.requests[0].prompt_tokens, 374U);
  EXPECT_EQ(trace.requests[0].output_tokens, 44U);
  EXPECT_EQ(trace.requests[1].line, 3U);
  EXPECT_TRUE(trace.hashes.empty());
}

TEST(AzureTrace, DaysMonthsAndLeapYearsCount) {
  const Trace trace =
      Read(Azure("2023-12-31 00:00:00,1,1\n2024-02-29 00:00:00Z,1,1\n"
                 "2024-03-01T00:00:00.5+00:00,1,1\n"));
  ASSERT_EQ(trace.requests.size(), 3U);
  EXPECT_EQ(trace.requests[1].offset_ns, int64_t{60} * 86400 * kSecond);
  EXPECT_EQ(trace.requests[2].offset_ns, int64_t{61} * 86400 * kSecond + kSecond / 2);
}

TEST(AzureTrace, LastLineWithoutNewlineCrlfAndEqualTimestampsAreGood) {
  const Trace trace = Read(
      "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46,1,2\r\n"
      "2023-11-16 18:15:46,3,4");
  ASSERT_EQ(trace.requests.size(), 2U);
  EXPECT_EQ(trace.requests[1].offset_ns, 0);
  EXPECT_EQ(trace.requests[1].output_tokens, 4U);
}

TEST(MooncakeTrace, KeepsOrderAndHashes) {
  const Trace trace = Read("\xef\xbb\xbf" + Mooncake("0", 513, "7, 18446744073709551615") +
                           Mooncake("27482.5", 512, "7") + Mooncake("27482.5", 1, "9"));
  EXPECT_EQ(trace.format, v1::TRACE_FORMAT_MOONCAKE_JSONL);
  ASSERT_EQ(trace.requests.size(), 3U);
  EXPECT_THAT(trace.hashes, ElementsAre(7U, 18446744073709551615U, 7U, 9U));
  EXPECT_EQ(trace.requests[1].offset_ns, 27482500000);
  EXPECT_EQ(trace.requests[1].first_hash, 2U);
  EXPECT_EQ(trace.requests[1].hash_count, 1U);
  EXPECT_EQ(trace.requests[2].prompt_tokens, 1U);
}

TEST(MooncakeTrace, KeysComeInAnyOrderAndWhiteSpaceIsFree) {
  const Trace trace = Read(
      "{ \"hash_ids\" : [ 1 ,2 ] ,\"output_length\":5,\t\"input_length\":1024,\"timestamp\":3 } ");
  ASSERT_EQ(trace.requests.size(), 1U);
  EXPECT_EQ(trace.requests[0].output_tokens, 5U);
  EXPECT_THAT(trace.hashes, ElementsAre(1U, 2U));
}

TEST(TraceErrors, NameFileLineReasonAndRemedy) {
  const std::string good = "2023-11-16 18:15:46,1,2\n";
  EXPECT_EQ(Error(Azure(good + "2023-11-16 18:15:47,x,2\n" + good)),
            "dir/t.csv:3: ContextTokens is \"x\"; it must be a whole number of tokens, 1 to "
            "100000000");
  EXPECT_EQ(Error(Azure(good + "2023-11-16 18:15:45.5,1,2\n")),
            "dir/t.csv:3: its timestamp is 500 ms before that of the line above; sort the trace "
            "by time");
}

struct Bad {
  std::string text;
  std::string says;
};

TEST(TraceErrors, EveryKindOfMalformedLineIsRefused) {
  const std::vector<Bad> bad = {
      {"", ":1: \"\" begins no trace"},
      {"time,tokens\n", ":1: \"time,tokens\" begins no trace"},
      {kHeader, ":1: holds no request"},
      {Azure("2023-11-16 18:15:46,1\n"), ":2: does not have the three columns"},
      {Azure("2023-11-16 18:15:46,1,2,3\n"), ":2: does not have the three columns"},
      {Azure("2023-02-29 18:15:46,1,2\n"), ":2: TIMESTAMP is \"2023-02-29 18:15:46\""},
      {Azure("2023-11-16 24:15:46,1,2\n"), "TIMESTAMP is"},
      {Azure("2023-11-16 18:15:46.,1,2\n"), "TIMESTAMP is"},
      {Azure("2023-11-16 18:15:46.0123456789,1,2\n"), "TIMESTAMP is"},
      {Azure("2023-11-16 18:15:46+01:00,1,2\n"), "TIMESTAMP is"},
      {Azure("16.11.2023,1,2\n"), "TIMESTAMP is"},
      {Azure("2023-11-16 18:15:46,0,2\n"), "ContextTokens is \"0\""},
      {Azure("2023-11-16 18:15:46,-1,2\n"), "ContextTokens is \"-1\""},
      {Azure("2023-11-16 18:15:46,1, 2\n"), "GeneratedTokens is \" 2\""},
      {Azure("2023-11-16 18:15:46,1,99999999999999999999999\n"), "GeneratedTokens is"},
      {Azure("2023-11-16 18:15:46,1,2\n\n2023-11-16 18:15:46,1,2\n"), ":3: is empty"},
      {Azure("2023-11-16 18:15:46,1,\x1b[2J\n"), "GeneratedTokens is \"\\x1b[2J\""},
      {"{}\n", "a key is missing"},
      {"{\"timestamp\": 1}\n", "lacks the key \"input_length\""},
      {"{\"timestamp\": 1, \"timestamp\": 1}\n", "has two of the key \"timestamp\""},
      {"{\"time\": 1}\n", "has the unknown key \"time\""},
      {"{\"timestamp\": -1}\n", "timestamp is \"-1\""},
      {"{\"timestamp\": 1e3}\n", "timestamp is \"1e3\""},
      {"{\"timestamp\": \"1\"}\n", "timestamp is"},
      {"{\"timestamp\" 1}\n", ": is missing before"},
      {"{\"hash_ids\": 1}\n", "[ is missing before"},
      {"{\"hash_ids\": [1, 2}\n", "] is missing before"},
      {"{\"hash_ids\": [[1]]}\n", "hash_ids holds \"[1\""},
      {"{\"hash_ids\": [18446744073709551616]}\n", "hash_ids holds"},
      {Mooncake("0", 513, "7"), "has 1 hashes for 513 prompt tokens; write 2"},
      {Mooncake("0", 1, "7") + "[1]\n", ":2: is no JSON object"},
      {Mooncake("1", 1, "7") + Mooncake("0", 1, "7"), ":2: its timestamp is 1 ms before"},
      {"{\"timestamp\": 1, \"input_length\": 1, \"output_length\": 1, \"hash_ids\": [1]} x\n",
       "the end is missing before \"x\""},
  };
  for (const Bad& each : bad) EXPECT_THAT(Error(each.text), HasSubstr(each.says)) << each.text;
}

TEST(TraceErrors, BoundsAreRefusedNotCut) {
  EXPECT_THAT(Error(std::string(kTraceBytesMax + 1, '\n')), HasSubstr("larger than 64 MiB"));
  EXPECT_THAT(Error(Azure(std::string(kTraceLineBytesMax + 1, '1') + "\n")),
              HasSubstr(":2: is longer than 1048576 bytes"));
}

// A cheap stand-in for the fuzzer: no prefix and no flipped byte of good text may break anything,
// and what is accepted has requests in order.
TEST(TraceReader, AnyBytesAreAnsweredWithATraceOrASentence) {
  const std::string texts[] = {
      Azure("2023-11-16 18:15:46.6805900,374,44\r\n2023-11-16 18:15:50,396,109"),
      Mooncake("0", 513, "7, 8") + Mooncake("3000", 2, "9")};
  for (const std::string& text : texts) {
    for (size_t i = 0; i < text.size(); ++i) {
      for (const char c : {'\0', '\n', '"', '9', '}', ',', '\xff'}) {
        std::string changed = text;
        changed[i] = c;
        for (const std::string& each : {changed, changed.substr(0, i + 1)}) {
          const auto trace = ReadTrace(each, "t");
          if (!trace.ok()) {
            EXPECT_THAT(std::string(trace.status().message()), HasSubstr("; "));
            continue;
          }
          ASSERT_FALSE(trace->requests.empty());
          EXPECT_GE(trace->requests.back().offset_ns, trace->requests.front().offset_ns);
        }
      }
    }
  }
}

}  // namespace
}  // namespace rackmark

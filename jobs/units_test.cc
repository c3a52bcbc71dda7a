#include "jobs/units.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rackmark::units {
namespace {

using testing::HasSubstr;

TEST(Units, GoodDurations) {
  EXPECT_EQ(*ParseDuration("20s"), 20 * kSecond);
  EXPECT_EQ(*ParseDuration("20 s"), 20 * kSecond);
  EXPECT_EQ(*ParseDuration("0.5s"), kSecond / 2);
  EXPECT_EQ(*ParseDuration("250ms"), 250 * kMillisecond);
  EXPECT_EQ(*ParseDuration("1.5min"), 90 * kSecond);
  EXPECT_EQ(*ParseDuration("2h"), 7200 * kSecond);
  EXPECT_EQ(*ParseDuration("0s"), 0);
}

TEST(Units, GoodOthers) {
  EXPECT_EQ(*ParseBytes("256MiB"), 256ULL << 20);
  EXPECT_EQ(*ParseBytes("1.5KiB"), 1536u);
  EXPECT_EQ(*ParseBytes("64KB"), 64000u);
  EXPECT_EQ(*ParseBytes("7B"), 7u);
  EXPECT_DOUBLE_EQ(*ParseRate("12/s"), 12);
  EXPECT_DOUBLE_EQ(*ParseRate("30/min"), 0.5);
  EXPECT_DOUBLE_EQ(*ParsePercent("60%"), 0.6);
  EXPECT_DOUBLE_EQ(*ParsePercent("300%"), 3);
  EXPECT_EQ(*ParseInteger("18446744073709551615"), 18446744073709551615ULL);
}

struct Bad {
  absl::StatusOr<double> (*parse)(std::string_view);
  const char* text;
  const char* says;
};

template <typename T, absl::StatusOr<T> (*kParse)(std::string_view)>
absl::StatusOr<double> AsDouble(std::string_view text) {
  ASSIGN_OR_RETURN(const T value, kParse(text));
  return static_cast<double>(value);
}

TEST(Units, BadOnesSayWhatAndHow) {
  constexpr auto kInteger = AsDouble<uint64_t, ParseInteger>;
  constexpr auto kDuration = AsDouble<Nanos, ParseDuration>;
  constexpr auto kBytes = AsDouble<uint64_t, ParseBytes>;
  const Bad table[] = {
      {kDuration, "20", "\"20\" has no unit; write a duration such as 20s"},
      {kDuration, "20sec", "unknown unit \"sec\""},
      {kDuration, "20S", "did you mean \"s\"?"},
      {kDuration, "-1s", "is negative"},
      {kDuration, "+1s", "is not a number"},
      {kDuration, ".5s", "is not a number"},
      {kDuration, "1.s", "unknown unit"},
      {kDuration, "1e3s", "unknown unit"},
      {kDuration, "", "is empty"},
      {kDuration, "s", "is not a number"},
      {kDuration, ".inf", "is not a finite number"},
      {kDuration, "NaN", "is not a finite number"},
      {kDuration, "0.5ns", "finer than a nanosecond"},
      {kDuration, "9999999999999h", "is too long"},
      {kDuration, "010s", "octal"},
      {kDuration, "0x10s", "hexadecimal"},
      {kBytes, "256", "has no unit; write a size such as 256MiB"},
      {kBytes, "256mib", "did you mean"},
      {kBytes, "0.3B", "not a whole number of bytes"},
      {kBytes, "9999999TiB", "too large"},
      {ParseRate, "12", "has no unit; write a rate such as 12/s"},
      {ParseRate, "0/s", "no load at all"},
      {ParsePercent, "0.6", "has no unit; write a share such as 60%"},
      {ParsePercent, "0%", "nothing at all"},
      {kInteger, "010", "octal"},
      {kInteger, "0x1F", "hexadecimal"},
      {kInteger, "0o17", "octal"},
      {kInteger, "1.5", "is not a whole number"},
      {kInteger, "1_000", "is not a whole number"},
      {kInteger, "1e3", "is not a whole number"},
      {kInteger, "18446744073709551616", "is too large"},
      {kInteger, "\x1b[31m", "\\x1b"},
  };
  for (const Bad& bad : table) {
    const auto value = bad.parse(bad.text);
    ASSERT_FALSE(value.ok()) << bad.text;
    EXPECT_THAT(std::string(value.status().message()), HasSubstr(bad.says)) << bad.text;
    EXPECT_THAT(std::string(value.status().message()), HasSubstr("; ")) << bad.text;
  }
}

}  // namespace
}  // namespace rackmark::units

#include "cron/expression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/random.h"

namespace rackmark::cron {
namespace {

Expression Read(std::string_view text) {
  const auto e = Parse(text);
  EXPECT_TRUE(e.ok()) << text << ": " << e.status();
  return e.ok() ? *e : Expression();
}

TEST(Parse, ReadsEachKindOfPart) {
  const Expression e = Read("*/20 0,12-14 ? jan-Mar,12 MON-5/2,sun");
  EXPECT_EQ(e.minutes, 1U | 1ULL << 20 | 1ULL << 40);
  EXPECT_EQ(e.hours, 1U | 1U << 12 | 1U << 13 | 1U << 14);
  EXPECT_EQ(e.days, 0xfffffffeU);
  EXPECT_EQ(e.months, 1U << 1 | 1U << 2 | 1U << 3 | 1U << 12);
  EXPECT_EQ(e.weekdays, 1U << 0 | 1U << 1 | 1U << 3 | 1U << 5);
  EXPECT_TRUE(e.any_day);
  EXPECT_FALSE(e.any_weekday);
  EXPECT_FALSE(e.EveryHour());
  EXPECT_EQ(Read("5/10 * * * *"), Read("5-59/10 * * * *"));
  EXPECT_EQ(Read("\t0  2 *\t* * "), Read("0 2 * * *"));
  EXPECT_TRUE(Read("0 0-23 * * *").EveryHour());
}

// CronJob's rule: what is written decides whether a day field restricts, not what it adds up to.
TEST(Parse, SeesAStarOnlyWhereOneIsWritten) {
  EXPECT_TRUE(Read("0 0 */1 * 1").any_day);
  EXPECT_TRUE(Read("0 0 1,* * 1").any_day);
  EXPECT_FALSE(Read("0 0 */2 * 1").any_day);
  EXPECT_FALSE(Read("0 0 1-31 * 1").any_day);
  EXPECT_FALSE(Read("0 0 1 * 0-6").any_weekday);
}

TEST(Parse, KnowsTheNames) {
  const std::pair<const char*, const char*> kNames[] = {
      {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
      {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
      {"@hourly", "0 * * * *"},
  };
  for (const auto& [name, fields] : kNames) EXPECT_EQ(Read(name), Read(fields)) << name;
}

struct Refusal {
  const char* text;
  const char* message;
};

class ParseRefuses : public testing::TestWithParam<Refusal> {};

TEST_P(ParseRefuses, WithFieldAndRemedy) {
  const auto e = Parse(GetParam().text);
  ASSERT_FALSE(e.ok()) << Format(*e);
  EXPECT_EQ(e.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FromAbsl(e.status().message()), GetParam().message);
}

constexpr const char* kCount =
    "a schedule has 5 fields (minute, hour, day of month, month, day of week), not ";

const Refusal kRefusals[] = {
    {"60 * * * *", "minute 60 is not one of 0-59; write for example 0, */15 or 10-50/20"},
    {"-1 * * * *", "minute has an empty value; write for example 0, */15 or 10-50/20"},
    {"x * * * *", "minute \"x\" is not a value; write for example 0, */15 or 10-50/20"},
    {"00000 * * * *", "minute \"00000\" is not a value; write for example 0, */15 or 10-50/20"},
    {"1,,2 * * * *",
     "minute \"1,,2\" has nothing beside a comma; write for example 0, */15 or 10-50/20"},
    {"*/0 * * * *",
     "minute \"*/0\" has no step of 1 or more; write for example 0, */15 or 10-50/20"},
    {"*/ * * * *", "minute \"*/\" has no step of 1 or more; write for example 0, */15 or 10-50/20"},
    {"*/5/5 * * * *",
     "minute \"*/5/5\" has no step of 1 or more; write for example 0, */15 or 10-50/20"},
    {"*/90 * * * *",
     "minute \"*/90\" steps over all values, as counting begins anew after 59; write for example "
     "0, */15 or 10-50/20"},
    {"*-5 * * * *", "minute \"*\" is not a value; write for example 0, */15 or 10-50/20"},
    {"1-2-3 * * * *", "minute \"2-3\" is not a value; write for example 0, */15 or 10-50/20"},
    {"0 24 * * *", "hour 24 is not one of 0-23; write for example 2, 0-6 or */4"},
    {"0 22-4 * * *", "hour \"22-4\" ends before it begins; write 22-23,0-4"},
    {"0 0 0 * *", "day of month 0 is not one of 1-31; write for example 1, 1-7 or *"},
    {"0 0 L * *", "day of month \"L\" is not a value; write for example 1, 1-7 or *"},
    {"0 0 1 13 *", "month 13 is not one of 1-12; write for example 1, jan-mar or *"},
    {"0 0 1 sept *", "month \"sept\" is not a value; did you mean sep?"},
    {"0 0 1 octo *", "month \"octo\" is not a value; did you mean oct?"},
    {"0 0 * * 7", "day of week 7 is not one of 0-6; write 0 or sun for Sunday"},
    {"0 0 * * 8", "day of week 8 is not one of 0-6; write for example 0 (Sunday), mon-fri or *"},
    {"0 0 * * 1#2",
     "day of week \"1#2\" is not a value; write for example 0 (Sunday), mon-fri or *"},
    {"0 0 * * \x1b[2J",
     "day of week \"\\x1b[2J\" is not a value; write for example 0 (Sunday), mon-fri or *"},
    {"0 0 31 2 *",
     "day of month 31 is in none of the months named, so it would never come; write a day up to "
     "29, or other months"},
    {"0 0 30,31 feb ?",
     "day of month 30 is in none of the months named, so it would never come; write a day up to "
     "29, or other months"},
    {"0 0 31 2,4,6,9,11 *",
     "day of month 31 is in none of the months named, so it would never come; write a day up to "
     "30, or other months"},
    {"@dayly", "\"@dayly\" is no name of a schedule; did you mean @daily?"},
    {"@reboot",
     "\"@reboot\" is no name of a schedule; write one of @yearly @annually @monthly @weekly @daily "
     "@midnight @hourly"},
    {"@every 1h",
     "@every counts from when it was asked, so two coordinators would disagree; write the minutes "
     "or hours, for example */30 * * * *"},
    {"@daily 5", "@daily stands alone; remove what follows it"},
    {"TZ=UTC 0 2 * * *", "TZ= is not read in a schedule; write timeZone: beside it"},
    {"CRON_TZ=UTC 0 2 * * *", "CRON_TZ= is not read in a schedule; write timeZone: beside it"},
};

INSTANTIATE_TEST_SUITE_P(Table, ParseRefuses, testing::ValuesIn(kRefusals));

TEST(Parse, RefusesAnotherNumberOfFields) {
  for (const auto& [text, count] :
       {std::pair("", "0"), {"  ", "0"}, {"0 2 * *", "4"}, {"0 0 2 * * *", "6"}}) {
    EXPECT_EQ(std::string(Parse(text).status().message()),
              absl::StrCat(kCount, count, "; write for example 0 2 * * *, or @daily"));
  }
  EXPECT_THAT(std::string(Parse("*" + std::string(300, ' ')).status().message()),
              testing::HasSubstr("301 characters is too long; write at most 256"));
}

TEST(Parse, TakesDaysThatComeOnlySometimes) {
  for (const char* text :
       {"0 0 29 2 *", "0 0 31 1,2 *", "0 0 30 2-4 *", "0 0 31 2 1", "0 0 30 2 0"}) {
    EXPECT_TRUE(Parse(text).ok()) << text;
  }
}

TEST(Format, ReadsBackAsTheSame) {
  Random random(7, 1);
  const auto bits = [&](uint32_t min, uint32_t max) {
    uint64_t set = 0;
    for (uint64_t n = random.Between(1, 5); n > 0; --n) set |= 1ULL << random.Between(min, max);
    return set;
  };
  for (int i = 0; i < 2000; ++i) {
    Expression e{bits(0, 59),
                 static_cast<uint32_t>(bits(0, 23)),
                 static_cast<uint32_t>(bits(1, 28)),
                 static_cast<uint32_t>(bits(1, 12)),
                 static_cast<uint32_t>(bits(0, 6)),
                 random.Between(0, 3) == 0,
                 random.Between(0, 3) == 0};
    if (e.any_day) e.days = 0xfffffffeU;
    if (e.any_weekday) e.weekdays = 0x7fU;
    EXPECT_EQ(Read(Format(e)), e) << Format(e);
  }
  EXPECT_EQ(Format(Read("@weekly")), "0 0 * * 0");
  EXPECT_EQ(Format(Read("0-59 0-23 1-31 1-12 0-6")), "* * 1-31 * 0-6");
}

}  // namespace
}  // namespace rackmark::cron

#include "cron/instants.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "absl/strings/str_split.h"
#include "common/random.h"
#include "common/zone.h"
#include "cron/stretch.h"

namespace rackmark::cron {
namespace {

absl::TimeZone Zone(std::string_view name) {
  const auto zone = FindZone(name);
  RACKMARK_CHECK(zone.ok());
  return *zone;
}

Nanos At(const char* rfc3339) {
  absl::Time time;
  std::string error;
  RACKMARK_CHECK(absl::ParseTime(absl::RFC3339_full, rfc3339, &time, &error));
  return absl::ToUnixNanos(time);
}

// The instants of [from, to), found by Next and found again by Prev.
std::vector<std::string> Instants(const char* text, const char* zone, const char* from,
                                  const char* to) {
  const Expression e = *Parse(text);
  std::vector<std::string> up, down;
  for (auto at = Next(e, Zone(zone), At(from) - 1); at && *at < At(to);
       at = Next(e, Zone(zone), *at)) {
    up.push_back(FormatUnixTime(*at));
  }
  for (auto at = Prev(e, Zone(zone), At(to)); at && *at >= At(from);
       at = Prev(e, Zone(zone), *at)) {
    down.insert(down.begin(), FormatUnixTime(*at));
  }
  EXPECT_EQ(up, down) << text;
  return up;
}

struct Night {
  const char* what;
  const char* text;
  const char* zone;
  const char *from, *to;
  std::vector<std::string> instants;
};

class Nights : public testing::TestWithParam<Night> {};

TEST_P(Nights, AreDueAsTheHeaderSays) {
  const Night& n = GetParam();
  EXPECT_EQ(Instants(n.text, n.zone, n.from, n.to), n.instants) << n.what;
}

const Night kNights[] = {
    {"a plain day",
     "30 2 * * *",
     "Europe/Berlin",
     "2026-01-10T00:00:00Z",
     "2026-01-12T00:00:00Z",
     {"2026-01-10T01:30:00Z", "2026-01-11T01:30:00Z"}},
    {"a gap: made up for at its end",
     "30 2 * * *",
     "Europe/Berlin",
     "2026-03-28T12:00:00Z",
     "2026-03-30T12:00:00Z",
     {"2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"}},
    {"a gap: several skipped times are one, also with the time at its end",
     "*/20 2,3 * * *",
     "Europe/Berlin",
     "2026-03-29T00:00:00Z",
     "2026-03-29T12:00:00Z",
     {"2026-03-29T01:00:00Z", "2026-03-29T01:20:00Z", "2026-03-29T01:40:00Z"}},
    {"a gap: every hour has nothing to make up for",
     "30 * * * *",
     "Europe/Berlin",
     "2026-03-29T00:00:00Z",
     "2026-03-29T03:00:00Z",
     {"2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"}},
    {"a repeat: once, the first time",
     "30 2 * * *",
     "Europe/Berlin",
     "2026-10-24T12:00:00Z",
     "2026-10-26T12:00:00Z",
     {"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
    {"a repeat: every hour goes on",
     "30 * * * *",
     "Europe/Berlin",
     "2026-10-25T00:00:00Z",
     "2026-10-25T03:00:00Z",
     {"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"}},
    {"a gap of 30 minutes",
     "15 2 * * *",
     "Australia/Lord_Howe",
     "2026-10-03T00:00:00Z",
     "2026-10-04T00:00:00Z",
     {"2026-10-03T15:30:00Z"}},
    {"a repeat of 30 minutes, every hour",
     "45 * * * *",
     "Australia/Lord_Howe",
     "2026-04-04T14:00:00Z",
     "2026-04-04T17:00:00Z",
     {"2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z", "2026-04-04T16:15:00Z"}},
    {"a midnight that is skipped",
     "@daily",
     "America/Sao_Paulo",
     "2018-11-03T00:00:00Z",
     "2018-11-05T12:00:00Z",
     {"2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"}},
    {"a midnight that comes twice: 00:00 of St. John's, repeated from 00:01",
     "@daily",
     "America/St_Johns",
     "2010-11-06T12:00:00Z",
     "2010-11-08T12:00:00Z",
     {"2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z"}},
    {"a day that is skipped",
     "0 2 30 12 *",
     "Pacific/Apia",
     "2011-12-01T00:00:00Z",
     "2012-01-10T00:00:00Z",
     {"2011-12-30T10:00:00Z"}},
    {"no change at all",
     "0 2 * * *",
     "Asia/Kolkata",
     "2026-03-28T12:00:00Z",
     "2026-03-30T12:00:00Z",
     {"2026-03-28T20:30:00Z", "2026-03-29T20:30:00Z"}},
    {"an offset with seconds",
     "0 12 * * *",
     "Africa/Monrovia",
     "1970-01-01T00:00:00Z",
     "1970-01-02T00:00:00Z",
     {"1970-01-01T12:44:30Z"}},
    {"either day field",
     "0 0 13 * fri",
     "UTC",
     "2026-02-01T00:00:00Z",
     "2026-02-15T00:00:00Z",
     {"2026-02-06T00:00:00Z", "2026-02-13T00:00:00Z"}},
    {"leap days",
     "0 0 29 2 *",
     "UTC",
     "2090-01-01T00:00:00Z",
     "2110-01-01T00:00:00Z",
     {"2092-02-29T00:00:00Z", "2096-02-29T00:00:00Z", "2104-02-29T00:00:00Z",
      "2108-02-29T00:00:00Z"}},
};

INSTANTIATE_TEST_SUITE_P(Table, Nights, testing::ValuesIn(kNights));

TEST(Instants, EndAtTheirBounds) {
  const Expression e = *Parse("* * * * *");
  const auto zone = Zone("Europe/Berlin");
  constexpr Nanos kMinute = 60 * kSecond;
  constexpr Nanos kMax = std::numeric_limits<Nanos>::max();
  EXPECT_EQ(Next(e, zone, std::numeric_limits<Nanos>::min()), kFirstInstant);
  EXPECT_EQ(Next(e, zone, kLastInstant - kMinute), std::nullopt);
  EXPECT_EQ(Next(e, zone, kMax), std::nullopt);
  EXPECT_EQ(Prev(e, zone, kMax), kLastInstant - kMinute);
  EXPECT_EQ(Prev(e, zone, kFirstInstant), std::nullopt);
  EXPECT_EQ(Prev(e, zone, kFirstInstant + 1), kFirstInstant);
  EXPECT_EQ(Prev(e, zone, std::numeric_limits<Nanos>::min()), std::nullopt);
}

TEST(Instants, AreStrictlyAfterAndBefore) {
  const Expression e = *Parse("30 2 * * *");
  const auto zone = Zone("UTC");
  const Nanos at = At("2026-05-01T02:30:00Z");
  EXPECT_EQ(Next(e, zone, at - 1), at);
  EXPECT_EQ(Next(e, zone, at), At("2026-05-02T02:30:00Z"));
  EXPECT_EQ(Prev(e, zone, at + 1), at);
  EXPECT_EQ(Prev(e, zone, at), At("2026-04-30T02:30:00Z"));
}

TEST(Count, EndsAtItsLimit) {
  const Expression e = *Parse("* * * * *");
  const auto zone = Zone("UTC");
  const Nanos begin = At("2026-01-01T00:00:00Z");
  EXPECT_EQ(Count(e, zone, begin, begin, 100), 0U);
  EXPECT_EQ(Count(e, zone, begin, begin + 60 * kSecond, 100), 1U);
  EXPECT_EQ(Count(e, zone, begin, begin + 6000 * kSecond, 100), 100U);
  EXPECT_EQ(Count(e, zone, begin, At("2036-01-01T00:00:00Z"), 100), 101U);
}

std::vector<std::string> AllZones() {
  std::ifstream in("/usr/share/zoneinfo/tzdata.zi");
  std::vector<std::string> names;
  for (std::string line; std::getline(in, line);) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words[0] == "Z" && words.size() > 1) names.push_back(words[1]);
  }
  return names;
}

// What Next and Prev rest on, for each zone that there is: stretches join without a hole, the wall
// clock in them is the library's, and `seen` is what a look back over two days finds.
TEST(Stretch, JoinsInEveryZone) {
  const absl::Time from = absl::FromUnixNanos(kFirstInstant);
  const absl::Time to = absl::FromCivil(absl::CivilYear(2101), absl::UTCTimeZone());
  size_t stretches = 0;
  for (const std::string& name : AllZones()) {
    const absl::TimeZone zone = Zone(name);
    Stretch last;
    for (absl::Time t = from; t < to; t = last.end, ++stretches) {
      const Stretch s = StretchAt(zone, t, from, to);
      ASSERT_EQ(s.begin, t) << name;
      ASSERT_GT(s.end, s.begin) << name;
      ASSERT_EQ(s.past - s.first, absl::ToInt64Seconds(s.end - s.begin)) << name;
      for (const absl::Time inside :
           {s.begin, s.begin + (s.end - s.begin) / 2, s.end - absl::Nanoseconds(1)}) {
        ASSERT_EQ(s.WallAt(inside), zone.At(inside).cs) << name << " " << inside;
        const Stretch again = StretchAt(zone, inside, from, to);
        ASSERT_TRUE(again.begin == s.begin && again.end == s.end && again.seen == s.seen) << name;
      }
      if (t > from) {
        ASSERT_GE(s.seen, last.past) << name << " " << t;
        ASSERT_LE(s.seen, std::max(last.seen, last.past)) << name << " " << t;
      }
      last = s;
    }
  }
  EXPECT_GT(stretches, 1000U);
}

TEST(Instants, AreTheSameFromAnyPlaceBetweenTwo) {
  Random random(11, 1);
  for (const char* text : {"*/7 * * * *", "30 2 * * *", "0 0 29 2 *", "5 */6 * 3,10 sun"}) {
    const Expression e = *Parse(text);
    for (const char* name : {"Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"}) {
      const auto zone = Zone(name);
      for (int i = 0; i < 300; ++i) {
        const Nanos at = static_cast<Nanos>(random.Between(0, 4'000'000'000)) * kSecond;
        const auto next = Next(e, zone, at);
        const auto prev = Prev(e, zone, at + 1);
        ASSERT_TRUE(next && (!prev || *prev <= at) && *next > at);
        const Nanos low = prev.value_or(kFirstInstant - 1);
        const Nanos inside =
            low + static_cast<Nanos>(random.Between(0, static_cast<uint64_t>(*next - low - 1)));
        EXPECT_EQ(Next(e, zone, inside), next) << text << " " << name << " " << inside;
        EXPECT_EQ(Prev(e, zone, inside + 1), prev) << text << " " << name << " " << inside;
      }
    }
  }
}

}  // namespace
}  // namespace rackmark::cron

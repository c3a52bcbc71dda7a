// Cron expressions (cron/) and what a schedule makes of them (coordinator/schedule/). Input: 8
// bytes of time, one of settings, then the expression.
#include <cstring>

#include "common/status.h"
#include "common/zone.h"
#include "coordinator/schedule/decide.h"
#include "tests/fuzz/target.h"

namespace rackmark::fuzz {

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds;
  for (const char* text :
       {"@daily", "@hourly", "@yearly", "30 2 * * *", "*/15 0-6/2,22 * jan-mar,12 mon-fri",
        "0 0 29 feb ?", "5/10 * 1,15,31 * 0", "59 23 31 12 sat"}) {
    RACKMARK_CHECK(cron::Parse(text).ok());  // a seed that is refused reaches nothing
    // Nights on which Berlin's and Lord Howe's clocks change, and the ends of time.
    for (const int64_t seconds : {1'774'746'000LL, 1'792'890'000LL, 0LL, 7'258'118'399LL}) {
      const int64_t now = seconds * kSecond;
      std::string input(9, '\0');
      std::memcpy(input.data(), &now, 8);
      input[8] = static_cast<char>(seeds.size() * 37);
      seeds.push_back(input + text);
    }
  }
  return seeds;
}

namespace {

const absl::TimeZone& ZoneOf(unsigned choice) {
  static const auto* const zones = [] {
    auto* all = new std::vector<absl::TimeZone>;
    for (const char* name : {"UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"}) {
      const auto zone = FindZone(name);
      RACKMARK_CHECK(zone.ok());
      all->push_back(*zone);
    }
    return all;
  }();
  return zones->at(choice & 3U);
}

void CheckRefusal(const absl::Status& status) {
  RACKMARK_CHECK(status.code() == absl::StatusCode::kInvalidArgument);
  RACKMARK_CHECK(status.message().find(';') != absl::string_view::npos);  // with a remedy
  for (const char c : status.message()) {
    RACKMARK_CHECK(static_cast<unsigned char>(c) >= ' ');  // hostile text is escaped
  }
}

void CheckInstants(const cron::Expression& e, const absl::TimeZone& zone, Nanos now) {
  const auto next = cron::Next(e, zone, now), prev = cron::Prev(e, zone, now);
  RACKMARK_CHECK(!next || (*next > now && *next >= cron::kFirstInstant));
  RACKMARK_CHECK(!prev || (*prev < now && *prev < cron::kLastInstant));
  // Nothing that is accepted never comes: leap days are at most eight years apart.
  constexpr Nanos kNineYears = Nanos{9} * 366 * 86'400 * kSecond;
  const bool inside = now >= cron::kFirstInstant && now < cron::kLastInstant - kNineYears;
  RACKMARK_CHECK(!inside || (next && *next - now < kNineYears));
  if (next) RACKMARK_CHECK(cron::Next(e, zone, *next - 1) == next);
  if (next && prev) {
    const auto between = cron::Prev(e, zone, *next);
    RACKMARK_CHECK(between && (*between == prev || *between == now));
  }
}

void CheckDecision(const cron::Expression& e, Nanos now, unsigned settings) {
  schedule::Schedule s;
  s.id = schedule::ScheduleId{settings + 1};
  s.when = e;
  s.zone = ZoneOf(settings);
  s.concurrency = static_cast<schedule::Concurrency>((settings >> 2) % 3);
  if ((settings & 16U) != 0) s.starting_deadline = 600 * kSecond;
  if ((settings & 32U) != 0) s.jitter = 3600 * kSecond;
  if ((settings & 64U) != 0) s.closed = {{e, ZoneOf(settings >> 1), 1800 * kSecond}};
  if ((settings & 128U) != 0) s.budget = schedule::Budget{e, s.zone, 2 * s.cost.Most()};
  schedule::Situation at;
  at.now = now;
  at.decided = now > cron::kFirstInstant && now < cron::kLastInstant ? now - now / 1000 : 0;
  const schedule::Decision d = Decide(s, at);
  RACKMARK_CHECK(d == Decide(s, at) && d.decided >= at.decided);
  RACKMARK_CHECK(!d.start || (*d.start <= now && *d.start == d.decided && !d.held));
  RACKMARK_CHECK(!d.next || *d.next > std::min(now, cron::kLastInstant));
  at.decided = d.decided;
  const schedule::Decision again = Decide(s, at);
  RACKMARK_CHECK(!again.start && !again.missed && again.held == d.held);
}

}  // namespace
}  // namespace rackmark::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rackmark;
  if (size < 9) return 0;
  Nanos now = 0;
  std::memcpy(&now, data, 8);
  const unsigned settings = data[8];
  const auto e = cron::Parse(fuzz::AsText(data + 9, size - 9));
  if (!e.ok()) {
    fuzz::CheckRefusal(e.status());
    return 0;
  }
  const auto again = cron::Parse(cron::Format(*e));
  RACKMARK_CHECK(again.ok() && *again == *e);
  fuzz::CheckInstants(*e, fuzz::ZoneOf(settings), now);
  fuzz::CheckDecision(*e, now, settings);
  return 0;
}

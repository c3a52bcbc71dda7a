// What the tests of this room begin from: times and schedules in few words.
#pragma once

#include <string>

#include "common/zone.h"
#include "coordinator/schedule/schedule.h"

namespace rackmark::schedule {

constexpr Nanos kMinute = 60 * kSecond, kHour = 60 * kMinute, kDay = 24 * kHour;

inline absl::TimeZone ZoneOf(const char* name) {
  const auto zone = FindZone(name);
  RACKMARK_CHECK(zone.ok());
  return *zone;
}

// "2026-11-21T02:00:00Z"
inline Nanos At(const std::string& rfc3339) {
  absl::Time time;
  std::string error;
  RACKMARK_CHECK(absl::ParseTime(absl::RFC3339_full, rfc3339, &time, &error));
  return absl::ToUnixNanos(time);
}

inline cron::Expression When(const char* text) {
  const auto e = cron::Parse(text);
  RACKMARK_CHECK(e.ok());
  return *e;
}

inline Schedule Nightly(const char* when = "0 2 * * *", const char* zone = "UTC") {
  Schedule s;
  s.id = ScheduleId{7};
  s.when = When(when);
  s.zone = ZoneOf(zone);
  return s;
}

}  // namespace rackmark::schedule

// Clocks (PROTOCOL 2). Only main.cc files and shells hold one; everything pure takes times as
// arguments. A Clock is thread-safe.
#pragma once

#include <cstdint>
#include <string>

#include "common/status.h"

namespace rackmark {

// ns; differences of one clock only. Durations never cross clocks.
using Nanos = int64_t;

constexpr Nanos kMicrosecond = 1000;
constexpr Nanos kMillisecond = 1000 * kMicrosecond;
constexpr Nanos kSecond = 1000 * kMillisecond;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Nanos Monotonic() const = 0;  // CLOCK_MONOTONIC: stamps and durations
  virtual Nanos Boottime() const = 0;   // CLOCK_BOOTTIME: fencing, goes on in suspend
  virtual Nanos Unix() const = 0;       // wall clock, for people only
};

// The machine's clocks. Lives for ever.
const Clock& SystemClock();

// A clock that moves only when told. Tests and simulation.
class ManualClock : public Clock {
 public:
  explicit ManualClock(Nanos start) : now_(start) {}
  Nanos Monotonic() const override { return now_; }
  Nanos Boottime() const override { return now_; }
  Nanos Unix() const override { return now_; }
  void Advance(Nanos by) { now_ += by; }

 private:
  Nanos now_;
};

// The kernel's boot id, e.g. "7b1d...": the domain of its CLOCK_MONOTONIC stamps.
absl::StatusOr<std::string> BootId();

// "1.5 s", "230 ms", "12 us": for people, three significant digits.
std::string FormatDuration(Nanos duration);
// RFC 3339 in UTC, for people: "2026-01-31T08:00:00Z".
std::string FormatUnixTime(Nanos unix_ns);

}  // namespace rackmark

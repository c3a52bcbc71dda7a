#include "common/time.h"

#include <ctime>
#include <fstream>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"

namespace rackmark {
namespace {

Nanos Read(clockid_t id) {
  timespec t{};
  RACKMARK_CHECK(clock_gettime(id, &t) == 0);
  return static_cast<Nanos>(t.tv_sec) * kSecond + t.tv_nsec;
}

class MachineClock : public Clock {
 public:
  Nanos Monotonic() const override { return Read(CLOCK_MONOTONIC); }
  Nanos Boottime() const override { return Read(CLOCK_BOOTTIME); }
  Nanos Unix() const override { return Read(CLOCK_REALTIME); }
};

}  // namespace

const Clock& SystemClock() {
  static const MachineClock* const clock = new MachineClock;
  return *clock;
}

absl::StatusOr<std::string> BootId() {
  std::ifstream in("/proc/sys/kernel/random/boot_id");
  std::string id;
  if (!std::getline(in, id) || id.empty()) {
    return absl::UnavailableError("cannot read /proc/sys/kernel/random/boot_id; is /proc mounted?");
  }
  return id;
}

std::string FormatDuration(Nanos duration) {
  const double ns = static_cast<double>(duration);
  const double magnitude = ns < 0 ? -ns : ns;
  if (magnitude >= 60e9) {
    const auto seconds = duration / kSecond;
    return absl::StrFormat("%d min %02d s", seconds / 60, seconds % 60);
  }
  if (magnitude >= 1e9) return absl::StrFormat("%.3g s", ns / 1e9);
  if (magnitude >= 1e6) return absl::StrFormat("%.3g ms", ns / 1e6);
  if (magnitude >= 1e3) return absl::StrFormat("%.3g us", ns / 1e3);
  return absl::StrFormat("%d ns", duration);
}

std::string FormatUnixTime(Nanos unix_ns) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixNanos(unix_ns), absl::UTCTimeZone());
}

}  // namespace rackmark

// How the machine feels, about once a second while a run is on it: points of the host.* and
// daemon.* series. Keeps the last tick, because busy shares are differences. Owned by the daemon's
// loop; one thread. Never blocks: it reads kernel text only.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/series.h"
#include "common/time.h"
#include "worker/device/machine_files.h"
#include "worker/device/proc_text.h"

namespace rackmark {

struct TelemetryPoint {
  SeriesId series;
  Nanos t_ns;  // CLOCK_MONOTONIC
  double value;
};

class Telemetry {
 public:
  Telemetry(MachineFiles files, Nanos interval);

  // When the next tick is due: at once after the start or Reset.
  Nanos due() const { return due_; }
  // Points of the tick that is due at `now`; empty before it. A tick that comes late is one point
  // late, with its lateness recorded; the ticks that it missed are not made up.
  std::vector<TelemetryPoint> Tick(Nanos now);
  // Nobody listened for a while: the next tick is a first one.
  void Reset();

 private:
  MachineFiles files_;
  const Nanos interval_;
  Nanos due_ = 0;
  bool first_ = true;
  std::optional<CpuTicks> last_cpu_;
};

// Resident bytes of a process; missing if it is gone or a zombie.
std::optional<uint64_t> ProcessRss(const MachineFiles& files, int pid);
// Start time of a live process in ticks since boot; missing if it is gone or a zombie.
std::optional<uint64_t> ProcessStart(const MachineFiles& files, int pid);
// The process has crashed and its memory is being written to a core file.
bool DumpsCore(const MachineFiles& files, int pid);

}  // namespace rackmark

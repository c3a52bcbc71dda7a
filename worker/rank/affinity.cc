#include "worker/rank/affinity.h"

#include <sched.h>

#include <cerrno>
#include <cstring>

namespace rackmark {

absl::Status PinToCpus(const std::vector<uint32_t>& cpus) {
  if (cpus.empty()) return absl::OkStatus();
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const uint32_t cpu : cpus) {
    if (cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
  }
  if (sched_setaffinity(0, sizeof set, &set) == 0) return absl::OkStatus();
  const int error = errno;
  return absl::UnimplementedError(absl::StrCat(
      "this rank cannot run on its device's ", cpus.size(), " CPUs, the first is ", cpus.front(),
      ": ", std::strerror(error), "; the worker's device list does not fit this machine"));
}

}  // namespace rackmark

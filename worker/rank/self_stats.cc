#include "worker/rank/self_stats.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

namespace rackmark {

std::optional<uint64_t> ResidentBytes() {
  const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::array<char, 128> text{};
  const ssize_t n = read(fd, text.data(), text.size() - 1);
  close(fd);
  if (n <= 0) return std::nullopt;
  char* end = nullptr;
  std::strtoull(text.data(), &end, 10);  // the first field is the virtual size
  char* resident_end = nullptr;
  const uint64_t pages = std::strtoull(end, &resident_end, 10);
  if (resident_end == end) return std::nullopt;
  return pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

std::optional<double> CpuSeconds() {
  timespec t{};
  if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) != 0) return std::nullopt;
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

}  // namespace rackmark

// Parsers of kernel text: text in, numbers out, missing where the text is not what it should be.
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rackmark {

struct MemoryInfo {
  uint64_t total_bytes;
  uint64_t available_bytes;
};
std::optional<MemoryInfo> ParseMemInfo(std::string_view meminfo);

// Of all CPUs, in ticks since boot.
struct CpuTicks {
  uint64_t busy;
  uint64_t total;
};
std::optional<CpuTicks> ParseCpuTicks(std::string_view proc_stat);

// Sums over all interfaces, the loopback too: ranks of one host talk over it.
struct NetworkBytes {
  uint64_t received;
  uint64_t sent;
};
std::optional<NetworkBytes> ParseNetDev(std::string_view net_dev);

struct ProcessStat {
  char state;            // 'R', 'S', 'Z', ...
  uint64_t cpu_ticks;    // user + system
  uint64_t start_ticks;  // since boot: with the pid it names a process for ever
  uint64_t rss_pages;
};
std::optional<ProcessStat> ParseProcessStat(std::string_view pid_stat);

std::optional<std::string> ParseOsName(std::string_view os_release);
std::optional<std::string> ParseCpuModel(std::string_view cpuinfo);
// Of the first CPU, only those that decide how fast our kernels run, in a fixed order.
std::vector<std::string> ParseCpuFlags(std::string_view cpuinfo);

}  // namespace rackmark

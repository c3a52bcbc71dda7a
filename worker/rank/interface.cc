#include "worker/rank/interface.h"

#include <cstdint>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string_view>

namespace rackmark {
namespace {

std::string Contents(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

absl::StatusOr<std::string> DefaultInterfaceIn(const std::string& ipv4, const std::string& ipv6) {
  std::string best;
  uint64_t best_metric = UINT64_MAX;
  std::istringstream lines(ipv4);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name, destination, gateway, flags, references, use, mask;
    uint64_t metric = 0;
    words >> name >> destination >> gateway >> flags >> references >> use >> metric >> mask;
    if (!words || destination != "00000000" || mask != "00000000") continue;
    if (metric >= best_metric) continue;
    best = name;
    best_metric = metric;
  }
  if (!best.empty()) return best;
  lines = std::istringstream(ipv6);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string destination, bits, name;
    words >> destination >> bits;
    while (words >> name) {
    }
    const bool any = destination == std::string(32, '0') && bits == "00";
    // The kernel keeps an unreachable default route on the loopback interface.
    if (any && !name.empty() && name != "lo") return name;
  }
  return absl::NotFoundError("this host has no default route; name a network with --interface");
}

absl::StatusOr<std::string> DefaultInterface() {
  return DefaultInterfaceIn(Contents("/proc/net/route"), Contents("/proc/net/ipv6_route"));
}

}  // namespace rackmark

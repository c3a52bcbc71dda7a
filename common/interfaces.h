// The network interfaces of this machine that have an address to listen on. Reads the kernel's list
// at each call, because networks come and go. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"

namespace rackmark {

struct NetworkInterface {
  std::string name;  // "eth0"
  bool up = false;
  bool has_address = false;  // IPv4, or IPv6 that means something without a scope
};
// By name, each once.
absl::StatusOr<std::vector<NetworkInterface>> NetworkInterfaces();

// NOT_FOUND, with what is wrong and the names that would do, unless `name` can be listened on.
absl::Status CheckInterface(std::string_view name);
absl::Status CheckInterfaceAmong(std::string_view name, const std::vector<NetworkInterface>& there);

}  // namespace rackmark

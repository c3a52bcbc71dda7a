// The network interface of the default route, as the kernel's tables say. Any thread.
#pragma once

#include <string>

#include "common/status.h"

namespace rackmark {

// NOT_FOUND, with the remedy, if there is no default route.
absl::StatusOr<std::string> DefaultInterface();

// The same from the text of /proc/net/route and /proc/net/ipv6_route.
absl::StatusOr<std::string> DefaultInterfaceIn(const std::string& ipv4, const std::string& ipv6);

}  // namespace rackmark

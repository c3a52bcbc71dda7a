// Where a coordinator listens: "unix:/path/to/socket" or "host:port". A value.
#pragma once

#include <string>
#include <string_view>

#include "common/status.h"

namespace rackmark {

struct Endpoint {
  enum class Kind { kUnix, kTcp };
  Kind kind = Kind::kUnix;
  std::string address;  // the socket's path, or host:port

  // "unix:/path" or "host:port", as it was written.
  std::string ToString() const;
  // A unix socket, or a TCP address that no other machine can reach.
  bool IsLocal() const;
};

// INVALID_ARGUMENT with the remedy: no scheme, no port, a path over the kernel's 107 bytes.
absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text);

}  // namespace rackmark

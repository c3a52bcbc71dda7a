// A client's way to a coordinator, with the bounds of limits.h and the credentials of the factory.
#pragma once

#include <memory>

#include "common/status.h"
#include "grpcpp/channel.h"
#include "rpc/endpoint.h"
#include "rpc/limits.h"
#include "rpc/security.h"

namespace rackmark {

// When an idle connection is asked for a sign of life, and how long the answer may take.
struct Pings {
  int after_ms = kKeepaliveTimeMs;
  int timeout_ms = kKeepaliveTimeoutMs;
};

// Does not wait for the connection. The channel reconnects by itself, at most every 2 s, and adds
// the caller's token to each call.
absl::StatusOr<std::shared_ptr<grpc::Channel>> Dial(const Endpoint&, const Security&, Pings = {});

}  // namespace rackmark

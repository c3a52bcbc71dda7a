// What a coordinator that stands by answers to every call, and how the caller reads it: status
// FAILED_PRECONDITION whose details (a google.protobuf.Any) hold v1::NotLeader. Values, any thread.
#pragma once

#include <optional>
#include <string>

#include "common/status.h"
#include "grpcpp/support/status.h"
#include "rackmark/v1/cluster.pb.h"

namespace rackmark {

// `leader`: as it announced itself; empty: nobody leads just now.
grpc::Status NotLeaderStatus(const std::string& leader);

// Of a status that FromGrpc made. Missing: it says something else.
std::optional<v1::NotLeader> NotLeaderOf(const absl::Status& status);

}  // namespace rackmark

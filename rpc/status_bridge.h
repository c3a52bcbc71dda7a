// absl::Status <-> grpc::Status: same codes, same words.
#pragma once

#include "common/status.h"
#include "grpcpp/support/status.h"

namespace rackmark {

inline grpc::Status ToGrpc(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

// With what NotLeaderOf (not_leader.h) reads of it.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace rackmark

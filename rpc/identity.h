// PROTOCOL 1's identity: made for every message sent, checked in every message received.
#pragma once

#include <string>
#include <string_view>

#include "common/status.h"
#include "rackmark/v1/cluster.pb.h"

namespace rackmark {

v1::Identity MakeIdentity(std::string_view cluster_id, uint64_t epoch,
                          std::string_view incarnation);

// "<boot_id>/<16 hex digits>", new with each call.
absl::StatusOr<std::string> NewIncarnation();

// FAILED_PRECONDITION, naming both ranges and the remedy, if no version is common.
absl::Status CheckProtocol(const v1::Identity& theirs);

// FAILED_PRECONDITION if they speak of another cluster; an empty id has not met one yet.
absl::Status CheckCluster(const v1::Identity& theirs, std::string_view our_cluster_id);

// What CheckProtocol's message begins with, so that a client can tell it from other refusals.
inline constexpr std::string_view kProtocolMismatch = "no common protocol version";

}  // namespace rackmark

// Makes the Report of what this worker is doing. Pure. Loop thread.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "common/time.h"
#include "rackmark/v1/worker_api.pb.h"
#include "worker/daemon/local_state.h"

namespace rackmark {

// A process that is still there that long after SIGKILL makes its device unhealthy.
constexpr Nanos kUnkillable = 5 * kSecond;

// What all cards of a Report may hold of Gloo: the rest of the message is for all else.
constexpr size_t kGlooBytesMax = 5 << 19;

// Leases, devices and streams; identity, node and stamps are the session's.
v1::Report BuildReport(const LocalState& state, std::vector<v1::StreamReport> streams, Nanos now);

// Equal for Reports that tell the coordinator nothing new: what changes by itself all the time
// (memory, how far a run and the uplink are) waits for the next regular one.
std::string Fingerprint(v1::Report report);

}  // namespace rackmark

// Rank 0 to all others: small messages in order, each received by every rank once. Carries the step
// plans of a serving gang (PROTOCOL 5). Bounded: Send blocks while the slowest reader is a whole
// ring behind. One thread per end; the channel dies with Collective::Abort of the same segment.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "common/status.h"
#include "common/time.h"

namespace rackmark {

constexpr size_t kHostMessageMax = 8192;

class HostChannel {
 public:
  virtual ~HostChannel() = default;
  virtual int rank() const = 0;
  virtual int world() const = 0;

  // Rank 0 only. Returns how long it was blocked. DEADLINE_EXCEEDED names the slowest reader;
  // nothing was sent then, and the channel still works. More than kHostMessageMax:
  // INVALID_ARGUMENT. Aborted: UNAVAILABLE.
  virtual absl::StatusOr<Nanos> Send(std::string_view message, Nanos limit) = 0;
  // Other ranks only. Fills message and returns the wait. After DEADLINE_EXCEEDED nothing was
  // lost: call again.
  virtual absl::StatusOr<Nanos> Receive(std::string& message, Nanos limit) = 0;
};

}  // namespace rackmark

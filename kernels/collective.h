// Collectives between the ranks of a gang, and how long each waited for the others. One object per
// rank, used by one thread; Abort() alone may be called from any thread. All ranks make the same
// calls in the same order: a difference is found and named. After any error the communicator is
// dead, for all ranks (PROTOCOL 4: an abort needs a new generation).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "common/status.h"
#include "common/time.h"

namespace rackmark {

// Stamps are CLOCK_MONOTONIC of one host. wait + transfer is the whole call.
struct CollectiveTiming {
  Nanos wait = 0;      // own arrival to last arrival
  Nanos transfer = 0;  // last arrival to own result
  Nanos lateness = 0;  // first arrival to own arrival: the late rank is the one to look at
  uint64_t bytes = 0;  // S of kernels/MEASURING.md
};

class Collective {
 public:
  virtual ~Collective() = default;
  virtual int rank() const = 0;
  virtual int world() const = 0;

  // data (n) becomes the sum over ranks, added in one binary tree over rank numbers (stride 1, then
  // 2, then 4): the same bits on every rank, for every n, whatever the algorithm.
  virtual absl::StatusOr<CollectiveTiming> AllReduceSum(float* data, size_t n) = 0;
  // all (world, bytes) = everybody's `mine` (bytes), in rank order. mine may be its own place in
  // all.
  virtual absl::StatusOr<CollectiveTiming> AllGather(const void* mine, size_t bytes, void* all) = 0;
  // data (bytes) of root becomes everybody's.
  virtual absl::StatusOr<CollectiveTiming> Broadcast(int root, void* data, size_t bytes) = 0;
  virtual absl::StatusOr<CollectiveTiming> Barrier() = 0;

  // How long one call may take; then DEADLINE_EXCEEDED, naming the ranks that did not arrive.
  virtual void SetCallLimit(Nanos limit) = 0;
  // Every blocked and later call of every rank returns UNAVAILABLE. Any thread.
  virtual void Abort() = 0;
};

constexpr Nanos kDefaultCallLimit = 30 * kSecond;

// A world of one: every call succeeds at once and leaves the data as they are.
std::unique_ptr<Collective> MakeSoloCollective();

// out (n) = the sum of world rows, each (n), in the tree order that AllReduceSum promises. This is
// also the order in which deterministic matmul adds its segments.
void TreeSum(const float* const* rows, int world, size_t n, float* out);

}  // namespace rackmark

// The Collective of GPUs, on NCCL. Data are in device memory. Every call is non-blocking and polled
// with a deadline (communicator's asynchronous error and the stream), so that a missing rank or a
// hung device ends in an error, never in a wait for ever. Owned by the rank's runner, used by its
// thread; Abort() by any.
//
// Sums are added in the tree that kernels/collective.h promises, by gathering and adding here;
// `native_order` leaves the order to NCCL: faster for large data, the same bits on every rank, but
// other bits for another number of ranks, size or NCCL version.
//
// NCCL cannot tell waiting from moving: a call's whole time stands in `transfer`, and `wait` and
// `lateness` stay 0.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "kernels/collective.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/device.h"
#include "kernels/teardown.h"

namespace rackmark {

// For rank 0's card; 128 bytes. Made by the process of rank 0, after NCCL_SOCKET_IFNAME is set: its
// thread serves the meeting, of one communicator. Needs no device.
absl::StatusOr<std::string> MakeNcclId();
// "2.28.9", of the library that was loaded.
std::string NcclVersion();

class NcclCollective : public Collective {
 public:
  struct Options {
    int rank = 0;
    int world = 1;
    std::string id;  // rank 0's
    Nanos meeting_limit = 60 * kSecond;
    bool native_order = false;
    const Clock* clock = &SystemClock();
    // Set by whoever wants the meeting to end early; must outlive the collective.
    std::atomic<bool>* aborted = nullptr;
    // What ends the process if the communicator cannot be aborted in kTeardownLimit; needed.
    OnStuck on_stuck;
  };
  // Meets the others. The objects outlive the collective.
  static absl::StatusOr<std::unique_ptr<NcclCollective>> Connect(const CudaDevice* device,
                                                                 const CudaStream* stream,
                                                                 CudaOps* ops,
                                                                 const Options& options);
  ~NcclCollective() override;

  int rank() const override;
  int world() const override;
  absl::StatusOr<CollectiveTiming> AllReduceSum(float* data, size_t n) override;
  absl::StatusOr<CollectiveTiming> AllGather(const void* mine, size_t bytes, void* all) override;
  absl::StatusOr<CollectiveTiming> Broadcast(int root, void* data, size_t bytes) override;
  absl::StatusOr<CollectiveTiming> Barrier() override;
  void SetCallLimit(Nanos limit) override;
  void Abort() override;

  // Aborts the communicator for good; every later call is UNAVAILABLE.
  absl::Status Close();
  // One all-reduce and one all-gather of numbers that are known exactly (kernels/verify.h), checked
  // on the host. DATA_LOSS with the first wrong element.
  absl::Status Verify(uint64_t seed, size_t n);

 private:
  struct Impl;
  explicit NcclCollective(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace rackmark

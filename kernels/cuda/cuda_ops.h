// The CUDA twins of kernels/ops.h: the same shapes and the same meaning, on device memory, with a
// status instead of nothing, because a launch can fail. What is here is what is written and tested
// so far; when all of Ops is, this becomes one. Work is queued on the stream; nothing waits but
// ReadBandwidth. One object per rank, used by one thread.
//
// The order promise of kernels/ops.h holds for all but MatMul: its bits depend on the shape, the
// device and the cuBLAS version, because the library picks another kernel for another m or n. For
// one shape on one machine they are the same each time. So k_segments above 1, which promises bits,
// is refused.
#pragma once

#include <cstddef>
#include <memory>

#include "kernels/bf16.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/matmul_lt.h"
#include "kernels/ops.h"

namespace rackmark {

class CudaOps {
 public:
  // Both outlive it.
  static absl::StatusOr<std::unique_ptr<CudaOps>> Create(const CudaDevice* device,
                                                         const CudaStream* stream);

  absl::Status RmsNorm(const Ops::Norm& shape, const float* x, const Bf16* weight, float* out);
  // x += residual, then the norm of x, in one pass over memory.
  absl::Status AddRmsNorm(const Ops::Norm& shape, const float* residual, float* x,
                          const Bf16* weight, float* out);
  // x in fp32 is rounded to bf16 first, which is what the tensor cores multiply; sums are fp32.
  absl::Status MatMul(const MatMulShape& shape, const float* x, const Bf16* w, float* y);
  absl::Status MatMul(const MatMulShape& shape, const Bf16* x, const Bf16* w, float* y);
  absl::Status ToBf16(const float* x, size_t n, Bf16* out);
  // rows (count, n) lie one after the other; the tree of kernels/collective.h.
  absl::Status TreeSum(const float* rows, int count, size_t n, float* out);
  // The buffer must be 16-byte aligned. QueueRead only queues; ReadBandwidth waits for the sum.
  absl::Status QueueRead(const void* buffer, size_t bytes);
  absl::StatusOr<ReadPass> ReadBandwidth(const void* buffer, size_t bytes, const Watch& watch);

 private:
  CudaOps(const CudaDevice* device, const CudaStream* stream) : device_(device), stream_(stream) {}

  const CudaDevice* const device_;
  const CudaStream* const stream_;
  std::unique_ptr<LtMatMul> matmul_;
  DeviceBuffer rounded_;  // x in bf16; grows to the largest that was asked for
  DeviceBuffer sum_;      // of ReadBandwidth
};

}  // namespace rackmark

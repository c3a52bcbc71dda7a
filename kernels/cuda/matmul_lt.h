// y (m, n) in fp32 = x (m, k) * W (n, k)^T, both bf16, by cuBLASLt with fp32 sums. Keeps one plan
// (descriptors and the chosen kernel) per shape, so that no call looks for one again. Owned by
// CudaOps; one thread.
#pragma once

#include <memory>

#include "kernels/bf16.h"
#include "kernels/cuda/device.h"
#include "kernels/ops.h"

namespace rackmark {

class LtMatMul {
 public:
  static absl::StatusOr<std::unique_ptr<LtMatMul>> Create(const CudaStream* stream);
  virtual ~LtMatMul() = default;
  // Pointers are 16-byte aligned, k is a multiple of 8 and n of 4: what lets every row begin at 16
  // bytes. INVALID_ARGUMENT if not. Queues; does not wait.
  virtual absl::Status Queue(const MatMulShape& shape, const Bf16* x, const Bf16* w, float* y) = 0;
};

}  // namespace rackmark

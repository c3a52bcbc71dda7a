#include "kernels/cuda/cuda_ops.h"

#include "kernels/cuda/launch.h"

namespace rackmark {
namespace {

// Bf16 is its bits, and device code sees only those.
const uint16_t* Bits(const Bf16* data) { return reinterpret_cast<const uint16_t*>(data); }

}  // namespace

absl::StatusOr<std::unique_ptr<CudaOps>> CudaOps::Create(const CudaDevice* device,
                                                         const CudaStream* stream) {
  std::unique_ptr<CudaOps> ops(new CudaOps(device, stream));
  ASSIGN_OR_RETURN(ops->matmul_, LtMatMul::Create(stream));
  ASSIGN_OR_RETURN(ops->sum_,
                   DeviceBuffer::Allocate(sizeof(unsigned long long), device->ordinal()));
  return ops;
}

absl::Status CudaOps::RmsNorm(const Ops::Norm& shape, const float* x, const Bf16* weight,
                              float* out) {
  cuda::NormArguments arguments;
  arguments.shape = {shape.m, shape.hidden};
  arguments.epsilon = shape.epsilon;
  arguments.x = const_cast<float*>(x);  // only read where there is no residual
  arguments.weight = Bits(weight);
  arguments.out = out;
  return CUDA_STATUS(cuda::LaunchRmsNorm(arguments, stream_->get()), stream_->place());
}

absl::Status CudaOps::AddRmsNorm(const Ops::Norm& shape, const float* residual, float* x,
                                 const Bf16* weight, float* out) {
  const cuda::NormArguments arguments{
      {shape.m, shape.hidden}, shape.epsilon, x, residual, Bits(weight), out};
  return CUDA_STATUS(cuda::LaunchRmsNorm(arguments, stream_->get()), stream_->place());
}

absl::Status CudaOps::ToBf16(const float* x, size_t n, Bf16* out) {
  return CUDA_STATUS(cuda::LaunchToBf16(x, n, reinterpret_cast<uint16_t*>(out), stream_->get()),
                     stream_->place());
}

absl::Status CudaOps::MatMul(const MatMulShape& shape, const float* x, const Bf16* w, float* y) {
  const size_t n = static_cast<size_t>(shape.m) * static_cast<size_t>(shape.k);
  if (rounded_.bytes() < n * sizeof(Bf16)) {
    ASSIGN_OR_RETURN(rounded_, DeviceBuffer::Allocate(n * sizeof(Bf16), device_->ordinal()));
  }
  RETURN_IF_ERROR(ToBf16(x, n, rounded_.as<Bf16>()));
  return MatMul(shape, rounded_.as<Bf16>(), w, y);
}

absl::Status CudaOps::MatMul(const MatMulShape& shape, const Bf16* x, const Bf16* w, float* y) {
  if (shape.k_segments != 1) {
    return absl::UnimplementedError(
        "deterministic mode is not there on GPUs: cuBLAS promises no order of its sums; use "
        "deterministic: false, or gang.device: cpu");
  }
  return matmul_->Queue(shape, x, w, y);
}

absl::Status CudaOps::TreeSum(const float* rows, int count, size_t n, float* out) {
  return CUDA_STATUS(cuda::LaunchTreeSum(rows, count, n, out, stream_->get()), stream_->place());
}

absl::Status CudaOps::QueueRead(const void* buffer, size_t bytes) {
  RETURN_IF_ERROR(
      CUDA_STATUS(cudaMemsetAsync(sum_.data(), 0, sum_.bytes(), stream_->get()), stream_->place()));
  return CUDA_STATUS(cuda::LaunchReadSum(buffer, bytes, sum_.as<unsigned long long>(),
                                         device_->facts().multiprocessors, stream_->get()),
                     stream_->place());
}

absl::StatusOr<ReadPass> CudaOps::ReadBandwidth(const void* buffer, size_t bytes,
                                                const Watch& watch) {
  RETURN_IF_ERROR(QueueRead(buffer, bytes));
  unsigned long long sum = 0;
  RETURN_IF_ERROR(stream_->CopyOut(&sum, sum_.data(), sizeof sum, watch));
  return ReadPass{bytes, sum};
}

}  // namespace rackmark

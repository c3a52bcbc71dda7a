// The device code's entry points: what nvcc compiles, as plain functions of pointers into device
// memory and a stream. Each only queues work; the result is that of the launch. Neither abseil nor
// anything else of ours is included here, because nvcc pays seconds for it. Any thread that has set
// its device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace rackmark::cuda {

struct RowShape {
  int rows = 0;
  int columns = 0;
};

// out (rows, columns) = x / sqrt(mean(x^2) + epsilon) * weight. With `add` (rows, columns), x +=
// add first, in place: the residual that precedes every norm of a decoder.
struct NormArguments {
  RowShape shape;
  float epsilon = 0;
  float* x = nullptr;
  const float* add = nullptr;        // null: no residual, and x is only read
  const uint16_t* weight = nullptr;  // bf16 (columns)
  float* out = nullptr;
};
cudaError_t LaunchRmsNorm(const NormArguments& arguments, cudaStream_t stream);

// out (n) in bf16 = x (n), to nearest even.
cudaError_t LaunchToBf16(const float* x, size_t n, uint16_t* out, cudaStream_t stream);

// out (n) = the sum of rows (count, n), in the tree of strides 1, 2, 4 over row numbers.
cudaError_t LaunchTreeSum(const float* rows, int count, size_t n, float* out, cudaStream_t stream);

// *sum += the 64-bit words of buffer (bytes, 16-byte aligned), modulo 2^64, the last one padded
// with 0. `multiprocessors`: how many this device has.
cudaError_t LaunchReadSum(const void* buffer, size_t bytes, unsigned long long* sum,
                          int multiprocessors, cudaStream_t stream);

}  // namespace rackmark::cuda

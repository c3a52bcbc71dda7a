// The kernels behind launch.h. Each sums in an order that depends on the row's length only, never
// on how many rows there are: a batch must not change a token's bits.
#include "kernels/cuda/launch.h"

#include <cuda_bf16.h>

namespace rackmark::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kTreeDepth = 16;  // 2^16 ranks

__device__ float FromBits(uint16_t bits) {
  return __uint_as_float(static_cast<unsigned>(bits) << 16);
}

// The sum over the block, to all of its threads: lanes by halves, then warps in order.
__device__ float BlockSum(float value) {
  __shared__ float of_warp[kWarps];
  for (int offset = 16; offset > 0; offset /= 2) {
    value += __shfl_down_sync(0xffffffffU, value, offset);
  }
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0;
  for (int warp = 0; warp < kWarps; ++warp) sum += of_warp[warp];
  return sum;
}

// One block a row.
__global__ void __launch_bounds__(kThreads) RmsNormKernel(NormArguments a) {
  const size_t row = static_cast<size_t>(blockIdx.x) * static_cast<size_t>(a.shape.columns);
  float squares = 0;
  for (int i = static_cast<int>(threadIdx.x); i < a.shape.columns; i += kThreads) {
    float value = a.x[row + static_cast<size_t>(i)];
    if (a.add != nullptr) {
      value += a.add[row + static_cast<size_t>(i)];
      a.x[row + static_cast<size_t>(i)] = value;
    }
    squares = fmaf(value, value, squares);
  }
  const float mean = BlockSum(squares) / static_cast<float>(a.shape.columns);
  const float scale = 1.0F / sqrtf(mean + a.epsilon);
  // Each thread reads what it has itself written, so no barrier is needed for x.
  for (int i = static_cast<int>(threadIdx.x); i < a.shape.columns; i += kThreads) {
    const size_t at = row + static_cast<size_t>(i);
    a.out[at] = a.x[at] * scale * FromBits(a.weight[i]);
  }
}

__global__ void __launch_bounds__(kThreads) ToBf16Kernel(const float* x, size_t n, uint16_t* out) {
  const size_t step = static_cast<size_t>(gridDim.x) * kThreads;
  for (size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += step) {
    out[i] = __bfloat16_as_ushort(__float2bfloat16_rn(x[i]));
  }
}

// A binary counter of partial sums: partial[l] holds the sum of 2^l neighbouring rows.
__global__ void __launch_bounds__(kThreads)
    TreeSumKernel(const float* rows, int count, size_t n, float* out) {
  const size_t step = static_cast<size_t>(gridDim.x) * kThreads;
  for (size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += step) {
    float partial[kTreeDepth];
    for (int row = 0; row < count; ++row) {
      float carry = rows[static_cast<size_t>(row) * n + i];
      int level = 0;
      for (; (row >> level) & 1; ++level) carry = partial[level] + carry;
      partial[level] = carry;
    }
    // What is left has no power of two of rows: the rightmost, smallest trees join first.
    float sum = 0;
    bool first = true;
    for (int level = 0; level < kTreeDepth; ++level) {
      if (((count >> level) & 1) == 0) continue;
      sum = first ? partial[level] : partial[level] + sum;
      first = false;
    }
    out[i] = sum;
  }
}

__device__ unsigned long long Word(unsigned low, unsigned high) {
  return (static_cast<unsigned long long>(high) << 32) | low;
}

// Four 16-byte loads in flight a thread, to fill the memory's pipes (not measured yet).
__global__ void __launch_bounds__(kThreads)
    ReadSumKernel(const uint4* vectors, size_t count, const unsigned char* tail, int tail_bytes,
                  unsigned long long* sum) {
  unsigned long long mine = 0;
  const size_t step = static_cast<size_t>(gridDim.x) * kThreads;
  size_t i = static_cast<size_t>(blockIdx.x) * kThreads + threadIdx.x;
  for (; i + 3 * step < count; i += 4 * step) {
    uint4 v[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) v[j] = __ldcs(&vectors[i + static_cast<size_t>(j) * step]);
#pragma unroll
    for (int j = 0; j < 4; ++j) mine += Word(v[j].x, v[j].y) + Word(v[j].z, v[j].w);
  }
  for (; i < count; i += step) {
    const uint4 v = __ldcs(&vectors[i]);
    mine += Word(v.x, v.y) + Word(v.z, v.w);
  }
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    for (int b = 0; b < tail_bytes; ++b) {
      mine += static_cast<unsigned long long>(tail[b]) << (8 * (b % 8));
    }
  }
  for (int offset = 16; offset > 0; offset /= 2) {
    mine += __shfl_down_sync(0xffffffffU, mine, offset);
  }
  if (threadIdx.x % 32 == 0) atomicAdd(sum, mine);  // modulo 2^64, so the order is all the same
}

// Enough blocks for n elements, never more than keep any chip full.
unsigned BlocksFor(size_t n) {
  const size_t blocks = (n + kThreads - 1) / kThreads;
  return static_cast<unsigned>(blocks < 4096 ? blocks : 4096);
}

}  // namespace

cudaError_t LaunchRmsNorm(const NormArguments& arguments, cudaStream_t stream) {
  if (arguments.shape.rows == 0) return cudaSuccess;
  RmsNormKernel<<<static_cast<unsigned>(arguments.shape.rows), kThreads, 0, stream>>>(arguments);
  return cudaGetLastError();
}

cudaError_t LaunchToBf16(const float* x, size_t n, uint16_t* out, cudaStream_t stream) {
  if (n == 0) return cudaSuccess;
  ToBf16Kernel<<<BlocksFor(n), kThreads, 0, stream>>>(x, n, out);
  return cudaGetLastError();
}

cudaError_t LaunchTreeSum(const float* rows, int count, size_t n, float* out, cudaStream_t stream) {
  if (count < 1 || count >= (1 << kTreeDepth)) return cudaErrorInvalidValue;
  if (n == 0) return cudaSuccess;
  TreeSumKernel<<<BlocksFor(n), kThreads, 0, stream>>>(rows, count, n, out);
  return cudaGetLastError();
}

cudaError_t LaunchReadSum(const void* buffer, size_t bytes, unsigned long long* sum,
                          int multiprocessors, cudaStream_t stream) {
  if (reinterpret_cast<uintptr_t>(buffer) % sizeof(uint4) != 0) return cudaErrorInvalidValue;
  const size_t count = bytes / sizeof(uint4);
  const auto* tail = static_cast<const unsigned char*>(buffer) + count * sizeof(uint4);
  const auto blocks = static_cast<unsigned>(multiprocessors > 0 ? multiprocessors * 8 : 1);
  ReadSumKernel<<<blocks, kThreads, 0, stream>>>(static_cast<const uint4*>(buffer), count, tail,
                                                 static_cast<int>(bytes % sizeof(uint4)), sum);
  return cudaGetLastError();
}

}  // namespace rackmark::cuda

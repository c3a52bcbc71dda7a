// The few inner loops that a CPU path brings; everything else is shared by all paths (cpu_ops.cc).
// Pure functions. Each element is computed in an order that depends on its own k (or d, or n)
// alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernels/bf16.h"

namespace rackmark {

// Activations are packed before a product: rows of a whole number of kPackColumns columns, in the
// order that the path's matmul wants, zeros behind k. One cache line lies between two rows, because
// rows at a power of two apart would compete for the same few lines of a cache.
constexpr int kPackColumns = 16;
constexpr size_t PackedStride(int k) {
  return static_cast<size_t>((k + 2 * kPackColumns - 1) / kPackColumns * kPackColumns);
}

// out (m, PackedStride(k)) = x (m, k; ldx), packed
struct PackPiece {
  int m = 0;
  int k = 0;
  size_t ldx = 0;
};

// y (m, n; row stride ldy) = x (m, k; packed, ldx) * w (n, k; ldw)^T
struct MatMulPiece {
  int m = 0;
  int n = 0;
  int k = 0;
  size_t ldx = 0;
  size_t ldw = 0;
  size_t ldy = 0;
};

// out (m, d) += p (m, t; row stride ldp) * v (t, d), t added in rising order
struct WeighPiece {
  int m = 0;
  int t = 0;
  int d = 0;
  size_t ldp = 0;
};

struct CpuKernels {
  std::string_view name;
  void (*pack)(const PackPiece& s, const float* x, float* out);
  void (*matmul)(const MatMulPiece& s, const float* x, const Bf16* w, float* y);
  void (*weigh)(const WeighPiece& s, const float* p, const Bf16* v, float* out);
  // scores (n) = exp((scores - max) * scale); returns their sum.
  float (*exponentials)(float* scores, int n, float max, float scale);
  void (*swiglu)(size_t n, const float* gate, const float* up, float* out);
  uint64_t (*sum_words)(const unsigned char* bytes, size_t words);  // 8 bytes each, any alignment
};

const CpuKernels& PortableKernels();
// nullptr: not built for this architecture. The CPU must have AVX2 and FMA.
const CpuKernels* Avx2Kernels();

}  // namespace rackmark

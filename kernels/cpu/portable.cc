// The path of every CPU: plain loops, eight lanes where a compiler may use vectors. One function
// per element of a product, so that its order cannot depend on the tile that it falls into.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cpu/kernels.h"

namespace rackmark {
namespace {

constexpr int kLanes = 8;

float Dot(const float* x, const Bf16* w, int k) {
  float lanes[kLanes] = {};
  int i = 0;
  for (; i + kLanes <= k; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) lanes[j] += x[i + j] * ToFloat(w[i + j]);
  }
  for (int j = 0; i + j < k; ++j) lanes[j] += x[i + j] * ToFloat(w[i + j]);
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

// This path wants no order but the plain one.
void Pack(const PackPiece& s, const float* x, float* out) {
  const size_t columns = static_cast<size_t>(s.k);
  const size_t stride = PackedStride(s.k);
  for (int m = 0; m < s.m; ++m, x += s.ldx, out += stride) {
    std::copy_n(x, columns, out);
    std::fill(out + columns, out + stride, 0.0F);
  }
}

void MatMul(const MatMulPiece& s, const float* x, const Bf16* w, float* y) {
  for (int n = 0; n < s.n; ++n) {
    const Bf16* row = w + static_cast<size_t>(n) * s.ldw;
    for (int m = 0; m < s.m; ++m) {
      const size_t token = static_cast<size_t>(m);
      y[token * s.ldy + static_cast<size_t>(n)] = Dot(x + token * s.ldx, row, s.k);
    }
  }
}

void Weigh(const WeighPiece& s, const float* p, const Bf16* v, float* out) {
  for (int m = 0; m < s.m; ++m) {
    float* to = out + static_cast<ptrdiff_t>(m) * s.d;
    for (int t = 0; t < s.t; ++t) {
      const float weight = p[static_cast<size_t>(m) * s.ldp + static_cast<size_t>(t)];
      const Bf16* from = v + static_cast<ptrdiff_t>(t) * s.d;
      for (int d = 0; d < s.d; ++d) to[d] += weight * ToFloat(from[d]);
    }
  }
}

float Exponentials(float* scores, int n, float max, float scale) {
  float sum = 0;
  for (int i = 0; i < n; ++i) {
    scores[i] = std::exp((scores[i] - max) * scale);
    sum += scores[i];
  }
  return sum;
}

void SwiGlu(size_t n, const float* gate, const float* up, float* out) {
  for (size_t i = 0; i < n; ++i) out[i] = gate[i] / (1.0F + std::exp(-gate[i])) * up[i];
}

uint64_t SumWords(const unsigned char* bytes, size_t words) {
  uint64_t sums[4] = {};
  size_t i = 0;
  for (; i + 4 <= words; i += 4) {
    uint64_t four[4];
    std::memcpy(four, bytes + 8 * i, sizeof(four));
    for (int j = 0; j < 4; ++j) sums[j] += four[j];
  }
  for (; i < words; ++i) {
    uint64_t one;
    std::memcpy(&one, bytes + 8 * i, sizeof(one));
    sums[0] += one;
  }
  return sums[0] + sums[1] + sums[2] + sums[3];
}

}  // namespace

const CpuKernels& PortableKernels() {
  static constexpr CpuKernels kKernels = {"portable",   Pack,   MatMul,  Weigh,
                                          Exponentials, SwiGlu, SumWords};
  return kKernels;
}

}  // namespace rackmark

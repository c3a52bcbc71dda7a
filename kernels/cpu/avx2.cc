// AVX2 and FMA. Chosen at run time: functions carry a target attribute, the file no -m option, so
// that no inline function of a header is compiled for a CPU that may not be there.
#include "kernels/cpu/kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cmath>
#include <cstring>

#define RACKMARK_AVX2 __attribute__((target("avx2,fma")))

namespace rackmark {
namespace {

constexpr int kLanes = 8;

RACKMARK_AVX2 inline __m256 Widen(const Bf16* p) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

RACKMARK_AVX2 inline float SumLanes(__m256 v) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

RACKMARK_AVX2 inline __m256i FirstLanes(int n) {
  const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), index);
}

// R rows of W against M tokens. Each output has one accumulator of 8 lanes, so R and M never change
// an element's order; R * M of 8 or more hides the latency of FMA. 4 x 3 fills the 16 registers and
// needs the fewest loads per FMA: 2 x 6 and 2 x 4 were measured a fifth slower.
template <size_t R, size_t M>
RACKMARK_AVX2 void Tile(const MatMulPiece& s, const float* x, const Bf16* w, float* y) {
  __m256 sum[R][M];
  for (size_t r = 0; r < R; ++r) {
    for (size_t m = 0; m < M; ++m) sum[r][m] = _mm256_setzero_ps();
  }
  const int whole = s.k - s.k % kLanes;
  for (int k = 0; k < whole; k += kLanes) {
    __m256 tokens[M];
    for (size_t m = 0; m < M; ++m) {
      tokens[m] = _mm256_loadu_ps(x + m * s.ldx + k);
    }
    for (size_t r = 0; r < R; ++r) {
      const __m256 weights = Widen(w + r * s.ldw + k);
      for (size_t m = 0; m < M; ++m) sum[r][m] = _mm256_fmadd_ps(weights, tokens[m], sum[r][m]);
    }
  }
  if (whole < s.k) {
    const int rest = s.k - whole;
    for (size_t r = 0; r < R; ++r) {
      Bf16 padded[kLanes] = {};
      std::memcpy(padded, w + r * s.ldw + whole, static_cast<size_t>(rest) * sizeof(Bf16));
      const __m256 weights = Widen(padded);
      for (size_t m = 0; m < M; ++m) {
        const float* token = x + m * s.ldx + whole;
        sum[r][m] =
            _mm256_fmadd_ps(weights, _mm256_maskload_ps(token, FirstLanes(rest)), sum[r][m]);
      }
    }
  }
  for (size_t r = 0; r < R; ++r) {
    for (size_t m = 0; m < M; ++m) y[m * s.ldy + r] = SumLanes(sum[r][m]);
  }
}

template <size_t R, size_t M>
RACKMARK_AVX2 void Rows(const MatMulPiece& s, const float* x, const Bf16* w, float* y) {
  constexpr int kRows = static_cast<int>(R);
  int n = 0;
  for (; n + kRows <= s.n; n += kRows) Tile<R, M>(s, x, w + static_cast<size_t>(n) * s.ldw, y + n);
  for (; n < s.n; ++n) Tile<1, M>(s, x, w + static_cast<size_t>(n) * s.ldw, y + n);
}

RACKMARK_AVX2 void MatMul(const MatMulPiece& s, const float* x, const Bf16* w, float* y) {
  // Eight rows of W come from memory once and stay in the first cache for all tokens.
  constexpr int kBlock = 8;
  MatMulPiece block = s;
  for (int n = 0; n < s.n; n += kBlock) {
    block.n = s.n - n < kBlock ? s.n - n : kBlock;
    const Bf16* rows = w + static_cast<size_t>(n) * s.ldw;
    int m = 0;
    for (; m + 3 <= s.m; m += 3) {
      const size_t token = static_cast<size_t>(m);
      Rows<4, 3>(block, x + token * s.ldx, rows, y + token * s.ldy + n);
    }
    const size_t token = static_cast<size_t>(m);
    if (s.m - m == 2) Rows<4, 2>(block, x + token * s.ldx, rows, y + token * s.ldy + n);
    if (s.m - m == 1) Rows<8, 1>(block, x + token * s.ldx, rows, y + token * s.ldy + n);
  }
}

// G query heads against one kv head, 16 columns at a time.
template <size_t G>
RACKMARK_AVX2 void WeighHeads(const WeighPiece& s, const float* p, const Bf16* v, float* out) {
  const size_t dim = static_cast<size_t>(s.d);
  int d = 0;
  for (; d + 2 * kLanes <= s.d; d += 2 * kLanes) {
    __m256 low[G];
    __m256 high[G];
    for (size_t g = 0; g < G; ++g) {
      low[g] = _mm256_loadu_ps(out + g * dim + d);
      high[g] = _mm256_loadu_ps(out + g * dim + d + kLanes);
    }
    for (int t = 0; t < s.t; ++t) {
      const Bf16* row = v + static_cast<ptrdiff_t>(t) * s.d + d;
      const __m256 first = Widen(row);
      const __m256 second = Widen(row + kLanes);
      for (size_t g = 0; g < G; ++g) {
        const __m256 weight = _mm256_broadcast_ss(p + g * s.ldp + static_cast<size_t>(t));
        low[g] = _mm256_fmadd_ps(weight, first, low[g]);
        high[g] = _mm256_fmadd_ps(weight, second, high[g]);
      }
    }
    for (size_t g = 0; g < G; ++g) {
      _mm256_storeu_ps(out + g * dim + d, low[g]);
      _mm256_storeu_ps(out + g * dim + d + kLanes, high[g]);
    }
  }
  for (size_t g = 0; g < G; ++g) {
    for (int t = 0; t < s.t; ++t) {
      const float weight = p[g * s.ldp + static_cast<size_t>(t)];
      for (size_t e = static_cast<size_t>(d); e < dim; ++e) {
        float& to = out[g * dim + e];
        to = std::fma(weight, ToFloat(v[static_cast<size_t>(t) * dim + e]), to);
      }
    }
  }
}

RACKMARK_AVX2 void Weigh(const WeighPiece& s, const float* p, const Bf16* v, float* out) {
  int m = 0;
  for (; m + 4 <= s.m; m += 4) {
    WeighHeads<4>(s, p + static_cast<size_t>(m) * s.ldp, v, out + m * s.d);
  }
  for (; m < s.m; ++m) WeighHeads<1>(s, p + static_cast<size_t>(m) * s.ldp, v, out + m * s.d);
}

// exp by 2^n times a polynomial on [-ln2/2, ln2/2]; relative error below 2e-7 on the whole range of
// normal results, clamped outside of it. NaN stays NaN.
RACKMARK_AVX2 inline __m256 Exp(__m256 x) {
  x = _mm256_max_ps(_mm256_set1_ps(-87.0F), x);
  x = _mm256_min_ps(_mm256_set1_ps(88.0F), x);
  const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504F)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  // ln2 in two parts: n * ln2 is exact enough to be subtracted.
  __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375F), x);
  r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4F), r);
  __m256 p = _mm256_set1_ps(1.0F / 5040);
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F / 720));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F / 120));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F / 24));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F / 6));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5F));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0F));
  const __m256i power =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return _mm256_mul_ps(p, _mm256_castsi256_ps(power));
}

RACKMARK_AVX2 float Exponentials(float* scores, int n, float max, float scale) {
  const __m256 top = _mm256_set1_ps(max);
  const __m256 factor = _mm256_set1_ps(scale);
  __m256 sum = _mm256_setzero_ps();
  for (int i = 0; i < n; i += kLanes) {
    const __m256i mask = FirstLanes(n - i);
    const __m256 x = _mm256_maskload_ps(scores + i, mask);
    const __m256 e =
        _mm256_and_ps(Exp(_mm256_mul_ps(_mm256_sub_ps(x, top), factor)), _mm256_castsi256_ps(mask));
    _mm256_maskstore_ps(scores + i, mask, e);
    sum = _mm256_add_ps(sum, e);
  }
  return SumLanes(sum);
}

// The last elements use masks, not another formula: a shard's border must not change a bit.
RACKMARK_AVX2 void SwiGlu(size_t n, const float* gate, const float* up, float* out) {
  const __m256 one = _mm256_set1_ps(1.0F);
  for (size_t i = 0; i < n; i += kLanes) {
    const __m256i mask = FirstLanes(n - i < kLanes ? static_cast<int>(n - i) : kLanes);
    const __m256 g = _mm256_maskload_ps(gate + i, mask);
    const __m256 e = Exp(_mm256_sub_ps(_mm256_setzero_ps(), g));
    const __m256 silu = _mm256_div_ps(g, _mm256_add_ps(one, e));
    _mm256_maskstore_ps(out + i, mask, _mm256_mul_ps(silu, _mm256_maskload_ps(up + i, mask)));
  }
}

RACKMARK_AVX2 uint64_t SumWords(const unsigned char* bytes, size_t words) {
  __m256i sums[8];
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  size_t i = 0;
  for (; i + 32 <= words; i += 32) {
    const auto* from = reinterpret_cast<const __m256i*>(bytes + 8 * i);
    for (int j = 0; j < 8; ++j) sums[j] = _mm256_add_epi64(sums[j], _mm256_loadu_si256(from + j));
  }
  for (int j = 1; j < 8; ++j) sums[0] = _mm256_add_epi64(sums[0], sums[j]);
  uint64_t lanes[4];
  std::memcpy(lanes, &sums[0], sizeof(lanes));
  uint64_t total = lanes[0] + lanes[1] + lanes[2] + lanes[3];
  for (; i < words; ++i) {
    uint64_t one;
    std::memcpy(&one, bytes + 8 * i, sizeof(one));
    total += one;
  }
  return total;
}

}  // namespace

const CpuKernels* Avx2Kernels() {
  static constexpr CpuKernels kKernels = {"avx2", MatMul, Weigh, Exponentials, SwiGlu, SumWords};
  return &kKernels;
}

}  // namespace rackmark

#else
namespace rackmark {
const CpuKernels* Avx2Kernels() { return nullptr; }
}  // namespace rackmark
#endif

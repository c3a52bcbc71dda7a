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

// 16 weights are taken as two vectors: those of even and those of odd index. A bf16 is the upper
// half of a float, so each takes one cheap operation; keeping their order would take two or three.
RACKMARK_AVX2 inline __m256 WidenEven(const Bf16* p) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
}
RACKMARK_AVX2 inline __m256 WidenOdd(const Bf16* p) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000U));
  return _mm256_castsi256_ps(_mm256_and_si256(bits, upper));
}

// shuffle_ps works within halves: this puts its quarters where one expects them.
RACKMARK_AVX2 inline __m256 InOrder(__m256 v) {
  return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8));
}

// Each 16 columns as 8 even ones, then 8 odd ones: what WidenEven and WidenOdd give.
RACKMARK_AVX2 void Pack(const PackPiece& s, const float* x, float* out) {
  const size_t stride = PackedStride(s.k);
  for (int m = 0; m < s.m; ++m, x += s.ldx, out += stride) {
    for (int k = 0; k < s.k; k += kPackColumns) {
      const __m256 low = _mm256_maskload_ps(x + k, FirstLanes(s.k - k));
      const __m256 high = _mm256_maskload_ps(x + k + kLanes, FirstLanes(s.k - k - kLanes));
      const __m256 even = _mm256_shuffle_ps(low, high, 0x88);
      const __m256 odd = _mm256_shuffle_ps(low, high, 0xdd);
      _mm256_storeu_ps(out + k, InOrder(even));
      _mm256_storeu_ps(out + k + kLanes, InOrder(odd));
    }
  }
}

constexpr int kBlock = 8;  // rows of W that stay in the first cache for all tokens

// sum (R, M) += R rows of W times M tokens, 8 columns. The fewer of the two stay in registers.
template <size_t R, size_t M, __m256 (*Widen)(const Bf16*)>
RACKMARK_AVX2 inline void MultiplyHalf(const float* x, size_t ldx, const Bf16* w, size_t ldw,
                                       __m256 (&sum)[R][M]) {
  if constexpr (R <= M) {
    __m256 weights[R];
    for (size_t r = 0; r < R; ++r) weights[r] = Widen(w + r * ldw);
    for (size_t m = 0; m < M; ++m) {
      const __m256 token = _mm256_loadu_ps(x + m * ldx);
      for (size_t r = 0; r < R; ++r) sum[r][m] = _mm256_fmadd_ps(weights[r], token, sum[r][m]);
    }
  } else {
    __m256 tokens[M];
    for (size_t m = 0; m < M; ++m) tokens[m] = _mm256_loadu_ps(x + m * ldx);
    for (size_t r = 0; r < R; ++r) {
      const __m256 weights = Widen(w + r * ldw);
      for (size_t m = 0; m < M; ++m) sum[r][m] = _mm256_fmadd_ps(weights, tokens[m], sum[r][m]);
    }
  }
}

// 16 columns. Each output has one accumulator of 8 lanes, so R and M never change its order.
template <size_t R, size_t M>
RACKMARK_AVX2 inline void Multiply(const float* x, size_t ldx, const Bf16* w, size_t ldw,
                                   __m256 (&sum)[R][M]) {
  MultiplyHalf<R, M, WidenEven>(x, ldx, w, ldw, sum);
  // Loads the weights again: held since the first half they would push the sums out of registers.
  asm volatile("" : "+r"(w));
  MultiplyHalf<R, M, WidenOdd>(x + kLanes, ldx, w, ldw, sum);
}

// Fetch: these rows come from memory now, so the same rows of the next block are asked for, which
// the processor does not foresee: rows are too short to be streams.
template <size_t R, size_t M, bool Fetch>
RACKMARK_AVX2 void Tile(const MatMulPiece& s, const float* x, const Bf16* w, float* y) {
  __m256 sum[R][M];
  for (size_t r = 0; r < R; ++r) {
    for (size_t m = 0; m < M; ++m) sum[r][m] = _mm256_setzero_ps();
  }
  const int whole = s.k - s.k % kPackColumns;
  for (int k = 0; k < whole; k += kPackColumns) {
    if constexpr (Fetch) {
      for (size_t r = 0; r < R; ++r) {
        _mm_prefetch(reinterpret_cast<const char*>(w + (r + kBlock) * s.ldw + k), _MM_HINT_T0);
      }
    }
    Multiply<R, M>(x + k, s.ldx, w + k, s.ldw, sum);
  }
  if (whole < s.k) {
    Bf16 padded[R][kPackColumns] = {};
    for (size_t r = 0; r < R; ++r) {
      std::memcpy(padded[r], w + r * s.ldw + whole,
                  static_cast<size_t>(s.k - whole) * sizeof(Bf16));
    }
    Multiply<R, M>(x + whole, s.ldx, padded[0], kPackColumns, sum);
  }
  for (size_t r = 0; r < R; ++r) {
    for (size_t m = 0; m < M; ++m) y[m * s.ldy + r] = SumLanes(sum[r][m]);
  }
}

template <size_t R, size_t M, bool Fetch>
RACKMARK_AVX2 void Rows(const MatMulPiece& s, const float* x, const Bf16* w, float* y) {
  constexpr int kRows = static_cast<int>(R);
  int n = 0;
  for (; n + kRows <= s.n; n += kRows) {
    Tile<R, M, Fetch>(s, x, w + static_cast<size_t>(n) * s.ldw, y + n);
  }
  for (; n < s.n; ++n) Tile<1, M, Fetch>(s, x, w + static_cast<size_t>(n) * s.ldw, y + n);
}

// R * M of 8 or more hides the latency of FMA, 12 fill the 16 registers; two rows by six tokens
// widen each weight once for six uses.
template <bool Fetch>
RACKMARK_AVX2 void Tokens(const MatMulPiece& s, int m, const float* x, const Bf16* w, float* y) {
  switch (m) {
    case 1: return Rows<8, 1, Fetch>(s, x, w, y);
    case 2: return Rows<4, 2, Fetch>(s, x, w, y);
    case 3: return Rows<4, 3, Fetch>(s, x, w, y);
    case 4: return Rows<2, 4, Fetch>(s, x, w, y);
    case 5: return Rows<2, 5, Fetch>(s, x, w, y);
    default: return Rows<2, 6, Fetch>(s, x, w, y);
  }
}

RACKMARK_AVX2 void MatMul(const MatMulPiece& s, const float* x, const Bf16* w, float* y) {
  constexpr int kTokens = 6;
  // Rows longer than a page are streams that the hardware follows by itself; asking as well was
  // measured slower where nothing but loads takes time.
  constexpr size_t kPageElements = 4096 / sizeof(Bf16);
  const bool fetch = s.ldw < kPageElements || s.m > 2;
  MatMulPiece block = s;
  for (int n = 0; n < s.n; n += kBlock) {
    block.n = s.n - n < kBlock ? s.n - n : kBlock;
    const Bf16* rows = w + static_cast<size_t>(n) * s.ldw;
    // Groups of nearly equal size: one small group would waste its loads.
    int groups = (s.m + kTokens - 1) / kTokens;
    for (int m = 0; m < s.m; --groups) {
      const int size = (s.m - m + groups - 1) / groups;
      const size_t token = static_cast<size_t>(m);
      float* to = y + token * s.ldy + n;
      if (m == 0 && fetch) {
        Tokens<true>(block, size, x, rows, to);
      } else {
        Tokens<false>(block, size, x + token * s.ldx, rows, to);
      }
      m += size;
    }
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
  static constexpr CpuKernels kKernels = {"avx2",       Pack,   MatMul,  Weigh,
                                          Exponentials, SwiGlu, SumWords};
  return &kKernels;
}

}  // namespace rackmark

#else
namespace rackmark {
const CpuKernels* Avx2Kernels() { return nullptr; }
}  // namespace rackmark
#endif

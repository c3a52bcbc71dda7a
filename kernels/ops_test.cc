// Every path of the operations against the plain twin, at awkward shapes; and the promise that no
// bit depends on the batch or on the shard.
#include "kernels/ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>

#include "common/random.h"
#include "kernels/collective.h"
#include "kernels/cpu/reference.h"

namespace rackmark {
namespace {

size_t At(int i) { return static_cast<size_t>(i); }

std::vector<float> Floats(size_t n, uint64_t seed, float range = 1) {
  Random random(seed, 1);
  std::vector<float> out(n);
  for (float& f : out) f = static_cast<float>(2 * random.Uniform() - 1) * range;
  return out;
}

std::vector<Bf16> Halves(size_t n, uint64_t seed) {
  std::vector<Bf16> out;
  for (const float f : Floats(n, seed)) out.push_back(ToBf16(f));
  return out;
}

void ExpectNear(const std::vector<float>& got, const std::vector<float>& want, double tolerance) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    const double scale = 1 + std::abs(static_cast<double>(want[i]));
    ASSERT_NEAR(static_cast<double>(got[i]), static_cast<double>(want[i]), tolerance * scale) << i;
  }
}

void ExpectSameBits(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(std::memcmp(&a[i], &b[i], sizeof(float)), 0) << i << ": " << a[i] << ", " << b[i];
  }
}

class OpsTest : public testing::TestWithParam<CpuPath> {
 protected:
  void SetUp() override {
    if (GetParam() == CpuPath::kAvx2 && BestCpuPath() != CpuPath::kAvx2) {
      GTEST_SKIP() << "this CPU has no AVX2 with FMA";
    }
    ops_ = MakeCpuOps(GetParam());
  }
  std::vector<float> MatMul(const MatMulShape& s, const float* x, const Bf16* w) {
    std::vector<float> y(At(s.m) * At(s.n), NAN);
    ops_->MatMul(s, x, w, y.data());
    return y;
  }
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<Ops> reference_ = MakeReferenceOps();
};

INSTANTIATE_TEST_SUITE_P(Paths, OpsTest, testing::Values(CpuPath::kPortable, CpuPath::kAvx2),
                         [](const auto& param) {
                           return param.param == CpuPath::kAvx2 ? "Avx2" : "Portable";
                         });

TEST(Bf16, RoundsToNearestEvenAndKeepsSpecials) {
  EXPECT_EQ(ToBf16(1.0F).bits, 0x3f80);
  EXPECT_EQ(ToBf16(std::bit_cast<float>(0x3f808000U)).bits, 0x3f80);  // tie: to even
  EXPECT_EQ(ToBf16(std::bit_cast<float>(0x3f818000U)).bits, 0x3f82);
  EXPECT_EQ(ToBf16(std::bit_cast<float>(0x3f808001U)).bits, 0x3f81);
  EXPECT_EQ(ToBf16(INFINITY).bits, 0x7f80);
  EXPECT_EQ(ToBf16(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_TRUE(std::isnan(ToFloat(ToBf16(std::bit_cast<float>(0x7f800001U)))));
  for (uint32_t bits = 0; bits < 0x7f80; ++bits) {
    ASSERT_EQ(ToBf16(ToFloat({static_cast<uint16_t>(bits)})).bits, bits);
  }
}

TEST_P(OpsTest, MatMulAgreesWithTheReference) {
  const MatMulShape shapes[] = {{1, 1, 1, 1},    {1, 8, 64, 1},   {2, 9, 7, 1},    {3, 17, 40, 8},
                                {5, 31, 129, 1}, {4, 16, 72, 8},  {16, 33, 88, 4}, {7, 5, 1000, 2},
                                {1, 23, 8, 8},   {64, 12, 96, 1}, {9, 3, 24, 2}};
  for (const MatMulShape& s : shapes) {
    const auto x = Floats(At(s.m) * At(s.k), 1);
    const auto w = Halves(At(s.n) * At(s.k), 2);
    std::vector<float> want(At(s.m) * At(s.n));
    reference_->MatMul(s, x.data(), w.data(), want.data());
    SCOPED_TRACE(testing::Message() << s.m << "x" << s.n << "x" << s.k << "/" << s.k_segments);
    ExpectNear(MatMul(s, x.data(), w.data()), want, 2e-6 * std::sqrt(s.k) + 1e-6);
  }
}

TEST_P(OpsTest, ALargeKIsCutIntoTokenTilesWithoutATrace) {
  const MatMulShape s{14, 3, 16000, 1};  // 256 KiB hold 4 tokens
  const auto x = Floats(At(s.m) * At(s.k), 3);
  const auto w = Halves(At(s.n) * At(s.k), 4);
  const auto y = MatMul(s, x.data(), w.data());
  for (int m = 0; m < s.m; ++m) {
    MatMulShape one = s;
    one.m = 1;
    const auto alone = MatMul(one, x.data() + At(m) * At(s.k), w.data());
    ExpectSameBits({y.begin() + m * s.n, y.begin() + (m + 1) * s.n}, alone);
  }
}

// Both halves of the promise at once: any batch, any rows of W.
TEST_P(OpsTest, MatMulBitsDependNeitherOnTheBatchNorOnTheShard) {
  for (const int segments : {1, 2, 8}) {
    const MatMulShape s{13, 24, 8 * 27, segments};
    const auto x = Floats(At(s.m) * At(s.k), 5);
    const auto w = Halves(At(s.n) * At(s.k), 6);
    const auto all = MatMul(s, x.data(), w.data());
    for (int m = 1; m <= s.m; ++m) {
      for (const auto& [first, rows] : {std::pair{0, 24}, {3, 7}, {12, 12}, {23, 1}}) {
        const MatMulShape part{m, rows, s.k, segments};
        const auto y = MatMul(part, x.data(), w.data() + At(first) * At(s.k));
        for (int i = 0; i < m; ++i) {
          ASSERT_EQ(std::memcmp(&y[At(i) * At(rows)], &all[At(i) * At(s.n) + At(first)],
                                At(rows) * sizeof(float)),
                    0)
              << m << " tokens, rows from " << first << ", token " << i;
        }
      }
    }
  }
}

// What deterministic mode is for: tensor-parallel shards of K, each with its share of the segments,
// joined by the tree of the all-reduce.
TEST_P(OpsTest, RowParallelProductsAreBitIdenticalForEveryDegree) {
  const int m = 5;
  const int n = 37;
  const int k = 8 * 53;
  const auto x = Floats(At(m) * At(k), 7);
  const auto w = Halves(At(n) * At(k), 8);
  std::vector<std::vector<float>> by_degree;
  std::vector<std::vector<float>> fast;
  for (const int tp : {1, 2, 4, 8}) {
    const int mine = k / tp;
    for (const bool deterministic : {true, false}) {
      std::vector<std::vector<float>> partial;
      std::vector<const float*> rows;
      for (int rank = 0; rank < tp; ++rank) {
        std::vector<float> x_shard;
        std::vector<Bf16> w_shard;
        for (int i = 0; i < m; ++i) {
          x_shard.insert(x_shard.end(), x.begin() + i * k + rank * mine,
                         x.begin() + i * k + (rank + 1) * mine);
        }
        for (int i = 0; i < n; ++i) {
          w_shard.insert(w_shard.end(), w.begin() + i * k + rank * mine,
                         w.begin() + i * k + (rank + 1) * mine);
        }
        const int segments = deterministic ? ReduceSegmentsOf(tp) : 1;
        partial.push_back(MatMul({m, n, mine, segments}, x_shard.data(), w_shard.data()));
      }
      for (const auto& p : partial) rows.push_back(p.data());
      std::vector<float> sum(At(m) * At(n));
      TreeSum(rows.data(), tp, sum.size(), sum.data());
      (deterministic ? by_degree : fast).push_back(sum);
    }
  }
  for (const auto& sum : by_degree) ExpectSameBits(sum, by_degree[0]);
  EXPECT_NE(std::memcmp(fast[0].data(), fast[3].data(), fast[0].size() * sizeof(float)), 0)
      << "plain sums agree too, so this test shows nothing";
}

TEST_P(OpsTest, EmbedFillsForeignRowsWithZero) {
  const auto table = Halves(4 * 19, 9);
  const int32_t ids[] = {10, 13, 9, 14, 11};
  std::vector<float> out(5 * 19, NAN);
  std::vector<float> want(5 * 19, NAN);
  ops_->Embed(ids, 5, 19, table.data(), {10, 4}, out.data());
  reference_->Embed(ids, 5, 19, table.data(), {10, 4}, want.data());
  ExpectSameBits(out, want);
  EXPECT_EQ(out[0], ToFloat(table[0]));
  EXPECT_EQ(out[2 * 19], 0);
}

TEST_P(OpsTest, RmsNormAgreesAndIgnoresTheBatch) {
  for (const int hidden : {1, 7, 64, 1023}) {
    const auto x = Floats(3 * At(hidden), 10, 5);
    const auto weight = Halves(At(hidden), 11);
    std::vector<float> out(x.size());
    std::vector<float> want(x.size());
    ops_->RmsNorm({3, hidden, 1e-5F}, x.data(), weight.data(), out.data());
    reference_->RmsNorm({3, hidden, 1e-5F}, x.data(), weight.data(), want.data());
    ExpectNear(out, want, 1e-6);
    std::vector<float> last(At(hidden));
    ops_->RmsNorm({1, hidden, 1e-5F}, x.data() + 2 * hidden, weight.data(), last.data());
    ExpectSameBits(last, {out.begin() + 2 * hidden, out.end()});
  }
  const std::vector<float> zero(8, 0.0F);
  std::vector<float> out(8, NAN);
  ops_->RmsNorm({1, 8, 1e-5F}, zero.data(), Halves(8, 12).data(), out.data());
  for (const float f : out) EXPECT_EQ(f, 0);
}

TEST_P(OpsTest, RopeAgreesAndKeepsLengths) {
  const RopeTable table(RopeFrequencies(20, 10000), 300);
  const TokenRow rows[] = {{nullptr, 0}, {nullptr, 299}, {nullptr, 7}};
  const auto start = Floats(3 * 2 * 20, 13);
  auto x = start;
  auto want = start;
  ops_->Rope(table, rows, 3, 2, x.data());
  reference_->Rope(table, rows, 3, 2, want.data());
  ExpectNear(x, want, 1e-6);
  for (size_t i = 0; i < 40; ++i) EXPECT_EQ(x[i], start[i]) << "position 0 turns nothing";
  // Pair (1, 11) of the last row's second head, by hand.
  const double angle = 7 * std::pow(10000.0, -2.0 / 20);
  const double a = static_cast<double>(start[101]);
  const double b = static_cast<double>(start[111]);
  EXPECT_NEAR(static_cast<double>(x[101]), a * std::cos(angle) - b * std::sin(angle), 1e-6);
  EXPECT_NEAR(static_cast<double>(x[111]), b * std::cos(angle) + a * std::sin(angle), 1e-6);
}

TEST_P(OpsTest, SwiGluAgreesAtAllMagnitudesAndOffsets) {
  std::vector<float> gate = Floats(1000, 14, 10);
  const float edges[] = {0.0F, -0.0F, 88.0F, -88.0F, 200.0F, -200.0F, 1e30F, -1e30F};
  gate.insert(gate.end(), std::begin(edges), std::end(edges));
  const auto up = Floats(gate.size(), 15, 3);
  std::vector<float> out(gate.size());
  std::vector<float> want(gate.size());
  ops_->SwiGlu(gate.size(), gate.data(), up.data(), out.data());
  reference_->SwiGlu(gate.size(), gate.data(), up.data(), want.data());
  ExpectNear(out, want, 1e-6);
  // A shard's border may fall anywhere.
  for (const size_t first : {1U, 5U, 998U}) {
    std::vector<float> part(gate.size() - first);
    ops_->SwiGlu(part.size(), gate.data() + first, up.data() + first, part.data());
    ExpectSameBits(part, {out.begin() + static_cast<ptrdiff_t>(first), out.end()});
  }
  float nan = NAN;
  ops_->SwiGlu(1, &nan, up.data(), &nan);
  EXPECT_TRUE(std::isnan(nan));
}

TEST_P(OpsTest, ArgmaxTakesTheLowestIndexAndNeverNan) {
  const std::vector<float> logits = {1, 5, 5,   -1, NAN,       7,         2,         7,
                                     3, 0, NAN, 1,  -INFINITY, -INFINITY, -INFINITY, NAN};
  Argmax best[4];
  Argmax want[4];
  ops_->ArgmaxRows(4, 4, logits.data(), best);
  reference_->ArgmaxRows(4, 4, logits.data(), want);
  const int indices[] = {1, 1, 0, 0};
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(best[i].index, indices[i]) << i;
    EXPECT_EQ(want[i].index, indices[i]) << i;
    EXPECT_EQ(best[i].value, want[i].value) << i;
  }
  EXPECT_EQ(Better({9, 2.0F}, {3, 2.0F}).index, 3);
  EXPECT_EQ(Better({9, 2.0F}, {3, NAN}).index, 9);
  EXPECT_EQ(Better({9, 2.0F}, {30, 2.5F}).index, 30);
}

TEST_P(OpsTest, ReadBandwidthReadsEveryByte) {
  const auto words = Halves(10007, 16);
  for (const size_t bytes : {0U, 1U, 7U, 8U, 255U, 256U, 1025U, 20013U}) {
    const auto pass = ops_->ReadBandwidth(words.data(), bytes);
    EXPECT_EQ(pass.bytes, bytes);
    EXPECT_EQ(pass.checksum, reference_->ReadBandwidth(words.data(), bytes).checksum) << bytes;
  }
}

// A small paged cache whose blocks lie in a scattered order.
struct Paged {
  Paged(int kv_heads, int block_tokens, int head_dim, int sequences) {
    cache = {nullptr, nullptr, sequences * kBlocks, kv_heads, block_tokens, head_dim};
    k.resize(cache.Elements(), Bf16{0x7fc0});  // NaN: what is not written must not be read
    v.resize(cache.Elements(), Bf16{0x7fc0});
    cache.k = k.data();
    cache.v = v.data();
    for (int s = 0; s < sequences; ++s) {
      std::vector<int32_t> table;
      for (int b = 0; b < kBlocks; ++b) table.push_back((b * 5 + 3) % kBlocks * sequences + s);
      tables.push_back(table);
    }
  }
  static constexpr int kBlocks = 7;
  KvCache cache;
  std::vector<Bf16> k, v;
  std::vector<std::vector<int32_t>> tables;
};

struct AttentionCase {
  int heads, kv_heads, block_tokens, head_dim, context;
};

TEST_P(OpsTest, AttentionAgreesForChunksAndDecode) {
  const AttentionCase cases[] = {{1, 1, 1, 8, 5},     {4, 4, 4, 16, 28},  {8, 2, 16, 64, 100},
                                 {5, 1, 3, 12, 20},   {6, 3, 16, 20, 17}, {16, 2, 8, 128, 56},
                                 {14, 2, 16, 64, 111}};
  for (const auto& c : cases) {
    SCOPED_TRACE(testing::Message() << c.heads << "/" << c.kv_heads << " heads of " << c.head_dim);
    Paged paged(c.kv_heads, c.block_tokens, c.head_dim, 2);
    std::vector<TokenRow> rows;
    for (int t = 0; t < c.context; ++t) rows.push_back({paged.tables[0].data(), t});
    for (int t = 0; t < c.context / 2 + 1; ++t) rows.push_back({paged.tables[1].data(), t});
    const int m = static_cast<int>(rows.size());
    const auto k = Floats(rows.size() * At(c.kv_heads * c.head_dim), 17, 2);
    const auto v = Floats(k.size(), 18);
    const auto q = Floats(rows.size() * At(c.heads * c.head_dim), 19, 3);
    ops_->AppendKv(rows.data(), m, k.data(), v.data(), paged.cache);
    Paged other(c.kv_heads, c.block_tokens, c.head_dim, 2);
    reference_->AppendKv(rows.data(), m, k.data(), v.data(), other.cache);
    ASSERT_EQ(std::memcmp(paged.k.data(), other.k.data(), 2 * paged.k.size()), 0);
    ASSERT_EQ(std::memcmp(paged.v.data(), other.v.data(), 2 * paged.v.size()), 0);
    std::vector<float> out(q.size(), NAN);
    std::vector<float> want(q.size(), NAN);
    ops_->Attend({rows.data(), m, c.heads}, q.data(), paged.cache, out.data());
    reference_->Attend({rows.data(), m, c.heads}, q.data(), paged.cache, want.data());
    ExpectNear(out, want, 5e-6);
    // Row by row (decode) gives the bits of the chunk.
    const size_t row_size = At(c.heads * c.head_dim);
    for (int i = 0; i < m; i += 3) {
      std::vector<float> one(row_size);
      ops_->Attend({&rows[At(i)], 1, c.heads}, q.data() + At(i) * row_size, paged.cache,
                   one.data());
      const auto begin = out.begin() + static_cast<ptrdiff_t>(At(i) * row_size);
      ExpectSameBits(one, {begin, begin + static_cast<ptrdiff_t>(row_size)});
    }
  }
}

// A rank with half of the kv heads, or with the same kv head but half of its query heads (more
// ranks than kv heads), computes the same bits for the heads that it has.
TEST_P(OpsTest, AttentionBitsDoNotDependOnTheShard) {
  const int context = 45;
  const int dim = 24;
  Paged whole(2, 8, dim, 1);
  Paged second(1, 8, dim, 1);
  std::vector<TokenRow> rows;
  for (int t = 0; t < context; ++t) rows.push_back({whole.tables[0].data(), t});
  const auto k = Floats(At(context * 2 * dim), 20);
  const auto v = Floats(At(context * 2 * dim), 21);
  const auto q = Floats(At(12 * dim), 22);
  ops_->AppendKv(rows.data(), context, k.data(), v.data(), whole.cache);
  for (int t = 0; t < context; ++t) {
    const size_t at = At((t * 2 + 1) * dim);
    ops_->AppendKv(&rows[At(t)], 1, k.data() + at, v.data() + at, second.cache);
  }
  std::vector<float> all(q.size());
  ops_->Attend({&rows.back(), 1, 12}, q.data(), whole.cache, all.data());
  for (const int heads : {6, 3, 1}) {  // the last `heads` of 12
    std::vector<float> part(At(heads * dim));
    ops_->Attend({&rows.back(), 1, heads}, q.data() + (12 - heads) * dim, second.cache,
                 part.data());
    ExpectSameBits(part, {all.end() - heads * dim, all.end()});
  }
}

TEST_P(OpsTest, AddAdds) {
  auto x = Floats(101, 23);
  auto want = x;
  const auto y = Floats(101, 24);
  ops_->Add(101, y.data(), x.data());
  reference_->Add(101, y.data(), want.data());
  ExpectSameBits(x, want);
}

TEST(OpsDeathTest, ImpossibleSharesAreBugs) {
  EXPECT_EQ(ReduceSegmentsOf(1), 8);
  EXPECT_EQ(ReduceSegmentsOf(8), 1);
  EXPECT_DEATH(ReduceSegmentsOf(3), "CHECK failed");
  const RopeTable table(RopeFrequencies(4, 10000), 2);
  EXPECT_DEATH(table.Cos(2), "CHECK failed");
}

}  // namespace
}  // namespace rackmark

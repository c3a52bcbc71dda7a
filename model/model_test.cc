#include <gtest/gtest.h>

#include <cmath>

#include "model/memory.h"
#include "model/presets.h"
#include "model/roofline.h"
#include "model/shard.h"

namespace rackmark {
namespace {

ShardShape Shard(const ModelShape& shape, uint32_t tp) { return ShardOf(shape, tp, false).value(); }

TEST(Presets, FindsByNameAndExplainsUnknown) {
  ASSERT_NE(FindModel("tiny-30m"), nullptr);
  EXPECT_EQ(FindModel("tiny-30m")->hidden, 512u);
  EXPECT_EQ(FindModel("tiny-30"), nullptr);
  const auto unknown = FindModelOrExplain("gpt-9");
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.status().message().find("gpt-9"), absl::string_view::npos);
  EXPECT_NE(unknown.status().message().find("nano-1m"), absl::string_view::npos);
}

TEST(Presets, NamesAreUniqueAndAscendInSize) {
  uint64_t last = 0;
  for (const std::string& name : ModelNames()) {
    const uint64_t now = ParameterCount(*FindModel(name));
    EXPECT_GT(now, last) << name;
    last = now;
  }
}

// By hand. nano: 2*(4*128*128 + 3*128*512) + 2*1024*128 + 5*128. The large ones are the published
// counts.
TEST(Memory, ParameterCounts) {
  EXPECT_EQ(ParameterCount(*FindModel("nano-1m")), 786432u + 640u);
  EXPECT_EQ(ParameterCount(*FindModel("tiny-30m")), 27262976u + 8388608u + 17u * 512u);
  EXPECT_EQ(ParameterCount(*FindModel("llama-3.1-8b")), 8030261248u);
  EXPECT_EQ(ParameterCount(*FindModel("llama-3.1-70b")), 70553706496u);
  EXPECT_NEAR(static_cast<double>(ParameterCount(*FindModel("llama-3.1-405b"))), 405.9e9, 0.1e9);
  EXPECT_NEAR(static_cast<double>(ParameterCount(*FindModel("small-110m"))), 110e6, 1e6);
}

TEST(Memory, KvBytesPerToken) {
  const ModelShape& llama8 = *FindModel("llama-3.1-8b");
  EXPECT_EQ(KvBytesPerTokenPerRank(llama8, Shard(llama8, 1)), 128u << 10);
  EXPECT_EQ(KvBytesPerTokenPerRank(llama8, Shard(llama8, 8)), 16u << 10);
  const ModelShape& llama70 = *FindModel("llama-3.1-70b");
  EXPECT_EQ(KvBytesPerTokenPerRank(llama70, Shard(llama70, 1)), 320u << 10);
  const ModelShape& tiny = *FindModel("tiny-30m");
  // 2 * 8 layers * 512 * 2 B = 16 KiB a token; a block of 16 tokens is 256 KiB over the gang.
  EXPECT_EQ(KvBlocks(tiny, Shard(tiny, 1), 64 << 20, 16), 256u);
  EXPECT_EQ(KvBlocks(tiny, Shard(tiny, 4), 64 << 20, 16), 256u);
  EXPECT_EQ(KvBlocks(tiny, Shard(tiny, 1), (256 << 10) - 1, 16), 0u);
}

TEST(Memory, ShardsAddUpToTheWhole) {
  for (const std::string& name : ModelNames()) {
    const ModelShape& shape = *FindModel(name);
    const WeightBytes whole = WeightBytesPerRank(shape, Shard(shape, 1));
    EXPECT_EQ(whole.total(), ParameterCount(shape) * 2) << name;
    for (const uint32_t tp : TensorParallelDegrees(shape, false)) {
      EXPECT_EQ(WeightBytesPerRank(shape, Shard(shape, tp)).matrices * tp, whole.matrices) << name;
    }
  }
}

TEST(Memory, Activations) {
  const ModelShape& nano = *FindModel("nano-1m");
  // tp 2: a row is 3*128 + 2*64 + 2*64 + 2*256 floats, a sampled row 128 + 512.
  EXPECT_EQ(ActivationBytesPerRank(nano, Shard(nano, 2), 10, 3), (10u * 1152 + 3 * 640) * 4);
}

TEST(Shard, DegreesOfTheTestModels) {
  const std::vector<uint32_t> all = {1, 2, 4, 8};
  for (const char* name : {"nano-1m", "tiny-30m", "llama-3.1-8b", "llama-3.1-405b"}) {
    EXPECT_EQ(TensorParallelDegrees(*FindModel(name), false), all) << name;
    EXPECT_EQ(TensorParallelDegrees(*FindModel(name), true), all) << name;
  }
  EXPECT_EQ(TensorParallelDegrees(*FindModel("small-110m"), true), all);
}

TEST(Shard, RefusesWhatDoesNotDivideAndSaysWhat) {
  const ModelShape& llama = *FindModel("llama-3.1-70b");
  const auto three = ShardOf(llama, 3, false);
  ASSERT_FALSE(three.ok());
  EXPECT_EQ(three.status().message(),
            "llama-3.1-70b cannot run with tensor_parallel 3: 3 does not divide its 64 attention "
            "heads; possible are 1, 2, 4, 8");
  EXPECT_FALSE(ShardOf(llama, 0, false).ok());
  EXPECT_FALSE(ShardOf(llama, 16, false).ok());  // KV heads are never replicated
  ModelShape wide = llama;
  wide.kv_heads = 16;
  EXPECT_TRUE(ShardOf(wide, 16, false).ok());
  EXPECT_FALSE(ShardOf(wide, 16, true).ok());
  ModelShape odd = *FindModel("nano-1m");
  odd.intermediate = 516;  // divisible by 4, not by 8 segments
  EXPECT_TRUE(ShardOf(odd, 4, false).ok());
  EXPECT_FALSE(ShardOf(odd, 4, true).ok());
}

TEST(Roofline, Llama8AtPublishedBandwidth) {
  const ModelShape& llama = *FindModel("llama-3.1-8b");
  const DecodeFloor floor = DecodeFloorOf(llama, Shard(llama, 1), {1, 0}, 4.8e12);
  EXPECT_NEAR(floor.step_seconds, 15.01e9 / 4.8e12, 5e-6);
  EXPECT_NEAR(floor.tokens_per_second, 320, 1);
  // 64 sequences at 1024 tokens: + 64 * 1024 * 128 KiB = 8.59 GB.
  EXPECT_NEAR(DecodeBytesPerRank(llama, Shard(llama, 1), {64, 1024}), 23.6e9, 0.05e9);
  EXPECT_NEAR(DecodeFloorOf(llama, Shard(llama, 1), {64, 1024}, 4.8e12).tokens_per_second, 13.0e3,
              50);
}

TEST(Roofline, GangNumbersAreExact) {
  const ModelShape& nano = *FindModel("nano-1m");
  // tp 2: matrices are shared, the 5 norms of 128 are read by both.
  EXPECT_DOUBLE_EQ(GangWeightBytesPerStep(nano, Shard(nano, 2)), 2.0 * (655360 + 2 * 640));
  EXPECT_DOUBLE_EQ(GangKvBytesPerSequence(nano, Shard(nano, 2), 10), 10.0 * 2 * 2 * 128 * 2);
  EXPECT_EQ(AllReduceBytes(nano, 4), 4u * 128 * 4);
  EXPECT_EQ(AllReducesPerStep(nano), 4u);
}

TEST(Rope, FrequenciesAndScaling) {
  const std::vector<double> plain = RopeFrequenciesOf(*FindModel("nano-1m"));
  ASSERT_EQ(plain.size(), 8u);
  EXPECT_DOUBLE_EQ(plain[0], 1);
  EXPECT_NEAR(plain[4], 0.01, 1e-15);  // 1e4^(-8/16)
  const ModelShape& llama = *FindModel("llama-3.1-8b");
  const std::vector<double> scaled = RopeFrequenciesOf(llama);
  EXPECT_DOUBLE_EQ(scaled[0], 1);
  EXPECT_NEAR(scaled[63], std::pow(5e5, -126.0 / 128) / 8, 1e-12);  // slowest: stretched by 8
}

}  // namespace
}  // namespace rackmark

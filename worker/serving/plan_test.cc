#include <gtest/gtest.h>

#include <map>
#include <set>

#include "common/random.h"
#include "worker/serving/batcher.h"
#include "worker/serving/plan_state.h"
#include "worker/serving/step_plan.h"

namespace rackmark {
namespace {

StepPlan SomePlan() {
  StepPlan plan;
  plan.after_idle = true;
  plan.step = 1;
  plan.admits = {{0x1122334455667788, 5, 3, 2}};
  plan.blocks = {{7, 2}, {0, 2}};
  plan.chunks = {{0, 5, 2}};
  return plan;
}

BatcherOptions Small() { return {{4, 4, 16}, 8, 64, 100}; }

// Drives a batcher and a follower's mirror until nothing is left. What each request did.
struct Outcome {
  std::map<uint64_t, uint32_t> emitted;
  std::vector<uint64_t> ended;  // in order
  uint64_t steps = 0;
  uint32_t blocks_used_max = 0;
  uint32_t rows_max = 0;
  uint32_t prefill_max = 0;
  size_t bytes_max = 0;
};

// At most `steps` more steps, on top of what the outcome holds already.
void RunSteps(Batcher& batcher, PlanState& mirror, uint64_t steps, Outcome& outcome) {
  StepPlan plan, received;
  StepWork work;
  std::string wire;
  for (; steps > 0 && batcher.PlanNext(plan); --steps) {
    EncodePlan(plan, wire);
    EXPECT_TRUE(DecodePlan(wire, received).ok());
    const absl::Status status = mirror.Apply(received, &work);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_FALSE(work.rows.empty()) << "a step without work";
    for (const WorkSample& sample : work.samples) {
      EXPECT_EQ(sample.position, outcome.emitted[sample.request]++);
      if (sample.last) outcome.ended.push_back(sample.request);
    }
    outcome.bytes_max = std::max(outcome.bytes_max, wire.size());
    outcome.blocks_used_max = std::max(outcome.blocks_used_max, work.blocks_used);
    outcome.rows_max = std::max(outcome.rows_max, static_cast<uint32_t>(work.rows.size()));
    outcome.prefill_max = std::max(outcome.prefill_max, work.prefill_tokens);
    ++outcome.steps;
    if (!status.ok()) return;
  }
}

Outcome Drain(Batcher& batcher, PlanState& mirror) {
  Outcome outcome;
  RunSteps(batcher, mirror, 100000, outcome);
  EXPECT_LT(outcome.steps, 100000u) << "does not end";
  return outcome;
}

TEST(StepPlan, RoundTrips) {
  const StepPlan plan = SomePlan();
  std::string wire;
  EncodePlan(plan, wire);
  EXPECT_EQ(wire.size(), EncodedBytes(plan));
  StepPlan back;
  ASSERT_TRUE(DecodePlan(wire, back).ok());
  EXPECT_TRUE(back.after_idle);
  EXPECT_EQ(back.step, 1u);
  ASSERT_EQ(back.admits.size(), 1u);
  EXPECT_EQ(back.admits[0].request, 0x1122334455667788u);
  EXPECT_EQ(back.admits[0].slot, 2);
  ASSERT_EQ(back.blocks.size(), 2u);
  EXPECT_EQ(back.blocks[0].block, 7u);
  EXPECT_EQ(back.chunks[0].end, 5u);
  std::string again;
  EncodePlan(back, again);
  EXPECT_EQ(again, wire);
}

// The bytes that version 2 means, for ever.
TEST(StepPlan, FixtureOfVersionTwo) {
  StepPlan plan;
  plan.step = 2;
  plan.state_hash = 3;
  plan.shares = {{6, 5}};
  plan.chunks = {{1, 4, 5}};
  std::string wire;
  EncodePlan(plan, wire);
  const std::string expected(
      "RMSP\x02\x00\x01\x00\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\x01\0\x01\0"
      "\x06\0\0\0\x05\0\x01\0\0\0\x04\0\0\0\x05\0",
      48);
  EXPECT_EQ(wire, expected);
}

TEST(StepPlan, EveryCutAndExtensionIsRefused) {
  std::string wire;
  EncodePlan(SomePlan(), wire);
  StepPlan plan;
  for (size_t n = 0; n < wire.size(); ++n) {
    EXPECT_TRUE(absl::IsDataLoss(DecodePlan(wire.substr(0, n), plan))) << n;
  }
  EXPECT_TRUE(absl::IsDataLoss(DecodePlan(wire + "x", plan)));
  EXPECT_TRUE(absl::IsDataLoss(DecodePlan(std::string(kPlanBytesMax + 1, 'R'), plan)));
}

TEST(StepPlan, ForeignVersionAndKindAreNamed) {
  std::string wire;
  EncodePlan(SomePlan(), wire);
  StepPlan plan;
  std::string other = wire;
  other[4] = 1;  // of a build before there were shares
  EXPECT_TRUE(absl::IsFailedPrecondition(DecodePlan(other, plan)));
  other = wire;
  other[6] = 9;
  EXPECT_TRUE(absl::IsFailedPrecondition(DecodePlan(other, plan)));
  other = wire;
  other[0] = 'X';
  EXPECT_TRUE(absl::IsDataLoss(DecodePlan(other, plan)));
}

// Any changed byte is refused: by the codec, by the mirror's rules, or by the hash.
TEST(PlanState, EveryFlippedByteIsNoticed) {
  PlanState leader({4, 4, 16});
  StepPlan plan = SomePlan();
  plan.after_idle = false;
  leader.ApplyAndSeal(plan, nullptr);
  std::string wire;
  EncodePlan(plan, wire);
  for (size_t i = 0; i < wire.size(); ++i) {
    if (i == 7) continue;  // the idle mark changes no state
    std::string bad = wire;
    bad[i] = static_cast<char>(bad[i] ^ 0x01);
    StepPlan decoded;
    PlanState follower({4, 4, 16});
    absl::Status status = DecodePlan(bad, decoded);
    if (status.ok()) status = follower.Apply(decoded, nullptr);
    EXPECT_FALSE(status.ok()) << "byte " << i;
  }
}

TEST(PlanState, ADriftedMirrorIsNoticed) {
  PlanState leader({4, 4, 16}), follower({4, 4, 16});
  StepPlan first = SomePlan();
  leader.ApplyAndSeal(first, nullptr);
  StepPlan other = first;
  other.admits[0].request = 9;
  follower.ApplyAndSeal(other, nullptr);  // the follower believes in another request
  StepPlan second;
  second.step = 2;
  leader.ApplyAndSeal(second, nullptr);
  EXPECT_TRUE(absl::IsInternal(follower.Apply(second, nullptr)));
}

TEST(PlanState, RefusesWhatDoesNotFit) {
  const auto apply = [](auto change) {
    PlanState state({4, 4, 16});
    StepPlan plan = SomePlan();
    change(plan);
    return state.Apply(plan, nullptr);
  };
  const auto message = [&](auto change) { return std::string(apply(change).message()); };
  EXPECT_NE(message([](StepPlan& p) { p.step = 5; }).find("step"), std::string::npos);
  EXPECT_NE(message([](StepPlan& p) { p.admits[0].slot = 4; }).find("slot"), std::string::npos);
  EXPECT_NE(message([](StepPlan& p) { p.blocks[1] = p.blocks[0]; }).find("free block"),
            std::string::npos);
  EXPECT_NE(message([](StepPlan& p) { p.blocks[0].block = 16; }).find("free block"),
            std::string::npos);
  EXPECT_NE(message([](StepPlan& p) { p.chunks[0].end = 6; }).find("chunk"), std::string::npos);
  EXPECT_NE(message([](StepPlan& p) { p.blocks.pop_back(); }).find("chunk"), std::string::npos);
  EXPECT_NE(message([](StepPlan& p) { p.admits[0].output_tokens = 100; }).find("lengths"),
            std::string::npos);
}

TEST(BlockPool, TakesAndGivesInAnyOrder) {
  BlockPool pool(5);
  EXPECT_TRUE(pool.Take(3));
  EXPECT_FALSE(pool.Take(3));
  EXPECT_FALSE(pool.Take(5));
  EXPECT_TRUE(pool.Take(0));
  EXPECT_EQ(pool.used(), 2u);
  EXPECT_TRUE(pool.Give(3));
  EXPECT_FALSE(pool.Give(3));
  EXPECT_EQ(pool.free_count(), 4u);
  EXPECT_TRUE(pool.IsFree(3));
}

TEST(BlockPool, ASharedBlockIsFreeOnceAllHaveGivenItBack) {
  BlockPool pool(2);
  EXPECT_TRUE(pool.Take(1));
  EXPECT_TRUE(pool.Share(1));
  EXPECT_FALSE(pool.Take(1));
  EXPECT_TRUE(pool.Give(1));
  EXPECT_EQ(pool.used(), 1u);
  EXPECT_TRUE(pool.Give(1));
  EXPECT_EQ(pool.used(), 0u);
  EXPECT_TRUE(pool.Share(1)) << "its content is still there";
  EXPECT_FALSE(pool.Share(2));
}

TEST(Batcher, RejectsWhatCanNeverRunWithTheBound) {
  Batcher batcher(Small());                       // 16 blocks of 4 tokens
  EXPECT_TRUE(batcher.Submit({1, 33, 31}).ok());  // 63 positions: exactly 16 blocks
  const absl::Status context = batcher.Submit({2, 33, 32});
  EXPECT_TRUE(absl::IsInvalidArgument(context));
  EXPECT_NE(context.message().find("context"), absl::string_view::npos);
  EXPECT_TRUE(absl::IsInvalidArgument(batcher.Submit({3, 0, 1})));
  EXPECT_TRUE(absl::IsInvalidArgument(batcher.Submit({4, 1, 0})));
  BatcherOptions tight = Small();
  tight.limits.blocks = 4;
  const absl::Status blocks = Batcher(tight).Submit({5, 10, 8});
  EXPECT_TRUE(absl::IsInvalidArgument(blocks));
  EXPECT_NE(blocks.message().find("5 KV blocks"), absl::string_view::npos) << blocks;
}

TEST(Batcher, TheQueueIsBounded) {
  BatcherOptions options = Small();
  options.queue_max = 2;
  Batcher batcher(options);
  EXPECT_TRUE(batcher.Submit({1, 4, 4}).ok());
  EXPECT_TRUE(batcher.Submit({2, 4, 4}).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(batcher.Submit({3, 4, 4})));
  StepPlan plan;
  ASSERT_TRUE(batcher.PlanNext(plan));
  EXPECT_TRUE(batcher.Submit({3, 4, 4}).ok());
}

TEST(Batcher, ExhaustedCacheMakesRequestsWaitInOrder) {
  BatcherOptions options = Small();
  Batcher batcher(options);
  PlanState mirror(options.limits);
  // Each needs 8 of the 16 blocks: two run at a time, though four slots are there. The last is
  // small and would fit beside the first two, but nobody overtakes.
  for (uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(batcher.Submit({i, 16, 17}).ok());
  ASSERT_TRUE(batcher.Submit({4, 1, 1}).ok());
  Outcome outcome;
  RunSteps(batcher, mirror, 6, outcome);
  EXPECT_EQ(batcher.running(), 2u);
  EXPECT_EQ(batcher.waiting(), 3u);
  RunSteps(batcher, mirror, 1000, outcome);
  EXPECT_EQ(outcome.ended, (std::vector<uint64_t>{0, 1, 2, 4, 3}));
  EXPECT_EQ(outcome.blocks_used_max, 16u);
  EXPECT_EQ(mirror.pool().free_count(), 16u);
}

TEST(Batcher, PrefillIsCutIntoChunksWhileOthersDecode) {
  BatcherOptions options = Small();
  Batcher batcher(options);
  PlanState mirror(options.limits);
  ASSERT_TRUE(batcher.Submit({0, 2, 10}).ok());
  ASSERT_TRUE(batcher.Submit({1, 20, 2}).ok());
  StepPlan plan;
  StepWork work;
  std::vector<std::pair<uint32_t, uint32_t>> steps;  // prefill, decode
  while (batcher.PlanNext(plan)) {
    ASSERT_TRUE(mirror.Apply(plan, &work).ok());
    steps.emplace_back(work.prefill_tokens, work.decode_tokens);
  }
  using P = std::pair<uint32_t, uint32_t>;
  // 8 = 2 of the first and 6 of the second; then 8 and the last 6 beside a decoding sequence.
  const std::vector<P> head(steps.begin(), steps.begin() + 4);
  EXPECT_EQ(head, (std::vector<P>{{8, 0}, {8, 1}, {6, 1}, {0, 2}}));
  EXPECT_EQ(steps.size(), 10u);  // the first request's 10 tokens
}

// Seeded chaos: everything ends, in bounds, with every token made once.
TEST(Batcher, NeverDeadlocksWhateverComes) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Random random(seed, 1);
    BatcherOptions options;
    options.limits.max_batch = static_cast<uint32_t>(random.Between(1, 9));
    options.limits.block_tokens = static_cast<uint32_t>(random.Between(1, 5));
    options.limits.blocks = static_cast<uint32_t>(random.Between(3, 40));
    options.prefill_chunk = static_cast<uint32_t>(random.Between(1, 20));
    options.context_max = 100;
    options.queue_max = 50;
    Batcher batcher(options);
    PlanState mirror(options.limits);
    std::map<uint64_t, uint32_t> wanted;
    for (uint64_t i = 0; i < 50; ++i) {
      const auto prompt = static_cast<uint32_t>(random.Between(1, 30));
      const auto output = static_cast<uint32_t>(random.Between(1, 30));
      if (batcher.Submit({i, prompt, output}).ok()) wanted[i] = output;
    }
    const Outcome outcome = Drain(batcher, mirror);
    EXPECT_EQ(outcome.emitted, wanted) << "seed " << seed;
    EXPECT_LE(outcome.rows_max, options.limits.max_batch + options.prefill_chunk);
    EXPECT_LE(outcome.prefill_max, options.prefill_chunk);
    EXPECT_EQ(mirror.pool().used(), 0u);
    EXPECT_EQ(batcher.running(), 0u);
  }
}

TEST(Batcher, AStepThatDoesNotFitIntoAPlanSplits) {
  BatcherOptions options;
  options.limits = {kMaxBatchLimit, 1, 3 * kMaxBatchLimit};  // a block per token
  options.prefill_chunk = 65536;
  options.context_max = 100;
  options.queue_max = kMaxBatchLimit;
  Batcher batcher(options);
  PlanState mirror(options.limits);
  for (uint64_t i = 0; i < kMaxBatchLimit; ++i) ASSERT_TRUE(batcher.Submit({i, 1, 3}).ok());
  const Outcome outcome = Drain(batcher, mirror);
  EXPECT_LE(outcome.bytes_max, kPlanBytesMax);
  EXPECT_GT(outcome.bytes_max, kPlanBytesMax - 64);
  EXPECT_EQ(outcome.ended.size(), kMaxBatchLimit);
}

TEST(Batcher, EndForgetsEverythingAndStartsAnew) {
  BatcherOptions options = Small();
  Batcher batcher(options);
  PlanState mirror(options.limits);
  for (uint64_t i = 0; i < 6; ++i) ASSERT_TRUE(batcher.Submit({i, 16, 16}).ok());
  StepPlan plan;
  ASSERT_TRUE(batcher.PlanNext(plan));
  ASSERT_TRUE(mirror.Apply(plan, nullptr).ok());
  EXPECT_GT(mirror.pool().used(), 0u);
  ASSERT_TRUE(mirror.Apply(batcher.PlanEnd(), nullptr).ok());
  EXPECT_EQ(mirror.pool().used(), 0u);
  EXPECT_FALSE(batcher.PlanNext(plan));
  ASSERT_TRUE(batcher.Submit({9, 4, 4}).ok());
  EXPECT_EQ(Drain(batcher, mirror).ended, std::vector<uint64_t>{9});
}

}  // namespace
}  // namespace rackmark

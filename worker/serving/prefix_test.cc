// Prefix reuse in the planner, against a cache that is played with token ids instead of keys and
// values: whatever is planned, a sequence must find its own tokens in its blocks.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/random.h"
#include "worker/serving/batcher.h"
#include "worker/serving/block_cache.h"
#include "worker/serving/plan_state.h"
#include "worker/serving/step_plan.h"

namespace rackmark {
namespace {

TEST(BlockCache, ANamedBlockIsSharedAndTheLongestUnusedIsOverwritten) {
  BlockCache cache(3);
  EXPECT_EQ(cache.Fresh(), 0u);
  EXPECT_EQ(cache.Fresh(), 1u);
  cache.Name(0, 100);
  cache.Name(1, 101);
  EXPECT_EQ(cache.Share(100), 0u);
  EXPECT_FALSE(cache.Share(102).has_value());
  cache.Release(0);
  cache.Release(1);
  EXPECT_EQ(cache.Share(101), 1u);  // nobody held it, but it is still there
  cache.Release(1);
  cache.Release(0);              // the last of its two holders
  EXPECT_EQ(cache.Fresh(), 2u);  // never named: before any that might be of use
  EXPECT_EQ(cache.Fresh(), 1u);  // let go first
  EXPECT_FALSE(cache.Share(101).has_value());
  EXPECT_EQ(cache.Share(100), 0u);
}

TEST(BlockCache, TheFirstBlockOfANameKeepsIt) {
  BlockCache cache(2);
  const uint32_t a = cache.Fresh(), b = cache.Fresh();
  cache.Name(a, 7);
  cache.Name(b, 7);
  cache.Release(b);
  EXPECT_EQ(cache.Fresh(), b);  // it had no name
  EXPECT_EQ(cache.Share(7), a);
}

// Prompts of a few families: those of one begin alike for a length of their own.
struct Prompts {
  uint64_t families = 3;
  uint32_t alike = 20;
  uint64_t Token(uint64_t request, uint32_t position) const {
    const uint64_t name = position < alike ? 1'000'000 + request % families : request;
    return Mix64(name ^ Mix64(position)) | 1;
  }
  BlockNames Names(uint32_t block_tokens) const {
    return [this, block_tokens](const EngineRequest& request, std::vector<uint64_t>& names) {
      uint64_t chain = 0;
      for (uint32_t p = 0; p < request.prompt_tokens; ++p) {
        chain = Mix64(chain ^ Token(request.index, p));
        if ((p + 1) % block_tokens == 0) names.push_back(chain);
      }
    };
  }
};

// A follower with a cache of token ids.
class Player {
 public:
  Player(const PlanLimits& limits, const Prompts& prompts)
      : limits_(limits),
        prompts_(prompts),
        mirror_(limits),
        content_(size_t{limits.blocks} * limits.block_tokens) {}

  void Run(const StepPlan& plan) {
    std::string wire;
    EncodePlan(plan, wire);
    StepPlan received;
    ASSERT_TRUE(DecodePlan(wire, received).ok());
    const std::vector<uint64_t> before = content_;
    const absl::Status status = mirror_.Apply(received, &work_);
    ASSERT_TRUE(status.ok()) << status;
    for (const WorkRow& row : work_.rows) At(row.slot, row.position) = Wanted(row);
    for (const WorkRow& row : work_.rows) {
      for (uint32_t p = 0; p <= row.position; ++p) {
        ASSERT_EQ(At(row.slot, p), Wanted({row.slot, p, true})) << "position " << p;
      }
    }
    // What is shared was there before this step: nobody else writes it now.
    std::map<uint16_t, uint32_t> shared;
    for (const StepPlan::NewBlock& share : received.shares) {
      for (uint32_t i = 0; i < limits_.block_tokens; ++i) {
        const uint32_t p = shared[share.slot] * limits_.block_tokens + i;
        ASSERT_EQ(before[size_t{share.block} * limits_.block_tokens + i],
                  Wanted({share.slot, p, true}));
      }
      ++shared[share.slot];
    }
    prefilled += work_.prefill_tokens;
    for (const WorkSample& sample : work_.samples) {
      EXPECT_EQ(sample.position, emitted[sample.request]++);
      if (sample.position == 0) cached += sample.cached;
    }
  }

  const PlanState& mirror() const { return mirror_; }
  std::map<uint64_t, uint32_t> emitted;
  uint64_t prefilled = 0;
  uint64_t cached = 0;

 private:
  uint64_t& At(uint32_t slot, uint32_t position) {
    const auto block = static_cast<size_t>(mirror_.table(slot)[position / limits_.block_tokens]);
    return content_[block * limits_.block_tokens + position % limits_.block_tokens];
  }
  // Of an output, a token that only this request can have made.
  uint64_t Wanted(const WorkRow& row) const {
    const SequenceView& sequence = mirror_.slot(row.slot);
    if (row.position < sequence.prompt_tokens)
      return prompts_.Token(sequence.request, row.position);
    return Mix64(Mix64(sequence.request + 77) ^ row.position) << 1;
  }

  const PlanLimits limits_;
  const Prompts& prompts_;
  PlanState mirror_;
  StepWork work_;
  std::vector<uint64_t> content_;  // (blocks, block_tokens)
};

// Blocks in use and those that the running sequences may still need, in the worst case.
uint64_t Promised(const PlanState& mirror) {
  uint64_t sum = mirror.pool().used();
  for (const uint16_t slot : mirror.order()) {
    const SequenceView& s = mirror.slot(slot);
    sum += BlocksFor(KvPositions(s.prompt_tokens, s.output_tokens), mirror.limits().block_tokens) -
           mirror.table(slot).size();
  }
  return sum;
}

struct Totals {
  uint64_t prompts = 0;
  uint64_t cached = 0;
};

// Requests come in bursts, so that some meet a cache in use and some one at rest.
void Chaos(uint64_t seed, Totals& totals) {
  Random random(seed, 9);
  Prompts prompts;
  prompts.families = random.Between(1, 4);
  prompts.alike = static_cast<uint32_t>(random.Between(0, 40));
  BatcherOptions options;
  options.limits.max_batch = static_cast<uint32_t>(random.Between(1, 9));
  options.limits.block_tokens = static_cast<uint32_t>(random.Between(1, 5));
  options.limits.blocks = static_cast<uint32_t>(random.Between(12, 80));
  options.prefill_chunk = static_cast<uint32_t>(random.Between(1, 30));
  options.context_max = 100;
  options.queue_max = 100;
  options.names = prompts.Names(options.limits.block_tokens);
  Batcher batcher(options);
  Player player(options.limits, prompts);
  std::map<uint64_t, uint32_t> wanted;
  uint64_t prompt_tokens = 0;
  StepPlan plan;
  for (uint64_t i = 0; i < 60; ++i) {
    const auto prompt = static_cast<uint32_t>(random.Between(1, 60));
    const auto output = static_cast<uint32_t>(random.Between(1, 12));
    if (batcher.Submit({i, prompt, output, random.Between(0, 9) > 0}).ok()) {
      wanted[i] = output;
      prompt_tokens += prompt;
    }
    for (uint64_t steps = random.Between(0, 6); steps > 0 && batcher.PlanNext(plan); --steps) {
      ASSERT_NO_FATAL_FAILURE(player.Run(plan));
      ASSERT_LE(Promised(player.mirror()), options.limits.blocks) << "a sequence may lack a block";
    }
  }
  while (batcher.PlanNext(plan)) {
    ASSERT_NO_FATAL_FAILURE(player.Run(plan));
    ASSERT_LE(Promised(player.mirror()), options.limits.blocks) << "a sequence may lack a block";
  }
  EXPECT_EQ(player.emitted, wanted);
  EXPECT_EQ(player.prefilled + player.cached, prompt_tokens);
  EXPECT_EQ(player.mirror().pool().used(), 0u);
  totals.prompts += prompt_tokens;
  totals.cached += player.cached;
}

TEST(PrefixReuse, ASequenceAlwaysFindsItsOwnTokens) {
  Totals totals;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    Chaos(seed, totals);
    if (testing::Test::HasFatalFailure()) return;
  }
  EXPECT_GT(totals.cached, totals.prompts / 10) << "hardly anything was shared";
}

// How many run at once of so many equal requests in a cache that is small for them.
uint32_t MostAtOnce(bool share, const PlanLimits& limits, uint32_t prompt, uint32_t output) {
  Prompts prompts;
  prompts.families = 1;
  prompts.alike = prompt;
  BatcherOptions options;
  options.limits = limits;
  options.prefill_chunk = prompt;
  options.context_max = prompt + output;
  options.queue_max = 100;
  options.names = prompts.Names(limits.block_tokens);
  Batcher batcher(options);
  Player player(limits, prompts);
  StepPlan plan;
  std::map<uint64_t, uint32_t> wanted;
  for (uint64_t i = 0; i < limits.max_batch; ++i) {
    EXPECT_TRUE(batcher.Submit({i, prompt, output, share}).ok());
    wanted[i] = output;
  }
  uint32_t most = 0;
  while (batcher.PlanNext(plan)) {
    player.Run(plan);
    if (testing::Test::HasFatalFailure()) return 0;
    EXPECT_LE(Promised(player.mirror()), limits.blocks);
    most = std::max(most, player.mirror().active());
  }
  EXPECT_EQ(player.emitted, wanted) << "everybody ends";
  return most;
}

// Of 9 blocks each, 8 are alike: alone they fill the cache, together each takes one more.
TEST(PrefixReuse, WhatIsSharedIsReservedOnce) {
  const PlanLimits limits{8, 4, 14};
  EXPECT_EQ(MostAtOnce(false, limits, 33, 4), 1u);
  EXPECT_EQ(MostAtOnce(true, limits, 33, 4), 6u);
}

// As full as it can be: a whole prompt that is there but held by nobody takes its room again.
TEST(PrefixReuse, WhatNobodyHoldsIsCountedWhenItIsSharedAgain) {
  for (uint32_t blocks = 9; blocks < 20; ++blocks) {
    SCOPED_TRACE(blocks);
    const uint32_t most = MostAtOnce(true, {20, 4, blocks}, 33, 4);
    EXPECT_EQ(most, 1 + (blocks - 9));
  }
}

TEST(PrefixReuse, ThePhasesEndForgetsWhatWasThere) {
  Prompts prompts;
  BatcherOptions options{{4, 4, 64}, 64, 100, 10, prompts.Names(4)};
  Batcher batcher(options);
  Player player(options.limits, prompts);
  StepPlan plan;
  for (const uint64_t expected : {16u, 16u}) {
    for (const uint64_t request : {3u, 6u}) {  // of one family, 20 tokens alike
      ASSERT_TRUE(batcher.Submit({request, 18, 2, true}).ok());
      while (batcher.PlanNext(plan)) ASSERT_NO_FATAL_FAILURE(player.Run(plan));
    }
    // The second of each phase shares four blocks with the first; the first one nothing.
    EXPECT_EQ(player.cached, expected);
    player.cached = 0;
    player.emitted.clear();
    ASSERT_NO_FATAL_FAILURE(player.Run(batcher.PlanEnd()));
  }
}

TEST(PrefixReuse, AWrongShareIsRefused) {
  StepPlan plan;
  plan.step = 1;
  plan.admits = {{5, 8, 2, 0}};
  plan.shares = {{1, 0}, {2, 0}};  // both blocks: nothing would be left to compute
  EXPECT_TRUE(absl::IsInternal(PlanState({2, 4, 8}).Apply(plan, nullptr)));
  plan.shares = {{9, 0}};
  EXPECT_TRUE(absl::IsInternal(PlanState({2, 4, 8}).Apply(plan, nullptr)));
  plan.shares = {{1, 1}};
  EXPECT_TRUE(absl::IsInternal(PlanState({2, 4, 8}).Apply(plan, nullptr)));
}

}  // namespace
}  // namespace rackmark

#include "worker/serving/engine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "kernels/collective_shm.h"
#include "worker/serving/reference_model.h"
#include "worker/serving/verify.h"

namespace rackmark {
namespace {

struct Output {
  std::map<uint64_t, std::vector<int32_t>> tokens;  // by request
  // By (request, position), the whole vocabulary put together from the ranks' shards.
  std::map<std::pair<uint64_t, uint32_t>, std::vector<float>> logits;
};

EngineOptions Nano(bool deterministic) {
  EngineOptions options;
  options.shape = *FindModel("nano-1m");
  options.seed = 7;
  options.deterministic = deterministic;
  options.kv_block_tokens = 8;
  options.kv_memory_bytes = 4 << 20;  // 1024 B a token: 512 blocks
  options.max_batch = 16;
  options.prefill_chunk = 48;
  return options;
}

// A gang in threads of this process. `lead` is rank 0's program; the others follow until it has
// ended `phases` phases.
class GangRun {
 public:
  GangRun(const EngineOptions& options, int world, int phases = 1,
          const PromptSource* prompts = nullptr)
      : options_(options), world_(world), phases_(phases), prompts_(prompts) {}

  template <typename Lead>
  void Run(Lead lead) {
    auto segment = ShmSegment::Create({world_, 64 << 10});
    ASSERT_TRUE(segment.ok()) << segment.status();
    std::vector<std::thread> followers;
    followed_.resize(static_cast<size_t>(world_));
    for (int rank = 1; rank < world_; ++rank) {
      followers.emplace_back([&, rank, name = (*segment)->name(), nonce = (*segment)->nonce()] {
        auto own = ShmSegment::Attach(name, nonce, rank);
        ASSERT_TRUE(own.ok()) << own.status();
        RunRank(*own, [&](Engine& engine) { Follow(engine, rank); });
      });
    }
    RunRank(*segment, lead);
    for (std::thread& thread : followers) thread.join();
  }

  Output output;  // logits from the shards of all ranks
  const std::vector<std::vector<int32_t>>& followed() const { return followed_; }

 private:
  template <typename Body>
  void RunRank(const std::shared_ptr<ShmSegment>& segment, Body body) {
    ASSERT_TRUE(segment->AwaitAll(20 * kSecond).ok());
    const auto ops = MakeCpuOps();
    const auto collective = MakeShmCollective(segment);
    const auto channel = MakeShmChannel(segment);
    auto engine = Engine::Create(
        options_, {ops.get(), collective.get(), channel.get(), &SystemClock(), prompts_});
    ASSERT_TRUE(engine.ok()) << engine.status();
    (*engine)->SetLogitsObserver([this](const Engine::LogitsView& view) {
      std::lock_guard lock(mutex_);
      std::vector<float>& row = output.logits[{view.request, view.position}];
      row.resize(options_.shape.vocab);
      std::copy_n(view.logits, view.rows, row.begin() + view.first);
    });
    body(**engine);
    EXPECT_EQ((*engine)->kv_blocks_free(), (*engine)->kv_blocks_total());
  }

  void Follow(Engine& engine, int rank) {
    for (int ended = 0; ended < phases_;) {
      const auto outcome = engine.FollowStep(20 * kSecond);
      ASSERT_TRUE(outcome.ok()) << outcome.status();
      ASSERT_NE(*outcome, FollowOutcome::kNoPlanYet);
      if (*outcome == FollowOutcome::kPhaseEnded) ++ended;
      if (*outcome != FollowOutcome::kRanStep) continue;
      for (const TokenEvent& event : engine.last_step().tokens) {
        followed_[static_cast<size_t>(rank)].push_back(event.token);
      }
    }
  }

  const EngineOptions options_;
  const int world_;
  const int phases_;
  const PromptSource* const prompts_;
  std::mutex mutex_;
  std::vector<std::vector<int32_t>> followed_;  // (world): all tokens in order
};

std::vector<EngineRequest> MixedRequests(uint64_t n, uint32_t output_tokens) {
  std::vector<EngineRequest> requests;
  for (uint64_t i = 0; i < n; ++i) {
    requests.push_back({i, static_cast<uint32_t>(3 + (i * 13) % 40), output_tokens});
  }
  return requests;
}

void StepUntilIdle(Engine& engine, Output& output, std::vector<int32_t>* order = nullptr) {
  while (true) {
    const auto step = engine.Step();
    ASSERT_TRUE(step.ok()) << step.status();
    if ((*step)->idle) return;
    for (const TokenEvent& event : (*step)->tokens) {
      std::vector<int32_t>& tokens = output.tokens[event.request];
      ASSERT_EQ(event.position, tokens.size());
      EXPECT_EQ(event.first, event.position == 0);
      tokens.push_back(event.token);
      if (order != nullptr) order->push_back(event.token);
    }
  }
}

Output Generate(const EngineOptions& options, int world,
                const std::vector<EngineRequest>& requests) {
  GangRun gang(options, world);
  std::vector<int32_t> order;
  gang.Run([&](Engine& engine) {
    for (const EngineRequest& request : requests) ASSERT_TRUE(engine.Submit(request).ok());
    StepUntilIdle(engine, gang.output, &order);
    ASSERT_TRUE(engine.EndPhase().ok());
  });
  for (size_t rank = 1; rank < gang.followed().size(); ++rank) {
    EXPECT_EQ(gang.followed()[rank], order) << "rank " << rank << " sampled otherwise";
  }
  return std::move(gang.output);
}

void ExpectSameBits(const Output& a, const Output& b) {
  EXPECT_EQ(a.tokens, b.tokens);
  ASSERT_EQ(a.logits.size(), b.logits.size());
  size_t different = 0;
  for (const auto& [key, row] : a.logits) {
    const auto other = b.logits.find(key);
    ASSERT_NE(other, b.logits.end());
    if (std::memcmp(row.data(), other->second.data(), row.size() * sizeof(float)) != 0) {
      ++different;
    }
  }
  EXPECT_EQ(different, 0u) << "of " << a.logits.size() << " logit rows";
}

double LargestDifference(const Output& a, const Output& b, uint32_t positions) {
  double largest = 0;
  for (const auto& [key, row] : a.logits) {
    const auto other = b.logits.find(key);
    if (key.second >= positions || other == b.logits.end()) continue;
    for (size_t i = 0; i < row.size(); ++i) {
      largest = std::fmax(largest, std::fabs(double{row[i]} - other->second[i]));
    }
  }
  return largest;
}

TEST(Engine, DeterministicModeIsBitIdenticalOverTensorParallelDegrees) {
  const std::vector<EngineRequest> requests = MixedRequests(16, 128);
  const Output alone = Generate(Nano(true), 1, requests);
  ASSERT_EQ(alone.logits.size(), 16u * 128);
  for (const int world : {2, 4, 8}) {
    SCOPED_TRACE(world);
    ExpectSameBits(alone, Generate(Nano(true), world, requests));
  }
}

TEST(Engine, OutputIsNotDegenerate) {
  const Output output = Generate(Nano(false), 1, MixedRequests(4, 64));
  std::set<std::vector<int32_t>> texts;
  for (const auto& [request, tokens] : output.tokens) {
    EXPECT_GT(std::set<int32_t>(tokens.begin(), tokens.end()).size(), 20u) << request;
    texts.insert(tokens);
  }
  EXPECT_EQ(texts.size(), 4u);
}

TEST(Engine, FastModeAgreesWithOneRankWithinRounding) {
  // One token each: later ones would follow another text once an argmax flips.
  const std::vector<EngineRequest> requests = MixedRequests(12, 1);
  const Output one = Generate(Nano(false), 1, requests);
  for (const int world : {2, 8}) {
    const Output many = Generate(Nano(false), world, requests);
    ASSERT_EQ(many.logits.size(), 12u);
    EXPECT_LT(LargestDifference(one, many, 1), 0.02);
  }
}

// Even requests begin alike, and so do odd ones; each goes on in its own way.
class TwoBeginnings : public PromptSource {
 public:
  static constexpr uint32_t kAlike = 28;
  explicit TwoBeginnings(const EngineOptions& options) : options_(options) {}
  int32_t Token(uint64_t request, uint32_t position) const override {
    const uint64_t name = position < kAlike ? 1000 + request % 2 : request;
    return PromptToken(options_.seed, name, position, options_.shape.vocab);
  }

 private:
  const EngineOptions options_;
};

// The tokens, and how many of each prompt's were not computed.
std::pair<Output, std::map<uint64_t, uint32_t>> GenerateWithBeginnings(const EngineOptions& options,
                                                                       int world, bool share) {
  const TwoBeginnings prompts(options);
  GangRun gang(options, world, 1, &prompts);
  std::map<uint64_t, uint32_t> cached;
  gang.Run([&](Engine& engine) {
    for (uint64_t i = 0; i < 9; ++i) {
      const EngineRequest request{i, static_cast<uint32_t>(29 + 7 * i), 6, share};
      ASSERT_TRUE(engine.Submit(request).ok());
    }
    while (true) {
      const auto step = engine.Step();
      ASSERT_TRUE(step.ok()) << step.status();
      if ((*step)->idle) break;
      for (const TokenEvent& event : (*step)->tokens) {
        gang.output.tokens[event.request].push_back(event.token);
        cached[event.request] = event.cached_tokens;
      }
    }
    ASSERT_TRUE(engine.EndPhase().ok());
  });
  return {std::move(gang.output), cached};
}

TEST(Engine, SharedBlocksGiveTheSameBitsAsComputingThemAnew) {
  for (const bool deterministic : {true, false}) {
    for (const int world : {1, 2}) {
      SCOPED_TRACE(world);
      EngineOptions options = Nano(deterministic);
      options.max_batch = 3;  // later requests come when earlier prompts are there
      const auto [anew, none] = GenerateWithBeginnings(options, world, false);
      const auto [shared, cached] = GenerateWithBeginnings(options, world, true);
      ASSERT_EQ(anew.tokens.size(), 9u);
      ExpectSameBits(anew, shared);
      for (const auto& [request, tokens] : none) EXPECT_EQ(tokens, 0u) << request;
      // Blocks of 8 tokens: three whole ones of the 28 that begin alike.
      for (uint64_t request = 5; request < 9; ++request) EXPECT_EQ(cached.at(request), 24u);
      EXPECT_EQ(cached.at(0), 0u);
    }
  }
}

// Grouped-query attention and a shape that no 8 divides.
ModelShape Odd() {
  ModelShape shape = *FindModel("nano-1m");
  shape.name = "odd";
  shape.vocab = 300;
  shape.hidden = 96;
  shape.heads = 12;
  shape.kv_heads = 6;
  shape.head_dim = 8;
  shape.intermediate = 144;
  shape.layers = 3;
  shape.rope_scaling = RopeScaling{8, 1, 4, 16};
  return shape;
}

TEST(Engine, AgreesWithThePlainReference) {
  for (const bool odd : {false, true}) {
    EngineOptions options = Nano(false);
    if (odd) options.shape = Odd();
    const std::vector<EngineRequest> requests = {{3, 50, 6}, {4, 7, 6}};
    for (const int world : {1, odd ? 3 : 4}) {
      const Output output = Generate(options, world, requests);
      for (const EngineRequest& request : requests) {
        std::vector<int32_t> ids;
        for (uint32_t p = 0; p < request.prompt_tokens; ++p) {
          ids.push_back(PromptToken(options.seed, request.index, p, options.shape.vocab));
        }
        const std::vector<int32_t>& tokens = output.tokens.at(request.index);
        ids.insert(ids.end(), tokens.begin(), tokens.end() - 1);
        const auto expected =
            ReferenceLogits(options.shape, options.seed, ids, request.prompt_tokens - 1);
        for (uint32_t i = 0; i < expected.size(); ++i) {
          const std::vector<float>& row = output.logits.at({request.index, i});
          for (size_t v = 0; v < row.size(); ++v) ASSERT_NEAR(row[v], expected[i][v], 0.03);
        }
      }
    }
  }
}

TEST(Engine, BatchCompositionChangesNothing) {
  for (const bool deterministic : {false, true}) {
    const std::vector<EngineRequest> requests = MixedRequests(12, 20);
    const Output together = Generate(Nano(deterministic), 1, requests);
    Output apart;
    EngineOptions small = Nano(deterministic);
    small.prefill_chunk = 5;  // other chunk borders, too
    for (const EngineRequest& request : requests) {
      const Output one = Generate(small, 1, {request});
      apart.tokens.insert(one.tokens.begin(), one.tokens.end());
      apart.logits.insert(one.logits.begin(), one.logits.end());
    }
    ExpectSameBits(together, apart);
  }
}

TEST(Engine, AFullCacheMakesRequestsWaitNotFail) {
  EngineOptions options = Nano(false);
  options.kv_memory_bytes = 16 * 8 * 1024;  // 16 blocks of 8: about two requests at a time
  const std::vector<EngineRequest> requests = MixedRequests(10, 16);
  GangRun gang(options, 2);
  gang.Run([&](Engine& engine) {
    EXPECT_EQ(engine.kv_blocks_total(), 16u);
    const absl::Status never = engine.Submit({99, 120, 30});
    EXPECT_TRUE(absl::IsInvalidArgument(never)) << never;
    for (const EngineRequest& request : requests) ASSERT_TRUE(engine.Submit(request).ok());
    const auto first = engine.Step();
    ASSERT_TRUE(first.ok());
    EXPECT_GT((*first)->stats.waiting, 0u);
    EXPECT_LT((*first)->stats.running, 10u);
    for (const TokenEvent& event : (*first)->tokens) {
      gang.output.tokens[event.request].push_back(event.token);
    }
    StepUntilIdle(engine, gang.output);
    ASSERT_TRUE(engine.EndPhase().ok());
  });
  ASSERT_EQ(gang.output.tokens.size(), 10u);
  EXPECT_EQ(gang.output.tokens, Generate(Nano(false), 2, requests).tokens);
}

TEST(Engine, PhasesStartCleanAndAbortWhatIsLeft) {
  const std::vector<EngineRequest> requests = MixedRequests(5, 10);
  GangRun gang(Nano(false), 2, 2);
  Output second;
  gang.Run([&](Engine& engine) {
    for (uint64_t i = 0; i < 40; ++i) ASSERT_TRUE(engine.Submit({100 + i, 20, 50}).ok());
    for (int i = 0; i < 9; ++i) ASSERT_TRUE(engine.Step().ok());
    EXPECT_LT(engine.kv_blocks_free(), engine.kv_blocks_total());
    const auto end = engine.EndPhase();
    ASSERT_TRUE(end.ok()) << end.status();
    EXPECT_TRUE(end->ran_step);
    EXPECT_EQ(end->aborted_running, 16u);
    EXPECT_EQ(end->aborted_waiting, 24u);
    EXPECT_EQ(engine.kv_blocks_free(), engine.kv_blocks_total());
    const auto idle = engine.Step();
    ASSERT_TRUE(idle.ok());
    EXPECT_TRUE((*idle)->idle);
    for (const EngineRequest& request : requests) ASSERT_TRUE(engine.Submit(request).ok());
    StepUntilIdle(engine, second);
    ASSERT_TRUE(engine.EndPhase().ok());
  });
  EXPECT_EQ(second.tokens, Generate(Nano(false), 2, requests).tokens);
}

TEST(Engine, StepStatsAddUp) {
  GangRun gang(Nano(false), 2);
  gang.Run([&](Engine& engine) {
    ASSERT_TRUE(engine.Submit({1, 10, 3}).ok());
    const Nanos before = SystemClock().Monotonic();
    const auto step = engine.Step();
    ASSERT_TRUE(step.ok()) << step.status();
    const Nanos after = SystemClock().Monotonic();
    const StepStats& stats = (*step)->stats;
    EXPECT_EQ(stats.prefill_tokens, 10u);
    EXPECT_EQ(stats.decode_tokens, 0u);
    EXPECT_EQ(stats.running, 1u);
    EXPECT_EQ(stats.kv_blocks_used, 2u);
    EXPECT_GT(stats.compute_s, 0);
    ASSERT_EQ((*step)->collectives.size(), 2u * 2 + 1);  // 2 layers, then the sampled token
    double wait = 0, transfer = 0;
    for (const CollectiveRecord& record : (*step)->collectives) {
      wait += static_cast<double>(record.wait) * 1e-9;
      transfer += static_cast<double>(record.transfer) * 1e-9;
    }
    EXPECT_EQ((*step)->collectives[0].op, CollectiveOp::kAllReduce);
    EXPECT_EQ((*step)->collectives[0].bytes, 10u * 128 * 4);
    EXPECT_EQ((*step)->collectives[4].op, CollectiveOp::kAllGather);
    EXPECT_NEAR(stats.collective_wait_s, wait, 1e-9);
    EXPECT_NEAR(stats.collective_transfer_s, transfer, 1e-9);
    EXPECT_LE(stats.compute_s + stats.host_s + stats.plan_wait_s + wait + transfer,
              static_cast<double>(after - before) * 1e-9 + 1e-6);
    EXPECT_GE(stats.t_end_ns, before);
    ASSERT_EQ((*step)->tokens.size(), 1u);
    EXPECT_TRUE((*step)->tokens[0].first);
    EXPECT_FALSE((*step)->tokens[0].last);
    // What the caller does with a result is host time of the step that follows, so that the split
    // leaves no part of a busy stretch out.
    const Nanos first_end = stats.t_end_ns;
    const Nanos busy_from = SystemClock().Monotonic();
    while (SystemClock().Monotonic() - busy_from < 2 * kMillisecond) {
    }
    const Nanos busy = SystemClock().Monotonic() - busy_from;
    const auto second = engine.Step();
    ASSERT_TRUE(second.ok()) << second.status();
    const StepStats& next = (*second)->stats;
    EXPECT_GE(next.host_s, static_cast<double>(busy) * 1e-9);
    EXPECT_LE(next.compute_s + next.host_s + next.plan_wait_s + next.collective_wait_s +
                  next.collective_transfer_s,
              static_cast<double>(next.t_end_ns - first_end) * 1e-9 + 1e-6);
    ASSERT_TRUE(engine.EndPhase().ok());
  });
}

TEST(Engine, RefusesImpossibleOptionsBeforeAllocating) {
  EngineOptions options = Nano(false);
  EXPECT_TRUE(Engine::Check(options, 8).ok());
  EXPECT_FALSE(Engine::Check(options, 3).ok());
  options.kv_memory_bytes = 100;
  const absl::Status small = Engine::Check(options, 1);
  EXPECT_NE(small.message().find("8192 bytes"), absl::string_view::npos) << small;
  options = Nano(false);
  options.max_batch = 0;
  EXPECT_FALSE(Engine::Check(options, 1).ok());
  options = Nano(false);
  const uint64_t one = *Engine::BytesWanted(options, 1);
  EXPECT_GT(one, (4u << 20) + 786432u * 2);
  EXPECT_GT(one, *Engine::BytesWanted(options, 4));
}

TEST(Verify, PassesAnHonestRunAndFindsAWrongToken) {
  const std::vector<EngineRequest> requests = MixedRequests(3, 9);
  GangRun gang(Nano(false), 2, 3);
  gang.Run([&](Engine& engine) {
    for (const EngineRequest& request : requests) ASSERT_TRUE(engine.Submit(request).ok());
    StepUntilIdle(engine, gang.output);
    ASSERT_TRUE(engine.EndPhase().ok());
    std::vector<MeasuredRequest> measured;
    for (const EngineRequest& request : requests) {
      measured.push_back({request, gang.output.tokens.at(request.index)});
    }
    const auto honest = VerifyGang(engine, measured);
    ASSERT_TRUE(honest.ok()) << honest.status();
    EXPECT_EQ(honest->checked, 27u + 8);
    EXPECT_EQ(honest->reference_checked, 8u);
    EXPECT_EQ(honest->wrong, 0u) << honest->first_wrong;
    measured[1].tokens[4] ^= 1;
    const auto caught = VerifyGang(engine, measured);
    ASSERT_TRUE(caught.ok()) << caught.status();
    EXPECT_EQ(caught->wrong, 1u);
    EXPECT_NE(caught->first_wrong.find("position 4"), std::string::npos) << caught->first_wrong;
  });
}

TEST(Verify, TheReferenceFindsAnotherModel) {
  EngineOptions options = Nano(false);
  GangRun gang(options, 1);
  const EngineRequest request{5, 12, 6};
  std::vector<TokenEvent> events;
  gang.Run([&](Engine& engine) {
    ASSERT_TRUE(engine.Submit(request).ok());
    while (true) {
      const auto step = engine.Step();
      ASSERT_TRUE(step.ok());
      if ((*step)->idle) break;
      events.insert(events.end(), (*step)->tokens.begin(), (*step)->tokens.end());
    }
    ASSERT_TRUE(engine.EndPhase().ok());
  });
  VerifyResult same, other;
  CompareWithReference(options, request, events, same);
  EXPECT_EQ(same.wrong, 0u) << same.first_wrong;
  options.shape.rms_eps = 0.5F;  // almost the same model
  CompareWithReference(options, request, events, other);
  EXPECT_GT(other.wrong, 0u) << other.logit_error_max;
}

}  // namespace
}  // namespace rackmark

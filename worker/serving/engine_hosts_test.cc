// The engine over the transports between hosts: in deterministic mode the same bits as one rank.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <mutex>
#include <thread>

#include "kernels/collective_gloo.h"
#include "kernels/collective_hier.h"
#include "kernels/collective_shm.h"
#include "kernels/host_channel_tcp.h"
#include "worker/serving/engine.h"

namespace rackmark {
namespace {

constexpr Nanos kPlenty = 120 * kSecond;
constexpr uint64_t kRequests = 6;
constexpr uint32_t kTokens = 24;

struct Output {
  std::map<uint64_t, std::vector<int32_t>> tokens;                     // by request
  std::map<std::pair<uint64_t, uint32_t>, std::vector<float>> logits;  // by (request, position)
};

EngineOptions Nano() {
  EngineOptions options;
  options.shape = *FindModel("nano-1m");
  options.seed = 7;
  options.deterministic = true;
  options.kv_block_tokens = 8;
  options.kv_memory_bytes = 4 << 20;
  options.max_batch = 16;
  options.prefill_chunk = 48;
  return options;
}

// One rank's whole life with these. Rank 0 leads; the others follow to the end of the phase.
class Serving {
 public:
  void Rank(int rank, Collective* collective, HostChannel* channel) {
    const auto ops = MakeCpuOps();
    auto engine = Engine::Create(options_, {ops.get(), collective, channel, &SystemClock()});
    ASSERT_TRUE(engine.ok()) << engine.status();
    (*engine)->SetLogitsObserver([this](const Engine::LogitsView& view) {
      std::lock_guard lock(mutex_);
      std::vector<float>& row = output_.logits[{view.request, view.position}];
      row.resize(options_.shape.vocab);
      std::copy_n(view.logits, view.rows, row.begin() + view.first);
    });
    if (rank == 0) {
      Lead(**engine);
    } else {
      Follow(**engine);
    }
  }
  const Output& output() const { return output_; }

 private:
  void Lead(Engine& engine) {
    for (uint64_t i = 0; i < kRequests; ++i) {
      ASSERT_TRUE(engine.Submit({i, static_cast<uint32_t>(3 + (i * 13) % 40), kTokens}).ok());
    }
    while (true) {
      const auto step = engine.Step();
      ASSERT_TRUE(step.ok()) << step.status();
      if ((*step)->idle) break;
      for (const TokenEvent& event : (*step)->tokens) {
        output_.tokens[event.request].push_back(event.token);
      }
    }
    ASSERT_TRUE(engine.EndPhase().ok());
  }
  void Follow(Engine& engine) {
    while (true) {
      const auto outcome = engine.FollowStep(kPlenty);
      ASSERT_TRUE(outcome.ok()) << outcome.status();
      ASSERT_NE(*outcome, FollowOutcome::kNoPlanYet);
      if (*outcome == FollowOutcome::kPhaseEnded) return;
    }
  }

  const EngineOptions options_ = Nano();
  std::mutex mutex_;
  Output output_;
};

// What rank `rank` of `groups` meets the others with.
struct Wires {
  std::shared_ptr<GlooMesh> mesh;
  std::shared_ptr<ShmSegment> segment;  // made by the leader of its host, taken by the others
};

void RankOverHosts(Serving& serving, int rank, const HostGroups& groups, std::vector<Wires>& wires,
                   ChannelListener& listener) {
  const int world = static_cast<int>(wires.size());
  std::vector<std::string> addresses;
  for (const Wires& wire : wires) addresses.push_back(wire.mesh->addresses());
  Wires& own = wires[static_cast<size_t>(rank)];
  ASSERT_EQ(own.mesh->Connect(addresses), absl::OkStatus());
  std::unique_ptr<Collective> local;
  std::unique_ptr<HostChannel> ring;
  if (own.segment != nullptr) {
    ASSERT_EQ(own.segment->AwaitAll(kPlenty), absl::OkStatus());
    local = MakeShmCollective(own.segment);
    ring = MakeShmChannel(own.segment);
  }
  const auto collective = MakeHierCollective({groups, own.mesh, std::move(local)});
  collective->SetCallLimit(kPlenty);
  TcpChannelOptions options{groups, rank, world, std::move(ring), std::make_shared<ChannelAbort>(),
                            kPlenty};
  auto channel = rank == 0
                     ? listener.Accept(std::move(options))
                     : DialHostChannel(std::move(options), listener.address(), listener.nonce());
  ASSERT_TRUE(channel.ok()) << channel.status();
  serving.Rank(rank, collective.get(), channel->get());
  // Nobody closes while others still read.
  ASSERT_TRUE(collective->Barrier().ok());
}

Output Serve(const HostGroups& groups) {
  Serving serving;
  int world = 0;
  for (const auto& ranks : groups) world += static_cast<int>(ranks.size());
  if (world == 1) {
    const auto solo = MakeSoloCollective();
    serving.Rank(0, solo.get(), nullptr);
    return serving.output();
  }
  std::vector<Wires> wires(static_cast<size_t>(world));
  for (int rank = 0; rank < world; ++rank) {
    auto mesh = GlooMesh::Create({rank, world, "lo", kPlenty});
    EXPECT_TRUE(mesh.ok()) << mesh.status();
    if (!mesh.ok()) return {};
    wires[static_cast<size_t>(rank)].mesh = *std::move(mesh);
  }
  for (const auto& ranks : groups) {
    if (ranks.size() == 1) continue;
    ShmSegment::Options options;
    options.world = static_cast<int>(ranks.size());
    auto leader = ShmSegment::Create(options);
    EXPECT_TRUE(leader.ok());
    for (size_t i = 0; i < ranks.size(); ++i) {
      auto segment =
          i == 0 ? leader
                 : ShmSegment::Attach((*leader)->name(), (*leader)->nonce(), static_cast<int>(i));
      EXPECT_TRUE(segment.ok()) << segment.status();
      wires[static_cast<size_t>(ranks[i])].segment = *segment;
    }
  }
  auto listener = ChannelListener::Open("lo");
  EXPECT_TRUE(listener.ok()) << listener.status();
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world; ++rank) {
    threads.emplace_back([&, rank] { RankOverHosts(serving, rank, groups, wires, **listener); });
  }
  for (std::thread& thread : threads) thread.join();
  return serving.output();
}

TEST(EngineOverHosts, DeterministicModeGivesTheBitsOfOneRank) {
  const Output alone = Serve({{0}});
  ASSERT_EQ(alone.logits.size(), kRequests * kTokens);
  const std::vector<HostGroups> placements = {
      {{0}, {1}}, {{0, 1}, {2, 3}}, {{0, 2}, {1, 3}}, {{0, 1, 2}, {3}}};
  for (const HostGroups& groups : placements) {
    SCOPED_TRACE(testing::PrintToString(groups));
    const Output many = Serve(groups);
    EXPECT_EQ(many.tokens, alone.tokens);
    ASSERT_EQ(many.logits.size(), alone.logits.size());
    size_t different = 0;
    for (const auto& [key, row] : alone.logits) {
      const std::vector<float>& other = many.logits.at(key);
      if (std::memcmp(row.data(), other.data(), row.size() * sizeof(float)) != 0) ++different;
    }
    EXPECT_EQ(different, 0U) << "of " << alone.logits.size() << " logit rows";
  }
}

}  // namespace
}  // namespace rackmark

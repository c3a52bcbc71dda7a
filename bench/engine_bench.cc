// Where a step of the serving engine goes: the share of each operation, of the collectives and of
// the host, and the whole step as a multiple of reading this rank's weights once (the floor of
// decode), measured by turns in one run. A gang in threads, one per core.
// Usage: engine_bench [model] [tensor parallel degree]
#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "bench/timed_ops.h"
#include "kernels/collective_shm.h"
#include "model/shard.h"
#include "worker/serving/engine.h"

namespace rackmark {
namespace {

constexpr uint32_t kPrompt = 32;
constexpr uint32_t kOutput = 48;
constexpr uint32_t kBatches[] = {1, 2, 4, 8, 16};
constexpr uint32_t kPrefills[] = {16, 40, 128};
constexpr int kReads = 15;

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

void PinTo(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu), &set);
  RACKMARK_CHECK(sched_setaffinity(0, sizeof set, &set) == 0);
}

template <typename T>
T Need(absl::StatusOr<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "%s\n", result.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(result);
}

// Every column of one row of the table, a value per step.
struct Column {
  std::vector<double> cpu;   // ns on the core in operations
  std::vector<double> wall;  // ns, with collectives and host
  std::vector<double> wait, transfer, host;
  std::vector<std::vector<double>> parts =
      std::vector<std::vector<double>>(static_cast<size_t>(Part::kCount));

  void Add(const StepStats& stats, const PartTimes& times) {
    wait.push_back(stats.collective_wait_s * 1e9);
    transfer.push_back(stats.collective_transfer_s * 1e9);
    host.push_back((stats.host_s + stats.plan_wait_s) * 1e9);
    wall.push_back(stats.compute_s * 1e9 + wait.back() + transfer.back() + host.back());
    double sum = 0;
    for (size_t i = 0; i < times.size(); ++i) {
      parts[i].push_back(static_cast<double>(times[i]));
      sum += parts[i].back();
    }
    cpu.push_back(sum);
  }
};

class Rank {
 public:
  Rank(const EngineOptions& options, const ShardShape& shard, std::shared_ptr<ShmSegment> segment)
      : ops_(MakeCpuOps(), {static_cast<int>(shard.vocab), static_cast<int>(shard.intermediate)}),
        collective_(MakeShmCollective(segment)),
        channel_(MakeShmChannel(segment)),
        engine_(Need(
            Engine::Create(options, {&ops_, collective_.get(), channel_.get(), &SystemClock()}))) {}

  Engine& engine() { return *engine_; }
  TimedOps& ops() { return ops_; }

  // All ranks at once, as they do in a step. Returns ns of one pass.
  double ReadFloor() {
    std::vector<double> passes;
    for (int i = 0; i < kReads; ++i) {
      Need(collective_->Barrier());
      const Nanos begin = CoreTime();
      checksum_ += engine_->ReadWeights().checksum;
      passes.push_back(static_cast<double>(CoreTime() - begin));
    }
    return Median(passes);
  }

  void Follow() {
    while (Need(engine_->FollowStep(20 * kSecond)) != FollowOutcome::kPhaseEnded) {
    }
  }

 private:
  TimedOps ops_;
  std::unique_ptr<Collective> collective_;
  std::unique_ptr<HostChannel> channel_;
  std::unique_ptr<Engine> engine_;
  uint64_t checksum_ = 0;
};

// `count` requests at once; only steps that `wanted` names are counted. A prefill step packs
// prompts of m tokens up to prefill_chunk (128) rows.
template <typename Wanted>
Column Measure(Rank& rank, uint32_t count, EngineRequest request, Wanted wanted) {
  Column column;
  for (uint32_t i = 0; i < count; ++i, ++request.index) {
    const absl::Status taken = rank.engine().Submit(request);
    RACKMARK_CHECK(taken.ok());
  }
  while (true) {
    rank.ops().Clear();
    const StepResult* step = Need(rank.engine().Step());
    if (step->idle) break;
    if (wanted(step->stats)) column.Add(step->stats, rank.ops().times());
  }
  Need(rank.engine().EndPhase());
  return column;
}

void Print(const char* kind, uint32_t size, const Column& column, double floor) {
  const double cpu = Median(column.cpu);
  const double wall = Median(column.wall);
  std::printf("%-7s %3u %6.2f ms %6.2f", kind, size, cpu * 1e-6, cpu / floor);
  for (const auto& part : column.parts) std::printf(" %9.1f", 100 * Median(part) / cpu);
  std::printf(" | %6.2f ms %6.1f %6.1f %6.1f\n", wall * 1e-6, 100 * Median(column.wait) / wall,
              100 * Median(column.transfer) / wall, 100 * Median(column.host) / wall);
  std::fflush(stdout);
}

void Lead(Rank& rank) {
  std::printf(
      "medians; time of one core in operations, as a multiple of reading the weights, and\n"
      "the %% of each; then the wall time of the step, and the %% of collectives and host\n");
  std::printf("%-7s %3s %9s %6s", "step", "m", "core", "floor");
  for (size_t i = 0; i < static_cast<size_t>(Part::kCount); ++i) {
    std::printf(" %9s", NameOf(static_cast<Part>(i)).data());
  }
  std::printf(" | %9s %6s %6s %6s\n", "wall", "wait", "transf", "host");
  uint64_t index = 0;
  for (const uint32_t m : kBatches) {
    const double floor = rank.ReadFloor();
    Print("decode", m,
          Measure(rank, m, {index += 1000, kPrompt, kOutput},
                  [&](const StepStats& s) { return s.decode_tokens == m && !s.prefill_tokens; }),
          floor);
  }
  for (const uint32_t m : kPrefills) {
    const double floor = rank.ReadFloor();
    Print("prompts", m,
          Measure(rank, 12 * 128 / m, {index += 1000, m, 1},
                  [&](const StepStats& s) { return s.prefill_tokens >= 100; }),
          floor);
  }
}

void Follower(Rank& rank) {
  for (size_t i = 0; i < std::size(kBatches) + std::size(kPrefills); ++i) {
    rank.ReadFloor();
    rank.Follow();
  }
}

int Run(const std::string& model, int world) {
  const ModelShape* shape = Need(FindModelOrExplain(model));
  EngineOptions options;
  options.shape = *shape;
  options.kv_memory_bytes = 64 << 20;
  options.max_batch = 16;
  options.prefill_chunk = 128;
  const ShardShape shard = Need(ShardOf(*shape, static_cast<uint32_t>(world), false));
  auto segment = Need(ShmSegment::Create({world}));
  std::printf("%s, TP=%d\n", model.c_str(), world);
  std::vector<std::thread> followers;
  for (int r = 1; r < world; ++r) {
    followers.emplace_back([&, r, name = segment->name(), nonce = segment->nonce()] {
      PinTo(r);
      auto own = Need(ShmSegment::Attach(name, nonce, r));
      RACKMARK_CHECK(own->AwaitAll(20 * kSecond).ok());
      Rank rank(options, shard, own);
      Follower(rank);
    });
  }
  PinTo(0);
  RACKMARK_CHECK(segment->AwaitAll(20 * kSecond).ok());
  Rank rank(options, shard, segment);
  Lead(rank);
  for (std::thread& thread : followers) thread.join();
  return 0;
}

}  // namespace
}  // namespace rackmark

int main(int argc, char** argv) {
  return rackmark::Run(argc > 1 ? argv[1] : "tiny-30m", argc > 2 ? std::atoi(argv[2]) : 2);
}

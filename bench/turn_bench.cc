// How long a turn of the core takes, by what it was asked: 100 to 10,000 nodes with eight devices
// each, all in use, and a queue of 10,000 jobs behind them. Prints, judges nothing.
//
//   turn_bench [--queue N] [--ends N] [NODES...]
//
// "heard" is a Report without news, "freed" one by which devices come back (the queue is looked at,
// and what fits is placed), "submit" and "cancel" are people, "tick" is time alone. Where a Report
// places several gangs, the turn is all of them. Then, with all nodes in gangs of 100, a rack falls
// silent: "lost" is the turn that says so, "told" the next Report of each node that it tells.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/random.h"
#include "common/status.h"
#include "coordinator/core/decide.h"
#include "coordinator/core/desired.h"
#include "coordinator/core/timers.h"

namespace rackmark {
namespace {

using Clock = std::chrono::steady_clock;

double Quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
}

double ResidentMb() {
  std::ifstream in("/proc/self/statm");
  double total = 0, resident = 0;
  in >> total >> resident;
  return resident * 4096 / 1e6;
}

class Bench {
 public:
  Bench(uint64_t nodes, uint64_t queue, uint64_t gang_nodes = 0) : random_(7, 0), nodes_(nodes) {
    for (Nanos* silence : {&state_.config.suspect_after, &state_.config.lost_after}) {
      *silence = 24 * 3600 * kSecond;
    }
    Do("", TakeLeadership{"c0ffee00", "coordinator/1", "boot"});
    for (uint64_t i = 0; i < nodes; ++i) Report("", i);
    uint64_t devices = 0;
    gang_nodes_ = gang_nodes;
    while (devices < 8 * nodes) devices += Submit("");
    gang_nodes_ = 0;
    for (uint64_t i = 0; i < queue; ++i) Submit(i < queue / 2 ? "" : "submit");
  }

  // Jobs end one after the other, and their nodes say so; all others report as ever.
  void Run(uint64_t ends) {
    for (uint64_t i = 0; i < ends; ++i) {
      const auto lease =
          state_.hard.leases.lower_bound(LeaseId{random_.Between(1, state_.hard.last_lease)});
      if (lease == state_.hard.leases.end()) continue;
      const JobId job = lease->second.job;
      std::vector<uint64_t> nodes;
      for (const v1::RankPlace& place : lease->second.placement.ranks()) {
        if (nodes.empty() || nodes.back() != place.node_id()) nodes.push_back(place.node_id());
      }
      Do("cancel", CancelJob{job, "over"});
      for (const uint64_t node : nodes) Report("freed", node - 1);
      for (const RunId run : RunsToJudge(state_)) {
        Do("judge", JudgeRun{run, 0, v1::VERDICT_CANCELLED, "hash", {}});
      }
      Submit("submit");
      for (int k = 0; k < 20; ++k) Report("heard", random_.Between(0, nodes_ - 1));
      if (i % 10 == 0) Do("tick", Tick{});
    }
  }

  // All others go on reporting until then.
  void LoseRack() {
    const auto all_report = [&](uint64_t from) {
      for (uint64_t i = from; i < nodes_; ++i) Report("", i);
    };
    state_.config = CoreConfig();
    all_report(0);
    const auto wait =
        [&](int seconds) {  // at once it would look like a coordinator that stood still
          for (; seconds > 0; --seconds, now_ += kSecond) Do("", Tick{});
        };
    wait(9);
    all_report(kRack);
    wait(6);
    const std::set<NodeId> told = Do("lost", Tick{});
    for (const NodeId node : told) {
      if (node.value > kRack) Report("told", node.value - 1);
    }
  }

  void Print() const {
    std::printf("%6zu nodes, %5zu leases, %6zu waiting, %6.0f MB\n", state_.hard.nodes.size(),
                state_.hard.leases.size(), state_.soft.planner.queue.size(), ResidentMb());
    for (const auto& [what, values] : took_) {
      std::printf("  %-8s %6zu turns  p50 %8.3f ms  p99 %8.3f ms  most %8.3f ms\n", what.c_str(),
                  values.size(), Quantile(values, 0.5), Quantile(values, 0.99),
                  Quantile(values, 1));
    }
  }

 private:
  static constexpr uint64_t kRack = 18;  // nodes

  // The nodes that are to be told.
  template <typename Body>
  std::set<NodeId> Do(const std::string& what, Body body) {
    Command command;
    command.by.set_name(owner_);
    command.body = std::move(body);
    // So that no look at the queue is put off (core/queue.h), and no limit is reached.
    if (!what.empty() && what != "heard") now_ += 4 * kMillisecond;
    const auto start = Clock::now();
    const auto result = Turn(state_, command, Now{now_, now_});
    const double ms = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
    RACKMARK_CHECK(result.ok());
    if (!what.empty()) took_[what].push_back(ms);
    return result->push;
  }

  void Report(const std::string& what, uint64_t index) {
    v1::Report report;
    report.mutable_identity()->set_cluster_id(state_.hard.cluster_id);
    report.mutable_identity()->set_epoch(1);
    report.mutable_identity()->set_incarnation("i");
    v1::NodeInfo& node = *report.mutable_node();
    node.set_name("n" + std::to_string(index + 1));
    node.set_boot_id("boot-" + node.name());
    node.set_rack("rack" + std::to_string(index / kRack));
    const v1::DesiredState& desired = DesiredOf(state_, NodeId{index + 1});
    report.set_reflects_version(desired.version());
    std::map<uint32_t, uint64_t> used;
    for (const v1::DesiredLease& lease : desired.leases()) {
      v1::LeaseReport& said = *report.add_leases();
      said.set_lease_id(lease.lease_id());
      said.set_generation(lease.generation());
      for (const v1::DesiredRank& rank : lease.ranks()) {
        used[rank.device()] = lease.lease_id();
        said.add_ranks()->set_rank(rank.rank());
        said.mutable_ranks()->rbegin()->set_phase(v1::RANK_PHASE_STARTING);
      }
    }
    for (uint32_t i = 0; i < 8; ++i) {
      v1::Device& device = *node.add_devices();
      device.set_index(i);
      device.set_kind(v1::DEVICE_KIND_GPU);
      device.set_model("NVIDIA GB300");
      device.set_nvlink_domain("domain" + std::to_string(index / 9));
      v1::DeviceReport& said = *report.add_devices();
      said.set_index(i);
      said.set_healthy(true);
      said.set_lease_id(used[i]);
    }
    report.set_report_number(++reports_);
    Do(what, NodeReported{std::move(report), 1});
  }

  uint64_t Submit(const std::string& what) {
    static constexpr uint32_t kSizes[] = {1, 2, 4, 8, 8, 8, 16, 32, 64, 72};
    v1::Job job;
    job.set_name("job");
    v1::JobSpec& spec = *job.mutable_spec();
    uint32_t devices = kSizes[random_.Between(0, std::size(kSizes) - 1)];
    if (gang_nodes_ > 0) devices = static_cast<uint32_t>(8 * gang_nodes_);
    spec.mutable_gang()->set_devices(devices);
    spec.mutable_gang()->set_kind(v1::DEVICE_KIND_GPU);
    if (devices > 8) spec.mutable_gang()->set_per_node(8);
    if (gang_nodes_ == 0 && random_.Between(1, 2) == 1)
      spec.mutable_gang()->set_within(v1::WITHIN_RACK);
    spec.set_priority(static_cast<int32_t>(random_.Between(0, 2)));
    spec.set_preemptible(random_.Between(1, 4) == 1);
    v1::Limits& limits = *spec.mutable_limits();
    limits.set_setup_ns(static_cast<Nanos>(random_.Between(60, 600)) * kSecond);
    limits.set_prepare_ns(60 * kSecond);
    limits.set_measure_ns(600 * kSecond);
    limits.set_drain_ns(60 * kSecond);
    limits.set_attempts(1);
    spec.add_runs()->mutable_null();
    owner_ = "owner" + std::to_string(random_.Between(1, 20));
    Do(what, SubmitJob{std::move(job), "s" + std::to_string(++submissions_)});
    return devices;
  }

  Random random_;
  const uint64_t nodes_;
  uint64_t gang_nodes_ = 0;  // of what is submitted; 0 = of all sizes
  State state_;
  std::string owner_ = "bench";
  Nanos now_ = 1000 * kSecond;
  uint64_t reports_ = 0, submissions_ = 0;
  std::map<std::string, std::vector<double>> took_;
};

}  // namespace
}  // namespace rackmark

int main(int argc, char** argv) {
  uint64_t queue = 10000;
  uint64_t ends = 500;
  std::vector<uint64_t> sizes;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--queue") == 0 && i + 1 < argc) {
      queue = std::strtoull(argv[++i], nullptr, 10);
    } else if (std::strcmp(argv[i], "--ends") == 0 && i + 1 < argc) {
      ends = std::strtoull(argv[++i], nullptr, 10);
    } else {
      sizes.push_back(std::strtoull(argv[i], nullptr, 10));
    }
  }
  if (sizes.empty()) sizes = {100, 1000, 10000};
  for (const uint64_t nodes : sizes) {
    rackmark::Bench bench(nodes, queue);
    bench.Run(ends);
    bench.Print();
    if (nodes < 200) continue;
    rackmark::Bench gangs(nodes, queue, 100);
    gangs.LoseRack();
    gangs.Print();
  }
  return 0;
}

// How long one placement decision takes: a look at a queue of 10,000 gangs on a fleet of 100 to
// 10,000 nodes with eight devices each. Prints, judges nothing.
//
//   placement_bench [--queue N] [--passes N] [NODES...]
//
// Each pass is one decision (plan::RunPass): a start, a backfilled start, victims, or "nothing
// can". It is carried out, gangs end and others come, and after each the fleet is as full as
// before. "told" is what it costs to tell the fleet and the queue of it, beside the decision.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "common/random.h"
#include "common/status.h"
#include "coordinator/plan/pass.h"
#include "coordinator/plan/refusals.h"

namespace rackmark::plan {
namespace {

using Clock = std::chrono::steady_clock;

double MsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double Quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
}

// Half of the nodes in NVLink domains of nine (72 devices), half of them by themselves; two
// domains or 18 lone nodes in a rack.
NodeFacts MakeNode(uint64_t i) {
  NodeFacts node;
  node.id = NodeId{i + 1};
  node.name = "n" + std::to_string(i + 1);
  node.rack = "rack" + std::to_string(i / 18);
  const bool nvl = i / 18 % 2 == 0;
  if (nvl) node.domain = "domain" + std::to_string(i / 9);
  node.labels["row"] = std::to_string(i / 180);
  for (uint32_t d = 0; d < 8; ++d) {
    node.devices.push_back(
        {d, v1::DEVICE_KIND_GPU, nvl ? "NVIDIA GB300" : "NVIDIA H200", true, {}});
  }
  return node;
}

GangRequest MakeRequest(Random& random, uint64_t nodes) {
  static constexpr uint32_t kSizes[] = {1, 2, 4, 8, 8, 8, 16, 24, 32, 64, 72, 144};
  GangRequest request;
  request.selector.kind = v1::DEVICE_KIND_GPU;
  request.devices = kSizes[random.Between(0, std::size(kSizes) - 1)];
  if (random.Between(1, 100) == 1)
    request.devices = 512 + 8 * static_cast<uint32_t>(random.Between(0, 64));
  request.within = static_cast<Within>(random.Between(0, 3));
  request.preferred = random.Between(1, 2) == 1;
  if (request.devices > 8 && request.within == Within::kNode) request.within = Within::kRack;
  if (request.devices >= 8 && random.Between(1, 2) == 1) request.per_node = 8;
  if (request.devices % request.per_node.value_or(1) != 0) request.per_node.reset();
  request.exclusive = random.Between(1, 50) == 1;
  if (random.Between(1, 3) == 1) {
    request.selector.models = {random.Between(1, 2) == 1 ? "GB300" : "H200"};
  }
  if (random.Between(1, 20) == 1) {
    request.selector.labels["row"] = std::to_string(random.Between(0, nodes / 180));
  }
  return request;
}

class Bench {
 public:
  Bench(uint64_t nodes, uint64_t queue) : nodes_(nodes), ledger_(24 * 3600 * kSecond) {
    for (uint64_t i = 0; i < nodes; ++i) fleet_.SetNode(MakeNode(i));
    for (uint64_t i = 0; i < queue; ++i) Submit();
  }

  void Fill() {
    while (Step(false)) Submit();
  }
  // One decision, and what follows from it. False: nothing can start.
  bool Step(bool count) {
    const auto start = Clock::now();
    const Pass pass = RunPass(fleet_, queue_, ledger_, now_, {});
    const double ms = MsSince(start);
    if (count) {
      Count(pass, ms);
      candidates_ += pass.candidates;
    }
    for (const LeaseId id : pass.victims) {
      LeaseFacts facts = fleet_.leases()[*fleet_.FindLease(id)].facts;
      facts.yielding = true;
      facts.ends = now_ + 30 * kSecond;
      fleet_.SetLease(facts);
    }
    const auto telling = Clock::now();
    if (pass.start.has_value()) Carry(*pass.start);
    if (count && pass.start.has_value()) told_.push_back(MsSince(telling));
    return pass.start.has_value() || !pass.victims.empty();
  }
  // The next lease ends.
  void EndOne() {
    if (fleet_.ends().empty()) return;
    const auto [at, slot] = fleet_.ends().front();
    now_ = std::max(now_, at);
    const LeaseId id = fleet_.leases()[slot].facts.id;
    const auto running = running_.find(id);
    ledger_.End(running->second.owner, running->second.cost, running->second.cost, now_);
    running_.erase(running);
    fleet_.Free(id);
  }
  void Submit() {
    Ticket ticket;
    ticket.id = TicketId{++tickets_};
    ticket.owner = "owner" + std::to_string(random_.Between(1, 100));
    ticket.priority = random_.Between(1, 20) == 1 ? 10 : 0;
    ticket.submitted = now_;
    ticket.budget = static_cast<Nanos>(random_.Between(60, 7200)) * kSecond;
    ticket.request = MakeRequest(random_, nodes_);
    queue_.Add(ticket);
  }
  void Print() {
    for (const auto& [what, all] : ms_) {
      std::printf(
          "%6llu nodes %7llu devices  %-10s %6zu passes  p50 %7.3f ms  p99 %7.3f ms  max %7.3f "
          "ms\n",
          static_cast<unsigned long long>(nodes_), static_cast<unsigned long long>(nodes_ * 8),
          what.c_str(), all.size(), Quantile(all, 0.5), Quantile(all, 0.99), Quantile(all, 1));
    }
    std::printf(
        "        %zu leases run, %zu wait in %u shapes, %.0f candidates a pass; told: p50 %.3f ms, "
        "p99 %.3f ms\n",
        running_.size(), queue_.size(), queue_.shapes(),
        static_cast<double>(candidates_) /
            static_cast<double>(std::max<size_t>(1, ms_["all"].size())),
        Quantile(told_, 0.5), Quantile(told_, 0.99));
    const auto start = Clock::now();
    const Refusals refusals = Explain(
        fleet_,
        queue_.by_priority().begin()->second.begin()->second.begin()->second->ticket.request);
    std::printf("        one Explain: %.3f ms (%u devices)\n", MsSince(start), refusals.total);
  }

 private:
  struct Running {
    std::string owner;
    uint64_t cost = 0;
  };

  void Count(const Pass& pass, double ms) {
    ms_["all"].push_back(ms);
    if (!pass.victims.empty()) {
      ms_["preempt"].push_back(ms);
    } else if (!pass.start.has_value()) {
      ms_["nothing"].push_back(ms);
    } else {
      ms_[pass.start->backfilled ? "backfill" : "first"].push_back(ms);
    }
  }
  void Carry(const Start& start) {
    const Ticket ticket = queue_.Find(start.ticket)->ticket;
    LeaseFacts facts;
    facts.id = LeaseId{++leases_};
    facts.priority = ticket.priority;
    facts.preemptible = leases_ % 2 == 0;
    facts.exclusive = ticket.request.exclusive;
    facts.started = now_;
    facts.ends = now_ + *ticket.budget;
    fleet_.SetLease(facts);
    fleet_.Hold(facts.id, start.place.seats);
    const uint64_t cost = CostOf(ticket.request.devices, *ticket.budget);
    ledger_.Start(ticket.owner, cost);
    running_[facts.id] = {ticket.owner, cost};
    queue_.Remove(ticket.id);
  }

  const uint64_t nodes_;
  Random random_{20261121, 1};
  Fleet fleet_;
  WaitingQueue queue_;
  Ledger ledger_;
  std::map<LeaseId, Running> running_;
  Nanos now_ = 0;
  uint64_t tickets_ = 0, leases_ = 0, candidates_ = 0;
  std::map<std::string, std::vector<double>> ms_;
  std::vector<double> told_;
};

}  // namespace
}  // namespace rackmark::plan

int main(int argc, char** argv) {
  std::vector<uint64_t> fleets;
  uint64_t queue = 10'000;
  uint64_t passes = 2'000;
  for (int i = 1; i < argc; ++i) {
    const bool value = i + 1 < argc;
    if (std::strcmp(argv[i], "--queue") == 0 && value) {
      queue = std::strtoull(argv[++i], nullptr, 10);
    } else if (std::strcmp(argv[i], "--passes") == 0 && value) {
      passes = std::strtoull(argv[++i], nullptr, 10);
    } else {
      fleets.push_back(std::strtoull(argv[i], nullptr, 10));
    }
  }
  if (fleets.empty()) fleets = {100, 1'000, 10'000};
  for (const uint64_t nodes : fleets) {
    if (nodes == 0 || queue == 0) {
      std::fprintf(stderr, "placement_bench: a number of nodes and a queue above 0 are needed\n");
      return 2;
    }
    rackmark::plan::Bench bench(nodes, queue);
    bench.Fill();
    for (uint64_t done = 0; done < passes; ++done) {
      // A lease ends and a gang comes whenever nothing more can start.
      if (bench.Step(true)) {
        bench.Submit();
      } else {
        bench.EndOne();
      }
    }
    bench.Print();
  }
  return 0;
}

// Fencing: a worker that heard nobody for fence_after runs no rank, a rank that hears nothing of
// its daemon ends as soon, and nobody obeys an old leader after having heard a new one.
#include <algorithm>
#include <map>
#include <utility>

#include "tests/sim/checkers/checkers.h"
#include "tests/sim/daemon.h"
#include "tests/sim/machine.h"
#include "tests/sim/world.h"

namespace rackmark::sim {
namespace {

constexpr Nanos kSlack = 1200 * kMillisecond;  // both look once a second, and clocks drift

class FenceChecker : public Checker {
 public:
  using Checker::Checker;
  std::string_view name() const override { return "fence"; }

  void EverySecond() override {
    for (const auto& machine : world_.machines) {
      for (const auto& [pid, rank] : machine->ranks()) {
        // A stopped process does nothing, and SIGKILL is on its way to a dying one.
        if (!rank->alive() || rank->stopped() || rank->dying()) continue;
        CheckRank(*machine, *rank);
      }
    }
  }

  void OnObeyed(const Obeyed& obeyed) override {
    uint64_t& newest = newest_[{obeyed.machine.index(), obeyed.life}];
    if (obeyed.epoch < newest) {
      Fail(absl::StrCat(obeyed.machine.info().name(), " obeys epoch ", obeyed.epoch,
                        " after having heard epoch ", newest));
    }
    newest = std::max(newest, obeyed.epoch);
  }

 private:
  void CheckRank(const Machine& machine, const RankProcess& rank) {
    const Nanos fence = CoreConfig().fence_after;
    const bool led = machine.up() && !machine.stopped() && rank.daemon_life == machine.life();
    if (led && world_.now() - machine.daemon()->heard_at() > fence + kSlack) {
      return Fail(absl::StrCat(machine.info().name(), " heard nobody since ",
                               FormatDuration(machine.daemon()->heard_at()), ", and rank ",
                               rank.ref.rank, " of lease ", rank.ref.lease_id, " runs there"));
    }
    if (machine.clock().Monotonic() - rank.last_frame() > rank.dead_man() + kSlack) {
      Fail(absl::StrCat("rank ", rank.ref.rank, " of lease ", rank.ref.lease_id, " on ",
                        machine.info().name(), " has outlived its dead-man time"));
    }
  }

  std::map<std::pair<uint32_t, uint64_t>, uint64_t> newest_;  // epoch, by daemon
};

}  // namespace

std::unique_ptr<Checker> MakeFenceChecker(World* world) {
  return std::make_unique<FenceChecker>(world);
}

}  // namespace rackmark::sim

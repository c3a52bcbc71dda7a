// Attempts of a run are 1, 2, 3, ..., one at a time, each on one lease, and each measured once.
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "tests/sim/checkers/checkers.h"
#include "tests/sim/rank.h"
#include "tests/sim/world.h"

namespace rackmark::sim {
namespace {

class AttemptChecker : public Checker {
 public:
  using Checker::Checker;
  std::string_view name() const override { return "attempt"; }

  void Committed(const v1::Event& event, const HardState& before) override {
    if (!event.has_run_preparing()) return;
    const v1::RunPreparing& preparing = event.run_preparing();
    uint32_t& last = last_[preparing.run_id()];
    if (preparing.attempt() != last + 1) {
      Fail(absl::StrCat("attempt ", preparing.attempt(), " of run ", preparing.run_id(),
                        " follows attempt ", last));
    }
    last = preparing.attempt();
    const auto run = before.runs.find(RunId{preparing.run_id()});
    if (run == before.runs.end() || run->second.phase == v1::RUN_PHASE_QUEUED) return;
    Fail(absl::StrCat("run ", preparing.run_id(), " is prepared again in ",
                      v1::RunPhase_Name(run->second.phase)));
  }

  void RankMeasures(const RankProcess& rank) override {
    const RunKey& run = rank.run();
    const auto [lease, fresh] =
        leases_.try_emplace(run, std::pair(rank.ref.lease_id, rank.generation));
    if (!fresh && lease->second != std::pair(rank.ref.lease_id, rank.generation)) {
      Fail(absl::StrCat("attempt ", run.attempt, " of run ", run.run_id, " is measured on leases ",
                        lease->second.first, " and ", rank.ref.lease_id));
    }
    if (measured_.emplace(run, rank.ref.rank).second) return;
    Fail(absl::StrCat("rank ", rank.ref.rank, " measures attempt ", run.attempt, " of run ",
                      run.run_id, " twice"));
  }

 private:
  std::map<uint64_t, uint32_t> last_;  // attempt, by run
  std::map<RunKey, std::pair<uint64_t, uint32_t>> leases_;
  std::set<std::pair<RunKey, uint32_t>> measured_;
};

}  // namespace

std::unique_ptr<Checker> MakeAttemptChecker(World* world) {
  return std::make_unique<AttemptChecker>(world);
}

}  // namespace rackmark::sim

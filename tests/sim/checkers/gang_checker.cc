// The gang is the atom: placed whole, as its job asks, and no rank measures before all have
// prepared. Who asked for NVLink domains of his own has them: by the log, and as ranks really run.
#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "tests/sim/checkers/checkers.h"
#include "tests/sim/checkers/gang_shape.h"
#include "tests/sim/islands.h"
#include "tests/sim/machine.h"
#include "tests/sim/world.h"

namespace rackmark::sim {
namespace {

class GangChecker : public Checker {
 public:
  using Checker::Checker;
  std::string_view name() const override { return "gang"; }

  void Committed(const v1::Event& event, const HardState& before) override {
    if (event.has_lease_releasing()) held_.erase(event.lease_releasing().lease_id());
    if (!event.has_lease_placed()) return;
    const v1::LeasePlaced& placed = event.lease_placed();
    const auto job = before.jobs.find(JobId{placed.job_id()});
    if (job == before.jobs.end()) return;
    const v1::Gang& gang = job->second.job.spec().gang();
    std::string wrong = WhyMisplaced(gang, placed.placement(), before);
    if (wrong.empty()) wrong = WhyShared(placed, gang.exclusive(), before);
    if (wrong.empty()) return;
    Fail(absl::StrCat("lease ", placed.lease_id(), " of job ", placed.job_id(), ": ", wrong));
  }

  // A rank of a worker that is stopped, or that is itself stopped or about to end, may be there
  // still: it does nothing, and its worker ends it before anything else.
  void RankStarted(const RankProcess& rank) override {
    const bool exclusive = exclusive_.count(rank.ref.lease_id) != 0;
    const std::string domain = DomainKey(rank.machine.info());
    for (const Machine* machine : Neighbours(rank.machine)) {
      if (machine->stopped() || DomainKey(machine->info()) != domain) continue;
      for (const auto& [pid, other] : machine->ranks()) {
        const uint64_t lease = other->ref.lease_id;
        if (lease == rank.ref.lease_id || (!exclusive && exclusive_.count(lease) == 0)) continue;
        if (!other->alive() || other->stopped() || other->dying()) continue;
        Fail(absl::StrCat("rank ", rank.ref.rank, " of lease ", rank.ref.lease_id, " starts in ",
                          domain, ", where rank ", other->ref.rank, " of lease ", lease,
                          " still runs, and one of them has that for itself"));
      }
    }
  }

  void RankMeasures(const RankProcess& rank) override {
    const Gang& gang = world_.gangs.Of(rank);
    const auto prepared = gang.prepared.find(rank.run());
    const size_t count = prepared == gang.prepared.end() ? 0 : prepared->second.size();
    if (count == gang.world_size) return;
    Fail(absl::StrCat("rank ", rank.ref.rank, " of lease ", rank.ref.lease_id, " measures run ",
                      rank.run().run_id, " while ", count, " of ", gang.world_size,
                      " ranks have prepared it"));
  }

 private:
  std::string WhyShared(const v1::LeasePlaced& placed, bool exclusive, const HardState& hard) {
    std::set<std::string> domains;
    for (const v1::RankPlace& place : placed.placement().ranks()) {
      domains.insert(DomainKey(hard.nodes.at(NodeId{place.node_id()}).info));
    }
    if (exclusive) exclusive_.insert(placed.lease_id());
    std::string wrong;
    for (const auto& [lease, theirs] : held_) {
      if (!exclusive && exclusive_.count(lease) == 0) continue;
      for (const std::string& domain : domains) {
        if (theirs.count(domain) == 0) continue;
        wrong = absl::StrCat("shares ", domain, " with lease ", lease, ", and ",
                             exclusive ? "wants" : "that has", " it for itself");
      }
    }
    held_[placed.lease_id()] = std::move(domains);
    return wrong;
  }

  // Who may be in its domain: such machines are numbered in a row.
  std::vector<const Machine*> Neighbours(const Machine& machine) const {
    const size_t size = std::max(world_.knobs.domain, 1U);
    const size_t first = machine.index() / size * size;
    const size_t last = std::min(first + size, world_.machines.size());
    std::vector<const Machine*> found;
    for (size_t i = first; i < last; ++i) found.push_back(world_.machines[i].get());
    return found;
  }

  std::map<uint64_t, std::set<std::string>> held_;  // domains, by lease that is not RELEASING
  std::set<uint64_t> exclusive_;                    // leases, also those that are over
};

}  // namespace

std::unique_ptr<Checker> MakeGangChecker(World* world) {
  return std::make_unique<GangChecker>(world);
}

}  // namespace rackmark::sim

// The gang is the atom: placed whole, as its job asks, and no rank measures before all have
// prepared.
#include <map>
#include <set>
#include <utility>

#include "tests/sim/checkers/checkers.h"
#include "tests/sim/machine.h"
#include "tests/sim/world.h"

namespace rackmark::sim {
namespace {

class GangChecker : public Checker {
 public:
  using Checker::Checker;
  std::string_view name() const override { return "gang"; }

  void Committed(const v1::Event& event, const HardState& before) override {
    if (!event.has_lease_placed()) return;
    const v1::LeasePlaced& placed = event.lease_placed();
    const auto job = before.jobs.find(JobId{placed.job_id()});
    if (job == before.jobs.end()) return;
    const v1::Gang& gang = job->second.job.spec().gang();
    const std::string wrong = WhyWrong(gang, placed.placement(), before);
    if (wrong.empty()) return;
    Fail(absl::StrCat("lease ", placed.lease_id(), " of job ", placed.job_id(), ": ", wrong));
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
  static std::string WhyWrong(const v1::Gang& gang, const v1::Placement& placement,
                              const HardState& hard) {
    if (placement.ranks_size() != static_cast<int>(gang.devices())) {
      return absl::StrCat("has ", placement.ranks_size(), " of ", gang.devices(), " devices");
    }
    std::set<std::pair<uint64_t, uint32_t>> devices;
    std::map<uint64_t, uint32_t> of_node;
    std::set<std::string> racks;
    for (int i = 0; i < placement.ranks_size(); ++i) {
      const v1::RankPlace& place = placement.ranks(i);
      if (place.rank() != static_cast<uint32_t>(i)) return "its ranks are not 0, 1, 2, ...";
      if (!devices.emplace(place.node_id(), place.device()).second) return "has a device twice";
      ++of_node[place.node_id()];
      const auto node = hard.nodes.find(NodeId{place.node_id()});
      if (node == hard.nodes.end()) return absl::StrCat("node ", place.node_id(), " is not known");
      racks.insert(node->second.info.rack());
    }
    for (const auto& [node, count] : of_node) {
      if (gang.has_per_node() && count != gang.per_node()) {
        return absl::StrCat("has ", count, " devices on one node, not ", gang.per_node());
      }
    }
    const bool strict = !gang.preferred();
    if (strict && gang.within() == v1::WITHIN_NODE && of_node.size() > 1) return "leaves its node";
    if (strict && gang.within() == v1::WITHIN_RACK && racks.size() > 1) return "leaves its rack";
    return "";
  }
};

}  // namespace

std::unique_ptr<Checker> MakeGangChecker(World* world) {
  return std::make_unique<GangChecker>(world);
}

}  // namespace rackmark::sim

// No device serves two leases: not in the log, and not in what really runs there, ranks of a
// worker's former life and fenced ones included.
#include <map>
#include <utility>

#include "tests/sim/checkers/checkers.h"
#include "tests/sim/machine.h"
#include "tests/sim/world.h"

namespace rackmark::sim {
namespace {

class DeviceChecker : public Checker {
 public:
  using Checker::Checker;
  std::string_view name() const override { return "device"; }

  void Committed(const v1::Event& event, const HardState& before) override {
    if (event.has_lease_placed()) {
      const v1::LeasePlaced& placed = event.lease_placed();
      for (const v1::RankPlace& place : placed.placement().ranks()) {
        const auto [held, fresh] =
            held_.try_emplace({place.node_id(), place.device()}, placed.lease_id());
        if (fresh) continue;
        Fail(absl::StrCat("lease ", placed.lease_id(), " is placed on device ", place.device(),
                          " of ", place.node(), ", which lease ", held->second, " has"));
      }
    } else if (event.has_lease_releasing()) {
      const auto lease = before.leases.find(LeaseId{event.lease_releasing().lease_id()});
      if (lease == before.leases.end()) return;
      for (const v1::RankPlace& place : lease->second.placement.ranks()) {
        held_.erase({place.node_id(), place.device()});
      }
    }
  }

  void RankStarted(const RankProcess& rank) override {
    for (const auto& [pid, other] : rank.machine.ranks()) {
      if (other.get() == &rank || !other->alive() || other->device != rank.device) continue;
      Fail(absl::StrCat("rank ", rank.ref.rank, " of lease ", rank.ref.lease_id,
                        " starts on device ", rank.device, " of ", rank.machine.info().name(),
                        ", where rank ", other->ref.rank, " of lease ", other->ref.lease_id,
                        " still runs"));
    }
  }

 private:
  // Devices of leases that are not over; what is RELEASING still may be there, which only the
  // processes can tell.
  std::map<std::pair<uint64_t, uint32_t>, uint64_t> held_;
};

}  // namespace

std::unique_ptr<Checker> MakeDeviceChecker(World* world) {
  return std::make_unique<DeviceChecker>(world);
}

}  // namespace rackmark::sim

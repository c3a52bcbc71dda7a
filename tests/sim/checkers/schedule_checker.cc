// No instant of a schedule begins twice, over restarts and failovers too; and instants are decided
// in their order.
#include <map>
#include <set>
#include <utility>

#include "tests/sim/checkers/checkers.h"
#include "tests/sim/world.h"

namespace rackmark::sim {
namespace {

class ScheduleChecker : public Checker {
 public:
  using Checker::Checker;
  std::string_view name() const override { return "schedule"; }

  void Committed(const v1::Event& event, const HardState&) override {
    if (event.has_schedule_decided()) {
      const v1::ScheduleDecided& decided = event.schedule_decided();
      if (decided.has_start_unix_ns()) {
        Once(decided_, decided.schedule_id(), decided.start_unix_ns(), "is decided");
      }
    } else if (event.has_suite_submitted() && event.suite_submitted().suite().has_scheduled()) {
      Begins(event.suite_submitted().suite().scheduled());
    } else if (event.has_job_submitted() && event.job_submitted().job().has_scheduled() &&
               !event.job_submitted().job().has_part()) {
      Begins(event.job_submitted().job().scheduled());
    }
  }

 private:
  using Instants = std::set<std::pair<uint64_t, int64_t>>;

  void Begins(const v1::ScheduledPart& part) {
    world_.Count("schedule began a job");
    Once(begun_, part.schedule_id(), part.instant_unix_ns(), "begins");
  }
  void Once(Instants& seen, uint64_t schedule, int64_t instant, std::string_view what) {
    if (seen.emplace(schedule, instant).second) return;
    Fail(absl::StrCat("instant ", instant, " of schedule ", schedule, " ", ToAbsl(what), " twice"));
  }

  Instants decided_, begun_;
};

}  // namespace

std::unique_ptr<Checker> MakeScheduleChecker(World* world) {
  return std::make_unique<ScheduleChecker>(world);
}

}  // namespace rackmark::sim

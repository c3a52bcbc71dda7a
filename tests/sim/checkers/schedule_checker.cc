// No instant of a schedule begins twice, over restarts and failovers too; and instants are decided
// and begin in their order, whatever is done to clocks.
#include <map>

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
      const uint64_t id = decided.schedule_id();
      InOrder(decided_, id, decided.decided_unix_ns(), "is the end of what is decided");
      if (decided.has_start_unix_ns()) {
        InOrder(started_, id, decided.start_unix_ns(), "is decided");
      }
    } else if (event.has_suite_submitted() && event.suite_submitted().suite().has_scheduled()) {
      Begins(event.suite_submitted().suite().scheduled());
    } else if (event.has_job_submitted() && event.job_submitted().job().has_scheduled() &&
               !event.job_submitted().job().has_part()) {
      Begins(event.job_submitted().job().scheduled());
    }
  }

 private:
  using Last = std::map<uint64_t, int64_t>;  // instant, by schedule

  void Begins(const v1::ScheduledPart& part) {
    world_.Count("schedule began a job");
    InOrder(begun_, part.schedule_id(), part.instant_unix_ns(), "begins");
  }
  // Later than the one before it, which says that it is another one, too.
  void InOrder(Last& last, uint64_t schedule, int64_t instant, const char* what) {
    const auto [before, first] = last.try_emplace(schedule, instant);
    if (first) return;
    if (instant <= before->second) {
      Fail(absl::StrCat(
          "instant ", instant, " of schedule ", schedule, " ", what,
          instant == before->second ? " twice" : absl::StrCat(" after ", before->second)));
    }
    before->second = instant;
  }

  Last decided_, started_, begun_;
};

}  // namespace

std::unique_ptr<Checker> MakeScheduleChecker(World* world) {
  return std::make_unique<ScheduleChecker>(world);
}

}  // namespace rackmark::sim

// CheckSuite and CheckSchedule: the bounds again, for what came over the wire.
#include <optional>
#include <set>
#include <string>

#include "common/text.h"
#include "cron/expression.h"
#include "jobs/bounds.h"
#include "jobs/document.h"
#include "jobs/job_reader.h"
#include "jobs/wire_check.h"

namespace rackmark {
namespace {

using namespace bounds;

void CheckExpectation(WireCheck& check, const v1::Expectation& expect) {
  CheckTexts(check, "expect.nodes", expect.nodes(), kNodesMax);
  if (expect.has_node_count()) {
    check.In<uint32_t>("expect.node_count", expect.node_count(), 1, kNodesMax);
  }
  CheckLabels(check, "expect.labels", expect.labels(), kWordBytesMax);
  check.That(v1::DeviceKind_IsValid(expect.kind()), "expect.kind",
             "is a device kind that this version does not know");
  if (expect.has_devices_per_node()) {
    check.In<uint32_t>("expect.devices_per_node", expect.devices_per_node(), 1, kPerNodeMax);
  }
  if (expect.has_links_per_device()) {
    check.In<uint32_t>("expect.links_per_device", expect.links_per_device(), 0, kLinksMax);
  }
  check.In<size_t>("expect.model", expect.model().size(), 0, kWordBytesMax);
  check.In<size_t>("expect.driver", expect.driver().size(), 0, kWordBytesMax);
  check.In<size_t>("expect.slots", static_cast<size_t>(expect.slots_size()), 0, kSlotsMax);
  for (const v1::ExpectedPart& part : expect.slots()) {
    for (const std::string* text : {&part.node(), &part.slot(), &part.serial()}) {
      check.In<size_t>("expect.slots", text->size(), 1, kWordBytesMax);
    }
  }
  check.In<Nanos>("expect.wait_ns", expect.wait_ns(), 0, kExpectWaitMax);
}

void CheckPart(WireCheck& check, const v1::SuitePart& part, const std::set<std::string>& before) {
  check.That(part.suite_id() == 0, "jobs.part.suite_id", "is set; only the coordinator sets it");
  check.That(IsJobName(part.name(), kNameMax), "jobs.part.name",
             "is not 1 to 63 of a-z, 0-9 and -");
  check.That(before.count(part.name()) == 0, "jobs.part.name", "is that of two parts");
  check.In<size_t>("jobs.part.after", static_cast<size_t>(part.after_size()), 0, kPartsMax);
  check.That(!part.gate() || part.after().empty(), "jobs.part.gate", "waits for another part");
  std::set<std::string> named;
  for (const v1::Dependency& after : part.after()) {
    check.That(before.count(after.part()) > 0, "jobs.part.after",
               "names a part that does not stand before it");
    check.That(named.insert(after.part()).second, "jobs.part.after", "names a part twice");
    check.That(
        after.when() == v1::DEPENDENCY_WHEN_SUCCESS || after.when() == v1::DEPENDENCY_WHEN_ANY,
        "jobs.part.after.when", "is a word that this version does not know");
  }
}

// A zone that nobody can look up here still has a name like one.
void CheckZone(WireCheck& check, std::string_view field, const std::string& zone,
               const std::function<absl::Status(std::string_view)>& zones) {
  check.In<size_t>(field, zone.size(), 0, kLabelBytesMax);
  if (zone.empty() || !zones || !check.status().ok()) return;
  const absl::Status known = zones(zone);
  check.That(known.ok(), field, FromAbsl(known.message()));
}

void CheckRule(WireCheck& check, std::string_view field, const std::string& text) {
  const auto rule = cron::Parse(text);
  check.That(rule.ok(), field, rule.ok() ? "" : FromAbsl(rule.status().message()));
}

}  // namespace

absl::Status CheckSuite(const v1::Suite& suite) {
  WireCheck check("suite");
  check.That(IsJobName(suite.name(), kNameMax), "name", "is not 1 to 63 of a-z, 0-9 and -");
  check.That(!suite.has_scheduled(), "scheduled", "is set; only the coordinator sets it");
  CheckLabels(check, "labels", suite.labels(), kLabelBytesMax);
  check.In<size_t>("source", suite.source().size(), 0, kSourceBytesMax);
  if (suite.has_expect()) CheckExpectation(check, suite.expect());
  check.In<size_t>("jobs", static_cast<size_t>(suite.jobs_size()), 1, kPartsMax);
  std::set<std::string> before;
  for (const v1::Job& job : suite.jobs()) {
    if (!check.status().ok()) break;
    check.That(job.has_part(), "jobs.part", "is missing");
    check.That(!job.has_scheduled(), "jobs.scheduled", "is set; only the coordinator sets it");
    CheckPart(check, job.part(), before);
    before.insert(job.part().name());
    if (const absl::Status body = CheckJobBody(job); !body.ok()) {
      check.Take(Annotate(body, absl::StrCat("suite.jobs, ", EscapeControl(job.part().name()))));
    }
  }
  return check.status();
}

absl::Status CheckSchedule(const v1::Schedule& schedule,
                           const std::function<absl::Status(std::string_view)>& zones) {
  WireCheck check("schedule");
  check.That(IsJobName(schedule.name(), kScheduleNameMax), "name",
             "is not 1 to 52 of a-z, 0-9 and -");
  CheckRule(check, "when", schedule.when());
  CheckZone(check, "time_zone", schedule.time_zone(), zones);
  check.That(schedule.concurrency() != v1::CONCURRENCY_POLICY_UNKNOWN &&
                 v1::ConcurrencyPolicy_IsValid(schedule.concurrency()),
             "concurrency", "is a policy that this version does not know");
  if (schedule.has_starting_deadline_ns()) {
    check.In<Nanos>("starting_deadline_ns", schedule.starting_deadline_ns(), kStartingDeadlineMin,
                    kMonth);
  }
  check.In<Nanos>("jitter_ns", schedule.jitter_ns(), 0, kJitterMax);
  check.In<size_t>("closed", static_cast<size_t>(schedule.closed_size()), 0, kWindowsMax);
  for (const v1::MaintenanceWindow& window : schedule.closed()) {
    CheckRule(check, "closed.opens", window.opens());
    CheckZone(check, "closed.time_zone", window.time_zone(), zones);
    check.In<Nanos>("closed.length_ns", window.length_ns(), kSecond, kMonth);
  }
  if (schedule.has_budget()) {
    CheckRule(check, "budget.begins", schedule.budget().begins());
    CheckZone(check, "budget.time_zone", schedule.budget().time_zone(), zones);
    check.In("budget.node_seconds", schedule.budget().node_seconds(), kNodeHoursMin * 3600,
             kNodeHoursMax * 3600);
  }
  check.In<uint32_t>("keep_successful", schedule.keep_successful(), 0, kHistoryLimitMax);
  check.In<uint32_t>("keep_failed", schedule.keep_failed(), 0, kHistoryLimitMax);
  check.In<size_t>("source", schedule.source().size(), 0, kSourceBytesMax);
  if (schedule.has_job()) {
    check.Take(CheckJob(schedule.job()));
  } else if (schedule.has_suite()) {
    check.Take(CheckSuite(schedule.suite()));
  } else {
    check.That(false, "what", "is missing: neither a job nor a suite");
  }
  return check.status();
}

}  // namespace rackmark

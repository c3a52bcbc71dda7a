#include "jobs/schedule_reader.h"

#include <utility>

#include "common/text.h"
#include "cron/expression.h"
#include "jobs/bounds.h"
#include "jobs/job_reader.h"

namespace rackmark {
namespace {

using namespace bounds;

constexpr double kHourSeconds = 3600;

const std::vector<std::string>& SpecKeysOfSchedule() {
  static const std::vector<std::string> keys = {"schedule",
                                                "timeZone",
                                                "concurrencyPolicy",
                                                "startingDeadlineSeconds",
                                                "suspend",
                                                "jitter",
                                                "successfulJobsHistoryLimit",
                                                "failedJobsHistoryLimit",
                                                "maintenance",
                                                "nightBudget",
                                                "jobTemplate",
                                                "suiteTemplate"};
  return keys;
}

std::string ReadRule(const Fields& fields, std::string_view key) {
  std::string text = fields.Text(key, std::nullopt);
  const YamlNode* node = fields.Find(key);
  if (node == nullptr || node->kind != YamlNode::Kind::kScalar) return text;
  if (const auto rule = cron::Parse(text); !rule.ok()) {
    fields.Problem(key, FromAbsl(rule.status().message()));
  }
  return text;
}

std::string ReadZone(const Fields& fields, const Reading& reading, const std::string& fallback) {
  std::string zone = fields.Text("timeZone", fallback);
  if (!fields.Has("timeZone") || !reading.finders.zones) return zone;
  if (const absl::Status known = reading.finders.zones(zone); !known.ok()) {
    fields.Problem("timeZone", FromAbsl(known.message()));
  }
  return zone;
}

void ReadTime(const Fields& spec, const Reading& reading, v1::Schedule& out) {
  out.set_when(ReadRule(spec, "schedule"));
  out.set_time_zone(ReadZone(spec, reading, "UTC"));
  const std::string policy =
      spec.Word("concurrencyPolicy", {"Allow", "Forbid", "Replace"}, std::string("Allow"));
  out.set_concurrency(policy == "Forbid"    ? v1::CONCURRENCY_POLICY_FORBID
                      : policy == "Replace" ? v1::CONCURRENCY_POLICY_REPLACE
                                            : v1::CONCURRENCY_POLICY_ALLOW);
  if (spec.Has("startingDeadlineSeconds")) {
    out.set_starting_deadline_ns(
        spec.Seconds("startingDeadlineSeconds", {kStartingDeadlineMin, kMonth, std::nullopt}));
  }
  out.set_jitter_ns(spec.Duration("jitter", {0, kJitterMax, 0}));
  out.set_suspend(spec.Bool("suspend", false));
  out.set_keep_successful(spec.Small("successfulJobsHistoryLimit", {0, kHistoryLimitMax, 3}));
  out.set_keep_failed(spec.Small("failedJobsHistoryLimit", {0, kHistoryLimitMax, 1}));
}

void ReadLimits(const Fields& spec, const Reading& reading, v1::Schedule& out) {
  if (spec.Has("maintenance")) {
    for (const Fields& entry :
         spec.Maps("maintenance", {"opens", "timeZone", "length"}, 0, kWindowsMax)) {
      v1::MaintenanceWindow& window = *out.add_closed();
      window.set_opens(ReadRule(entry, "opens"));
      window.set_time_zone(ReadZone(entry, reading, out.time_zone()));
      window.set_length_ns(entry.Duration("length", {kSecond, kMonth, std::nullopt}));
    }
  }
  if (!spec.Has("nightBudget")) return;
  const Fields night = spec.Map("nightBudget", {"begins", "timeZone", "nodeHours"});
  v1::NightBudget& budget = *out.mutable_budget();
  budget.set_begins(ReadRule(night, "begins"));
  budget.set_time_zone(ReadZone(night, reading, out.time_zone()));
  budget.set_node_seconds(night.Number("nodeHours", {kNodeHoursMin, kNodeHoursMax, std::nullopt}) *
                          kHourSeconds);
}

// A template is a file's name, or metadata.labels and a spec, as CronJob has it.
bool IsWrittenOut(const Fields& spec, std::string_view key) {
  const YamlNode* node = spec.Find(key);
  return node != nullptr && node->kind == YamlNode::Kind::kMap;
}

void ReadJobTemplate(const Fields& spec, const Reading& reading, v1::Schedule& out) {
  v1::Job& job = *out.mutable_job();
  if (IsWrittenOut(spec, "jobTemplate")) {
    const Fields fields = spec.Map("jobTemplate", {"metadata", "spec"});
    PutLabels(fields.Map("metadata", {"labels"}), *job.mutable_labels());
    if (!fields.Has("spec")) return fields.Problem("spec", "is missing; write what to run here");
    ReadJobSpec({*fields.Find("spec"), fields.PathOf("spec")}, reading.problems,
                reading.finders.traces, *job.mutable_spec());
  } else if (auto named = ReadNamedJob(spec, "jobTemplate", reading)) {
    job = *std::move(named);
  }
  job.set_name(out.name());  // what comes of it is called by the instant, too
}

void ReadSuiteTemplate(const Fields& spec, const Reading& reading, v1::Schedule& out) {
  v1::Suite& suite = *out.mutable_suite();
  if (IsWrittenOut(spec, "suiteTemplate")) {
    suite.set_name(out.name());
    const Fields fields = spec.Map("suiteTemplate", {"metadata", "spec"});
    PutLabels(fields.Map("metadata", {"labels"}), *suite.mutable_labels());
    if (!fields.Has("spec")) return fields.Problem("spec", "is missing; write its jobs here");
    ReadSuiteSpec({*fields.Find("spec"), fields.PathOf("spec")}, reading, suite);
  } else if (auto named = ReadNamedSuite(spec, "suiteTemplate", reading)) {
    suite = *std::move(named);
  }
  suite.set_name(out.name());
}

}  // namespace

void ReadScheduleRoot(const YamlNode& root, const std::vector<std::string>& kinds,
                      const Reading& reading, v1::Schedule& schedule) {
  const Fields fields(&reading.problems, &root, &root, "",
                      {"apiVersion", "kind", "metadata", "spec"});
  ReadHead(fields, kinds);
  schedule.set_name(ReadName(fields.Map("metadata", {"name"}), kScheduleNameMax));
  if (!fields.Has("spec")) return fields.Problem("spec", "is missing; write when to run what");
  const Fields spec = fields.Map("spec", SpecKeysOfSchedule());
  ReadTime(spec, reading, schedule);
  ReadLimits(spec, reading, schedule);
  if (spec.Has("jobTemplate") == spec.Has("suiteTemplate")) {
    return spec.Problem("jobTemplate",
                        spec.Has("jobTemplate")
                            ? "stands beside suiteTemplate; keep one of them"
                            : "is missing; write jobTemplate or suiteTemplate: what to submit");
  }
  if (spec.Has("jobTemplate")) {
    ReadJobTemplate(spec, reading, schedule);
  } else {
    ReadSuiteTemplate(spec, reading, schedule);
  }
}

}  // namespace rackmark

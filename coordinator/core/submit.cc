#include "coordinator/core/submit.h"

#include "coordinator/core/shortage.h"
#include "coordinator/core/view.h"
#include "coordinator/plan/choose.h"

namespace rackmark {
namespace {

// Without it the note would say that 2 devices are needed and 2 are there.
std::string SelectorText(const v1::Gang& gang) {
  std::string text;
  if (gang.models_size() > 0) text += ", of its models";
  if (gang.labels_size() > 0) text += ", on nodes with its labels";
  if (gang.nodes_size() > 0) text += ", on nodes that it names";
  return text;
}

}  // namespace

absl::Status CheckRoom(const State& state, uint64_t bytes) {
  uint64_t open = state.hard.open_bytes;
  for (const auto& [id, suite] : state.hard.suites) {
    if (IsOpen(suite)) open += suite.suite.expect().ByteSizeLong();
  }
  const uint64_t max = state.config.open_job_bytes_max;
  if (bytes <= max && open <= max - bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat("the ", state.hard.jobs.size(), " open jobs have ", open, " bytes, this one ",
                   bytes, ", and ", max,
                   " are kept at most; submit it again when some have ended, or cancel one that "
                   "is not needed (rackmark jobs lists them)"));
}

absl::Status CheckSubmissionId(const std::string& id) {
  if (!id.empty() && id.size() <= 128) return absl::OkStatus();
  return absl::InvalidArgumentError("submission_id must have 1 to 128 bytes");
}

std::string ImpossibleNote(const State& state, const v1::Gang& gang) {
  const plan::Fleet& fleet = state.soft.planner.fleet;
  const plan::GangRequest request = RequestOf(gang);
  if (plan::CouldFit(fleet, request, plan::Assume::kIdeal)) return "";
  uint32_t known = 0;
  for (const plan::Fleet::Node& node : fleet.nodes()) {
    for (const plan::Fleet::Device& device : node.devices) {
      known += fleet.classes()[device.klass].first == gang.kind() ? 1u : 0u;
    }
  }
  return absl::StrCat("the gang needs ", NeedText(gang), SelectorText(gang), ", the known nodes (",
                      fleet.nodes().size(), ") have ", known, "; it waits until nodes join");
}

JobId EmitJob(v1::Job job, const std::string& submission_id, NextIds& next,
              std::vector<v1::Event>& events) {
  v1::JobSubmitted* change = events.emplace_back().mutable_job_submitted();
  change->set_job_id(next.job++);
  change->set_first_run_id(next.run);
  next.run += static_cast<uint64_t>(job.spec().runs_size());
  change->set_submission_id(submission_id);
  *change->mutable_job() = std::move(job);
  return JobId{change->job_id()};
}

std::string PartSubmission(const std::string& submission_id, const v1::Job& job) {
  return absl::StrCat(submission_id, "/", job.part().name());
}

SuiteId EmitSuite(v1::Suite suite, const std::string& submission_id, NextIds& next,
                  std::vector<v1::Event>& events) {
  const SuiteId id{next.suite++};
  std::vector<v1::Job> jobs(suite.jobs().begin(), suite.jobs().end());
  // The jobs are in their own events, and so is what was written of them.
  suite.clear_source();
  for (v1::Job& job : *suite.mutable_jobs()) {
    v1::Job trimmed;
    trimmed.set_name(job.name());
    *trimmed.mutable_part() = job.part();
    job = std::move(trimmed);
  }
  v1::SuiteSubmitted* change = events.emplace_back().mutable_suite_submitted();
  change->set_suite_id(id.value);
  change->set_first_job_id(next.job);
  change->set_submission_id(submission_id);
  *change->mutable_suite() = std::move(suite);
  for (v1::Job& job : jobs) {
    job.mutable_part()->set_suite_id(id.value);
    const std::string submission = PartSubmission(submission_id, job);
    EmitJob(std::move(job), submission, next, events);
  }
  return id;
}

}  // namespace rackmark

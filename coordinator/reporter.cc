#include "coordinator/reporter.h"

#include <chrono>
#include <optional>
#include <utility>

#include "common/log.h"
#include "common/sha256.h"
#include "common/version.h"
#include "coordinator/core/view.h"
#include "coordinator/evidence.h"

namespace rackmark {
namespace {

constexpr auto kRetry = std::chrono::milliseconds(50);

// What State knows of a run, as the beginning of its summary.
v1::RunSummary KnownOf(const State& state, const RunState& run) {
  v1::RunSummary known;
  known.set_run_id(run.id.value);
  known.set_attempt(run.attempt);
  *known.mutable_spec() = SpecOf(state.hard, run);
  *known.mutable_placement() = run.placement;
  if (run.failure) *known.mutable_failure() = *run.failure;
  for (const v1::Failure& failure : run.earlier) *known.add_earlier_failures() = failure;
  for (const std::string& sentence : run.transports) known.add_transports(sentence);
  return known;
}

}  // namespace

Reporter::Reporter(Options options) : options_(std::move(options)) {
  thread_ = std::thread([this] { Run(); });
}

Reporter::~Reporter() { Stop(); }

void Reporter::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    ready_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  for (Report& report : reports_) {
    report.done(absl::UnavailableError("the coordinator is stopping"));
  }
  reports_.clear();
}

void Reporter::RunToJudge(RunId run) {
  std::lock_guard lock(mutex_);
  to_judge_.insert(run);
  ready_.notify_all();
}

absl::Status Reporter::Assemble(const State& state, JobId id, Done done) {
  const auto it = state.hard.jobs.find(id);
  if (it == state.hard.jobs.end()) {
    return absl::NotFoundError(absl::StrCat("there is no job ", id.value));
  }
  const JobState& job = it->second;
  if (!job.verdict) {
    return absl::FailedPreconditionError(
        absl::StrCat("job ", id.value, " has not ended yet; its report comes with its verdict"));
  }
  v1::JobSummary summary;
  summary.set_format(1);
  summary.set_cluster_id(state.hard.cluster_id);
  summary.set_job_id(id.value);
  summary.set_job_name(job.job.name());
  *summary.mutable_labels() = job.job.labels();
  summary.set_verdict(*job.verdict);
  summary.set_submitted_unix_ns(job.submitted_unix_ns);
  summary.set_source(job.job.source());
  summary.set_source_sha256(job.job.source_sha256());
  *summary.mutable_by() = job.by;
  summary.set_rackmark_version(std::string(Version()));
  for (const RunId run_id : RunsOf(job)) {
    const RunState& run = state.hard.runs.at(run_id);
    v1::RunSummary* known = summary.add_runs();
    *known = KnownOf(state, run);
    known->set_verdict(run.verdict.value_or(v1::VERDICT_UNKNOWN));
    for (const std::string& reason : run.reasons) known->add_reasons(reason);
  }
  std::lock_guard lock(mutex_);
  if (stopping_) return absl::UnavailableError("the coordinator is stopping");
  if (reports_.size() >= options_.reports_max) {
    return absl::ResourceExhaustedError("too many reports are being put together; try again");
  }
  reports_.push_back({std::move(summary), std::move(done)});
  ready_.notify_all();
  return absl::OkStatus();
}

void Reporter::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    ready_.wait(lock, [this] { return stopping_ || !to_judge_.empty() || !reports_.empty(); });
    if (stopping_) return;
    if (!reports_.empty()) {  // somebody waits for it
      Report report = std::move(reports_.front());
      reports_.pop_front();
      lock.unlock();
      Finish(std::move(report));
    } else {
      const RunId run = *to_judge_.begin();
      to_judge_.erase(to_judge_.begin());
      lock.unlock();
      Judge(run);
    }
    lock.lock();
  }
}

void Reporter::Judge(RunId run) {
  std::optional<v1::RunSummary> known;
  absl::Status status = options_.loop->ReadAndWait([&](const State& state, Now) {
    const RunState& at = state.hard.runs.at(run);
    if (at.phase != v1::RUN_PHASE_JUDGING) return;
    known = KnownOf(state, at);
    for (v1::NodeFacts& facts : FactsOf(state, at)) *known->add_nodes() = std::move(facts);
  });
  if (status.ok() && known) {
    const auto judged = Summarize(*std::move(known));
    if (!judged.ok()) return options_.fatal(Annotate(judged.status(), "judging a run"));
    const v1::RunSummary& summary = judged->summary;
    JudgeRun verdict = {run,
                        summary.attempt(),
                        summary.verdict(),
                        Sha256Hex(judged->bytes),
                        {summary.reasons().begin(), summary.reasons().end()}};
    status = options_.loop->Post({CorePrincipal(), std::move(verdict)}, [](const Outcome& outcome) {
      if (!outcome.status.ok() && outcome.state != nullptr) {
        Log(LogLevel::kWarning,
            absl::StrCat("a verdict came too late: ", outcome.status.message()));
      }
    });
  }
  if (!absl::IsResourceExhausted(status)) return;
  // The inbox is full: nothing is lost, the run still waits to be judged.
  std::unique_lock lock(mutex_);
  to_judge_.insert(run);
  ready_.wait_for(lock, kRetry, [this] { return stopping_; });
}

// The stored one if this attempt was summarised before: a crash after it must not change a byte.
// Before it, a crash changes nothing that was told to anybody, and the summary is made again of the
// same chunks and of durable State only (the clocks came with RunJudging).
absl::StatusOr<Reporter::Judged> Reporter::Summarize(v1::RunSummary known) {
  ASSIGN_OR_RETURN(const auto stored, options_.samples->GetReport(known.run_id()));
  v1::RunSummary before;
  if (stored && before.ParseFromString(*stored) && before.attempt() == known.attempt()) {
    return Judged{std::move(before), *stored};
  }
  const uint64_t run = known.run_id();
  const uint32_t attempt = known.attempt();
  const ChunkSource source = [&](const SampleStore::ChunkVisitor& visit) {
    return options_.samples->ForEachChunk(run, attempt, visit);
  };
  auto summary = options_.summarize(known, source);
  if (!summary.ok()) {
    // Damaged samples are this run's trouble, not the coordinator's.
    known.set_verdict(v1::VERDICT_ERROR);
    known.add_reasons(absl::StrCat("the samples could not be read: ", summary.status().message()));
    summary = std::move(known);
  }
  std::string bytes = EvidenceBytes(*summary);
  RETURN_IF_ERROR(options_.samples->PutReport(run, bytes));
  return Judged{*std::move(summary), std::move(bytes)};
}

void Reporter::Finish(Report report) {
  for (v1::RunSummary& run : *report.summary.mutable_runs()) {
    auto stored = options_.samples->GetReport(run.run_id());
    if (!stored.ok()) return report.done(stored.status());
    v1::RunSummary full;
    if (*stored && full.ParseFromString(**stored) && full.attempt() == run.attempt()) {
      run = std::move(full);
    } else {
      v1::MissingValue* missing = run.add_missing();
      missing->set_name("summary");
      missing->set_reason("it is not in samples.db; only what the event log says is shown");
    }
  }
  Fit(report.summary);
  report.done(std::move(report.summary));
}

// Charts go first when a report would not fit into one message, the last runs' first.
void Reporter::Fit(v1::JobSummary& summary) const {
  size_t bytes = summary.ByteSizeLong();
  for (int i = summary.runs_size(); i-- > 0 && bytes > options_.report_bytes_max;) {
    v1::RunSummary* run = summary.mutable_runs(i);
    const size_t before = run->ByteSizeLong();
    if (run->series_size() == 0) continue;
    run->clear_series();
    v1::MissingValue* missing = run->add_missing();
    missing->set_name("series");
    missing->set_reason("left out, because the whole report would not fit into one message");
    bytes -= before - run->ByteSizeLong();
  }
}

}  // namespace rackmark

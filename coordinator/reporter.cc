#include "coordinator/reporter.h"

#include <chrono>
#include <optional>
#include <utility>

#include "common/log.h"
#include "common/sha256.h"
#include "common/version.h"
#include "coordinator/core/view.h"
#include "coordinator/evidence.h"
#include "coordinator/fit_report.h"

namespace rackmark {
namespace {

constexpr Nanos kInboxRetry = 50 * kMillisecond;

// What is not there as it was written stays so; any other error is the store's of this moment.
bool IsDamage(const absl::Status& status) {
  return absl::IsDataLoss(status) || absl::IsInvalidArgument(status);
}

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

// What the log said of a run whose summary is not there.
v1::RunSummary KnownOf(const v1::RunRecord& run) {
  v1::RunSummary known;
  known.set_run_id(run.run_id());
  known.set_attempt(run.attempt());
  *known.mutable_spec() = run.spec();
  *known.mutable_placement() = run.placement();
  if (run.has_failure()) *known.mutable_failure() = run.failure();
  *known.mutable_earlier_failures() = run.earlier_failures();
  *known.mutable_transports() = run.transports();
  known.set_verdict(run.verdict());
  *known.mutable_reasons() = run.reasons();
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
  if (state.hard.jobs.count(id) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("job ", DisplayJob(state.hard.cluster_id, id),
                     " has not ended yet; its report comes with its verdict"));
  }
  if (!HasEnded(state.hard, id)) {
    return NoSuchJob(state.hard.cluster_id, id);
  }
  std::lock_guard lock(mutex_);
  if (stopping_) return absl::UnavailableError("the coordinator is stopping");
  if (reports_.size() >= options_.reports_max) {
    return absl::ResourceExhaustedError("too many reports are being put together; try again");
  }
  reports_.push_back({id, state.hard.cluster_id, std::move(done)});
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
      report.done(Put(report));
    } else {
      // Round and round: one that cannot be read now must not keep those after it waiting.
      auto next = to_judge_.upper_bound(last_judged_);
      if (next == to_judge_.end()) next = to_judge_.begin();
      const RunId run = last_judged_ = *next;
      to_judge_.erase(next);
      lock.unlock();
      Judge(run);
    }
    lock.lock();
  }
}

void Reporter::Judge(RunId run) {
  std::optional<v1::RunSummary> known;
  absl::Status status = options_.loop->ReadAndWait([&](const State& state, Now) {
    const auto at = state.hard.runs.find(run);
    if (at == state.hard.runs.end() || at->second.phase != v1::RUN_PHASE_JUDGING) return;
    known = KnownOf(state, at->second);
    for (v1::NodeFacts& facts : FactsOf(state, at->second)) *known->add_nodes() = std::move(facts);
  });
  if (status.ok() && known) {
    const auto judged = Summarize(*std::move(known));
    if (!judged.ok() && MayPass(judged.status())) {
      Log(LogLevel::kWarning,
          absl::StrCat("run ", run.value, " is judged later, because its ",
                       "samples cannot be read now: ", judged.status().message()));
      return JudgeAgain(run, options_.read_again);
    }
    if (!judged.ok()) return options_.fatal(Annotate(judged.status(), "judging a run"));
    if (!judged->stored) {
      const absl::Status put = options_.samples->PutReport(run.value, judged->bytes);
      if (!put.ok()) return options_.fatal(Annotate(put, "judging a run"));
    }
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
  // The inbox is full: nothing is lost, the run still waits to be judged.
  if (absl::IsResourceExhausted(status)) JudgeAgain(run, kInboxRetry);
}

// Who waits for a report does not wait for this.
void Reporter::JudgeAgain(RunId run, Nanos wait) {
  std::unique_lock lock(mutex_);
  to_judge_.insert(run);
  ready_.wait_for(lock, std::chrono::nanoseconds(wait),
                  [this] { return stopping_ || !reports_.empty(); });
}

// The stored one if this attempt was summarised before: a crash after it must not change a byte.
// Before it, a crash changes nothing that was told to anybody, and the summary is made again of the
// same chunks and of durable State only (the clocks came with RunJudging).
absl::StatusOr<Reporter::Judged> Reporter::Summarize(v1::RunSummary known) {
  ASSIGN_OR_RETURN(const auto stored, options_.samples->GetReport(known.run_id()));
  v1::RunSummary before;
  if (stored && before.ParseFromString(*stored) && before.attempt() == known.attempt()) {
    return Judged{std::move(before), *stored, true};
  }
  const uint64_t run = known.run_id();
  const uint32_t attempt = known.attempt();
  absl::Status unread;  // an error of the store, and not of what is in the chunks
  const ChunkSource source = [&](const SampleStore::ChunkVisitor& visit) {
    bool taken = true;
    absl::Status read = options_.samples->ForEachChunk(run, attempt, [&](v1::Chunk chunk) {
      absl::Status status = visit(std::move(chunk));
      taken = status.ok();
      return status;
    });
    if (taken && !IsDamage(read)) unread = read;
    return read;
  };
  auto summary = options_.summarize(known, source);
  RETURN_IF_ERROR(unread);
  if (!summary.ok()) {
    // Damaged samples are this run's trouble, not the coordinator's.
    known.set_verdict(v1::VERDICT_ERROR);
    known.add_reasons(absl::StrCat("the samples could not be read: ", summary.status().message()));
    summary = std::move(known);
  }
  std::string bytes = EvidenceBytes(*summary);
  return Judged{*std::move(summary), std::move(bytes), false};
}

absl::StatusOr<v1::JobSummary> Reporter::Put(const Report& report) {
  ASSIGN_OR_RETURN(const auto ended, options_.history->Job(report.job.value));
  if (!ended) {
    return NoLongerKept(report.cluster_id, report.job);
  }
  const v1::JobRecord& job = ended->job();
  v1::JobSummary summary;
  summary.set_format(1);
  summary.set_cluster_id(report.cluster_id);
  summary.set_job_id(job.job_id());
  summary.set_job_name(job.job().name());
  *summary.mutable_labels() = job.job().labels();
  summary.set_verdict(job.verdict());
  summary.set_submitted_unix_ns(job.submitted_unix_ns());
  summary.set_source(job.job().source());
  summary.set_source_sha256(job.job().source_sha256());
  *summary.mutable_by() = job.by();
  summary.set_rackmark_version(std::string(Version()));
  RETURN_IF_ERROR(AddRuns(*ended, summary));
  RETURN_IF_ERROR(FitReport(summary, options_.report_bytes_max));
  return summary;
}

absl::Status Reporter::AddRuns(const v1::EndedJob& ended, v1::JobSummary& summary) {
  size_t bytes = 0;
  for (const v1::RunRecord& run : ended.runs()) {
    v1::RunSummary* shown = summary.add_runs();
    ASSIGN_OR_RETURN(const auto stored, options_.samples->GetReport(run.run_id()));
    if (stored && shown->ParseFromString(*stored) && shown->attempt() == run.attempt()) {
      if (bytes > options_.report_bytes_max) LeaveOutCharts(*shown);
      bytes += shown->ByteSizeLong();
      continue;
    }
    *shown = KnownOf(run);
    v1::MissingValue* missing = shown->add_missing();
    missing->set_name("summary");
    missing->set_reason("it is not in samples.db; only what the event log says is shown");
  }
  return absl::OkStatus();
}

}  // namespace rackmark

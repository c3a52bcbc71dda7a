#include "coordinator/janitor.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/log.h"
#include "coordinator/core/schedules.h"

namespace rackmark {
namespace {

// Of one step: small beside what a turn or a transaction of ingest may take.
constexpr uint64_t kEventsPerStep = 1000;
constexpr uint64_t kHistoryRowsPerStep = 1000;
constexpr uint64_t kChunksPerStep = 64;  // 16 MiB at most
constexpr uint64_t kBytesPerStep = 16 << 20;
constexpr uint64_t kRunsPerStep = 1000;  // looked at by one query
constexpr Nanos kFirstSweepAfter = 5 * kSecond;

std::set<std::string> NeededArtifacts(const HardState& hard) {
  std::set<std::string> needed;
  const auto add = [&needed](const v1::Job& job) {
    for (const v1::RunSpec& run : job.spec().runs()) {
      if (run.serve().load().has_trace()) needed.insert(run.serve().load().trace().sha256());
    }
  };
  for (const auto& [id, job] : hard.jobs) add(job.job);
  // Their next jobs refer to the same files.
  for (const auto& [id, schedule] : hard.schedules) {
    if (schedule.schedule.has_job()) add(schedule.schedule.job());
    for (const v1::Job& job : schedule.schedule.suite().jobs()) add(job);
  }
  return needed;
}

class Sweeper {
 public:
  Sweeper(const Janitor::Options& options, const std::function<bool()>& go_on,
          Janitor::Progress& progress)
      : options_(options), go_on_(go_on), now_(options.clock->Unix()), progress_(progress) {}

  absl::StatusOr<Janitor::Swept> All() {
    RETURN_IF_ERROR(OnLoop(swept_.events, [](EventStore& e) { return e.Trim(kEventsPerStep); }));
    const auto& last = progress_.looked_at_all;
    const bool all = !last || now_ < *last || now_ - *last >= Janitor::kLookAtAll;
    RETURN_IF_ERROR(all ? LookAtAll() : ByAge());
    if (all) progress_.beyond.clear();  // a late chunk may have come in behind
    RETURN_IF_ERROR(BySchedules());
    RETURN_IF_ERROR(BySize());
    if (const auto before = Cutoff(options_.storage.history_keep)) {
      RETURN_IF_ERROR(OnLoop(swept_.history, [before](EventStore& e) {
        return e.DropHistory(*before, kHistoryRowsPerStep);
      }));
    }
    Artifacts();
    RETURN_IF_ERROR(Repeat(swept_.bytes, [&] { return options_.samples->Shrink(kBytesPerStep); }));
    return swept_;
  }

 private:
  using RunsWith = SampleStore::RunsWith;
  using Step = std::function<absl::StatusOr<uint64_t>()>;

  std::optional<int64_t> Cutoff(std::optional<Nanos> keep) const {
    if (!keep) return std::nullopt;
    return now_ - *keep;
  }

  // Until a step finds nothing more to do.
  absl::Status Repeat(uint64_t& count, const Step& step) {
    while (go_on_()) {
      ASSIGN_OR_RETURN(const uint64_t did, step());
      if (did == 0) return absl::OkStatus();
      count += did;
    }
    return absl::OkStatus();
  }

  absl::Status OnLoop(uint64_t& count,
                      const std::function<absl::StatusOr<uint64_t>(EventStore&)>& step) {
    return Repeat(count, [&] {
      absl::StatusOr<uint64_t> did = 0;
      // A full inbox, or the end of the loop: the next sweep goes on.
      (void)options_.loop->ReadAndWait([&](const State&, Now) { did = step(*options_.events); });
      return did;
    });
  }

  // Notes an error of a read that may pass: the next sweep asks again. What is written may not
  // fail.
  template <typename T>
  absl::StatusOr<T> Read(absl::StatusOr<T> answer) {
    if (!answer.ok() && MayPass(answer.status())) progress_.unread = answer.status();
    return answer;
  }

  // Visits runs, the oldest first, with when their jobs ended; missing: not yet, or no longer kept.
  // Until `visit` says that it is enough.
  absl::Status ForEachRun(RunsWith what, const std::function<absl::StatusOr<bool>(
                                             uint64_t run, std::optional<int64_t> ended)>& visit) {
    uint64_t last = 0;
    while (go_on_()) {
      ASSIGN_OR_RETURN(const auto runs, Read(options_.samples->NextRuns(last, kRunsPerStep, what)));
      if (runs.empty()) return absl::OkStatus();
      ASSIGN_OR_RETURN(const auto ended, Read(options_.events->history().EndedAt(runs)));
      for (size_t i = 0; i < runs.size() && go_on_(); ++i) {
        ASSIGN_OR_RETURN(const bool more, visit(runs[i], ended[i]));
        if (!more) return absl::OkStatus();
      }
      last = runs.back();
    }
    return absl::OkStatus();
  }

  absl::Status DropChunks(uint64_t run) {
    return Repeat(swept_.chunks, [&] { return options_.samples->DropChunks(run, kChunksPerStep); });
  }

  absl::Status DropReport(uint64_t run) {
    if (!go_on_()) return absl::OkStatus();
    RETURN_IF_ERROR(options_.samples->DropReport(run));
    ++swept_.reports;
    return absl::OkStatus();
  }

  // Of a job's runs, what there is.
  absl::Status ForEachOf(const History::RunRange& range, RunsWith what,
                         const std::function<absl::Status(uint64_t run)>& visit) {
    uint64_t last = range.first - 1;
    const uint64_t end = range.first + range.count;
    while (go_on_() && last + 1 < end) {
      const uint64_t max = std::min(kRunsPerStep, end - last - 1);
      ASSIGN_OR_RETURN(const auto runs, Read(options_.samples->NextRuns(last, max, what)));
      if (runs.empty()) return absl::OkStatus();
      for (const uint64_t run : runs) {
        if (!go_on_() || run >= end) return absl::OkStatus();
        RETURN_IF_ERROR(visit(run));
      }
      last = runs.back();
    }
    return absl::OkStatus();
  }

  // Of jobs that ended between the two.
  absl::Status ForEachBetween(int64_t from, int64_t before, RunsWith what,
                              const std::function<absl::Status(uint64_t run)>& visit) {
    ASSIGN_OR_RETURN(const auto ranges,
                     Read(options_.events->history().EndedBetween(from, before)));
    for (const History::RunRange& range : ranges) {
      RETURN_IF_ERROR(ForEachOf(range, what, visit));
    }
    return absl::OkStatus();
  }

  absl::Status ByAge() {
    const auto samples = Cutoff(options_.storage.samples_keep);
    if (samples && *samples > progress_.samples_before) {
      RETURN_IF_ERROR(ForEachBetween(progress_.samples_before, *samples, RunsWith::kChunks,
                                     [&](uint64_t run) { return DropChunks(run); }));
      if (go_on_()) progress_.samples_before = *samples;
    }
    const auto reports = Cutoff(options_.storage.reports_keep);
    if (reports && *reports > progress_.reports_before) {
      RETURN_IF_ERROR(ForEachBetween(progress_.reports_before, *reports, RunsWith::kChunksOrReport,
                                     [&](uint64_t run) { return DropReport(run); }));
      if (go_on_()) progress_.reports_before = *reports;
    }
    return absl::OkStatus();
  }

  // The samples of jobs that the history limits of their schedules let go of. Reports stay, by
  // their own age: a trend over many nights is made of them.
  absl::Status BySchedules() {
    std::vector<JobId> beyond;
    const absl::Status read =
        options_.loop->ReadAndWait([&](const State& state, Now) { beyond = BeyondHistory(state); });
    if (!read.ok()) return absl::OkStatus();  // a full inbox, or the end: the next sweep goes on
    std::set<JobId> done;
    for (const JobId job : beyond) {
      if (!go_on_()) return absl::OkStatus();
      done.insert(job);
      if (progress_.beyond.count(job) > 0) continue;
      ASSIGN_OR_RETURN(const auto ended, Read(options_.events->history().Job(job.value)));
      if (!ended) continue;
      for (const v1::RunRecord& run : ended->runs()) RETURN_IF_ERROR(DropChunks(run.run_id()));
    }
    if (go_on_()) progress_.beyond = std::move(done);
    return absl::OkStatus();
  }

  // Runs that State had a moment ago: an open job's samples are nobody's to drop. Missing: a full
  // inbox, or the end of the loop.
  struct Known {
    uint64_t last_run = 0;
    std::set<uint64_t> open;
  };
  std::optional<Known> ReadKnown() {
    Known known;
    const absl::Status read = options_.loop->ReadAndWait([&](const State& state, Now) {
      known.last_run = state.hard.last_run;
      for (const auto& [id, run] : state.hard.runs) known.open.insert(id.value);
    });
    return read.ok() ? std::optional<Known>(std::move(known)) : std::nullopt;
  }

  // A chunk that came in when its run's history was just let go of.
  absl::Status DropOrphan(uint64_t run) {
    RETURN_IF_ERROR(DropChunks(run));
    if (!go_on_()) return absl::OkStatus();
    RETURN_IF_ERROR(options_.samples->DropReport(run));
    ++swept_.orphans;
    return absl::OkStatus();
  }

  absl::Status LookAtAll() {
    const auto samples = Cutoff(options_.storage.samples_keep);
    const auto reports = Cutoff(options_.storage.reports_keep);
    // Read before any question to the history: a run that is not open here is there, if anywhere.
    const std::optional<Known> known = ReadKnown();
    const auto visit = [&](uint64_t run, std::optional<int64_t> ended) -> absl::StatusOr<bool> {
      if (!ended) {
        const bool gone = known && run <= known->last_run && known->open.count(run) == 0;
        if (gone) RETURN_IF_ERROR(DropOrphan(run));
        return true;
      }
      if (samples && *ended < *samples) RETURN_IF_ERROR(DropChunks(run));
      if (reports && *ended < *reports) RETURN_IF_ERROR(DropReport(run));
      return true;
    };
    // Where reports stay for ever, so does the history: a run that has nothing but a report is
    // none of ours, and there may be millions.
    RETURN_IF_ERROR(ForEachRun(reports ? RunsWith::kChunksOrReport : RunsWith::kChunks, visit));
    if (!go_on_()) return absl::OkStatus();
    progress_.samples_before = samples.value_or(0);
    progress_.reports_before = reports.value_or(0);
    progress_.looked_at_all = now_;
    return absl::OkStatus();
  }

  absl::Status BySize() {
    ASSIGN_OR_RETURN(uint64_t used, Read(options_.samples->UsedBytes()));
    const uint64_t bound = options_.storage.samples_bytes;
    if (used <= bound) return absl::OkStatus();
    const auto visit = [&](uint64_t run, std::optional<int64_t> ended) -> absl::StatusOr<bool> {
      if (!ended) return true;  // of an open job
      const uint64_t before = swept_.chunks;
      RETURN_IF_ERROR(DropChunks(run));
      if (swept_.chunks != before) {
        ASSIGN_OR_RETURN(used, Read(options_.samples->UsedBytes()));
      }
      return used > bound;
    };
    RETURN_IF_ERROR(ForEachRun(RunsWith::kChunks, visit));
    if (used > bound && go_on_()) {
      Log(LogLevel::kWarning,
          absl::StrCat("samples.db holds ", used, " bytes, more than --samples-bytes ", bound,
                       ": the rest belongs to open jobs or is reports"));
    }
    return absl::OkStatus();
  }

  // The longest unused first, until the next one finds room. Files decide nothing, so one that
  // cannot be removed is no reason to end.
  void Artifacts() {
    ArtifactStore* const store = options_.artifacts;
    if (store == nullptr || store->BytesOver() == 0) return;
    std::vector<ArtifactStore::Artifact> kept = store->List();
    std::sort(kept.begin(), kept.end(),
              [](const auto& a, const auto& b) { return a.used_unix_ns < b.used_unix_ns; });
    std::set<std::string> needed;
    const absl::Status read = options_.loop->ReadAndWait(
        [&](const State& state, Now) { needed = NeededArtifacts(state.hard); });
    if (!read.ok()) return;  // a full inbox, or the end: the next sweep goes on
    for (const ArtifactStore::Artifact& artifact : kept) {
      if (!go_on_() || store->BytesOver() == 0) return;
      if (needed.count(artifact.sha256) > 0) continue;
      const auto gone = store->Remove(artifact.sha256, now_ - ArtifactStore::kSparedFor);
      if (gone.ok() && *gone) ++swept_.artifacts;
      if (!gone.ok()) Log(LogLevel::kWarning, FromAbsl(gone.status().message()));
    }
  }

  const Janitor::Options& options_;
  const std::function<bool()>& go_on_;
  const int64_t now_;
  Janitor::Progress& progress_;
  Janitor::Swept swept_;
};

}  // namespace

absl::StatusOr<Janitor::Swept> Janitor::Sweep(const Options& options,
                                              const std::function<bool()>& go_on,
                                              Progress& progress) {
  return Sweeper(options, go_on, progress).All();
}

Janitor::Janitor(Options options) : options_(std::move(options)) {
  thread_ = std::thread([this] { Run(); });
}

Janitor::~Janitor() { Stop(); }

void Janitor::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    stop_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

bool Janitor::GoOn() {
  std::lock_guard lock(mutex_);
  return !stopping_;
}

// False: stopped.
bool Janitor::Wait(Nanos time) {
  std::unique_lock lock(mutex_);
  return !stop_.wait_for(lock, std::chrono::nanoseconds(time), [this] { return stopping_; });
}

void Janitor::Run() {
  const std::function<bool()> go_on = [this] { return GoOn(); };
  Progress progress;
  // After a start the workers come first; but who only ever lives for a minute must sweep, too.
  Nanos wait = std::min(options_.storage.sweep_interval, kFirstSweepAfter);
  while (Wait(std::exchange(wait, options_.storage.sweep_interval))) {
    progress.unread.reset();
    const auto swept = Sweep(options_, go_on, progress);
    if (!swept.ok() && progress.unread) {
      Log(LogLevel::kWarning, absl::StrCat("what is over its age or size stays until the next "
                                           "sweep: ",
                                           swept.status().message()));
      continue;
    }
    if (!swept.ok()) return options_.fatal(Annotate(swept.status(), "keeping within the bounds"));
    if (swept->events + swept->chunks + swept->reports + swept->history + swept->bytes +
            swept->artifacts + swept->orphans >
        0) {
      Log(LogLevel::kInfo,
          absl::StrCat("let go of ", swept->events, " events behind the snapshots, ", swept->chunks,
                       " chunks, ", swept->reports, " reports, ", swept->history,
                       " rows of ended jobs, ", swept->artifacts, " files, ", swept->orphans,
                       " runs that nobody knows any more; gave ", swept->bytes, " bytes back"));
    }
  }
}

}  // namespace rackmark

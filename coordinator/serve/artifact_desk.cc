#include "coordinator/serve/artifact_desk.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/text.h"

namespace rackmark {

ArtifactDesk::ArtifactDesk(ArtifactStore* store, size_t waiting_max, Nanos idle_max)
    : store_(store), idle_max_(idle_max), work_(waiting_max), thread_([this] { Run(); }) {}

ArtifactDesk::~ArtifactDesk() { Stop(); }

absl::Status ArtifactDesk::Post(std::function<void()> work) {
  if (work_.TryPush(std::move(work))) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      "too many files are on their way through this coordinator; try again in a moment");
}

absl::Status ArtifactDesk::TakePlace() {
  std::lock_guard lock(mutex_);
  if (downloads_ < kDownloadsMax) {
    ++downloads_;
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      "already ", kDownloadsMax, " files are on their way down from this coordinator; ask again"));
}

void ArtifactDesk::FreePlace() {
  std::lock_guard lock(mutex_);
  RACKMARK_CHECK(downloads_ > 0);
  --downloads_;
}

void ArtifactDesk::Stop() {
  work_.Close();
  if (thread_.joinable()) thread_.join();
}

void ArtifactDesk::Watch(std::weak_ptr<Idler> idler) {
  std::lock_guard lock(mutex_);
  std::erase_if(idlers_, [](const auto& other) { return other.expired(); });
  idlers_.push_back(std::move(idler));
}

void ArtifactDesk::EndIdlers() {
  std::vector<std::weak_ptr<Idler>> idlers;
  {
    std::lock_guard lock(mutex_);
    idlers = idlers_;
  }
  // Not under the lock: a stream that ends may be the last to hold itself.
  for (const auto& idler : idlers) {
    if (const auto stream = idler.lock()) {
      stream->EndIfIdle(SystemClock().Monotonic() - idle_max_);
    }
  }
}

void ArtifactDesk::Run() {
  while (true) {
    const std::vector<std::function<void()>> some = work_.PopUpTo(16, std::min(kSecond, idle_max_));
    if (some.empty() && work_.closed()) return;
    for (const auto& work : some) work();
    EndIdlers();
  }
}

absl::Status CheckArtifacts(const v1::Job& job, ArtifactStore& store) {
  std::set<std::string_view> seen;  // a sweep refers to the same file many times
  for (const v1::RunSpec& run : job.spec().runs()) {
    if (!run.serve().load().has_trace()) continue;
    const v1::TraceLoad& trace = run.serve().load().trace();
    if (!seen.insert(trace.sha256()).second) continue;
    const std::optional<uint64_t> bytes = store.Find(trace.sha256());
    if (bytes && *bytes == trace.bytes()) continue;
    const std::string name = EscapeControl(trace.name());
    const std::string hash = EscapeControl(trace.sha256().substr(0, 12));
    if (!bytes) {
      return absl::FailedPreconditionError(
          absl::StrCat("load.trace: the coordinator does not have the file ", name, " (sha256 ",
                       hash, "...); upload it before the job, as `rackmark run` does"));
    }
    return absl::FailedPreconditionError(
        absl::StrCat("load.trace: the file ", name, " (sha256 ", hash, "...) has ", *bytes,
                     " bytes, the job says ", trace.bytes(), "; make the job from that file anew"));
  }
  return absl::OkStatus();
}

}  // namespace rackmark

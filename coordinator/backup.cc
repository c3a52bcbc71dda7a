#include "coordinator/backup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "common/program.h"
#include "common/time.h"
#include "common/version.h"
#include "coordinator/backup_files.h"
#include "coordinator/core/decide.h"
#include "coordinator/snapshot.h"
#include "coordinator/store/sql_store.h"
#include "coordinator/store/sqlite_copy.h"

namespace rackmark {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDatabases[] = {"events.db", "samples.db"};  // in this order

// A folder of ours that goes again unless it is kept.
class Scratch {
 public:
  // Under a name that nobody has: what lies beside it may be somebody's.
  static absl::StatusOr<std::unique_ptr<Scratch>> Make(const std::string& prefix) {
    std::string path = prefix + "-XXXXXX";
    if (mkdtemp(path.data()) == nullptr) return ErrnoStatus(errno, absl::StrCat("making ", path));
    return std::unique_ptr<Scratch>(new Scratch(std::move(path)));
  }
  ~Scratch() {
    std::error_code ignored;
    if (!kept_) fs::remove_all(path_, ignored);
  }
  void Keep() { kept_ = true; }
  const std::string& path() const { return path_; }

 private:
  explicit Scratch(std::string path) : path_(std::move(path)) {}
  const std::string path_;
  bool kept_ = false;
};

bool IsHash(const std::string& name) {
  return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

absl::Status CopyArtifacts(const std::string& data, const std::string& to,
                           v1::BackupManifest& manifest) {
  std::vector<std::string> names;
  const std::string folder = data + "/artifacts";
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (IsHash(name)) names.push_back(name);
  }
  // A coordinator that never had one; all else would be a backup that lacks them.
  if (error && error != std::errc::no_such_file_or_directory) {
    return ErrnoStatus(error.value(), absl::StrCat("reading ", folder));
  }
  std::sort(names.begin(), names.end());
  if (!names.empty() && mkdir((to + "/artifacts").c_str(), 0700) != 0) {
    return ErrnoStatus(errno, absl::StrCat("making ", to, "/artifacts"));
  }
  for (const std::string& name : names) {
    const std::string path = "/artifacts/" + name;
    auto file = CopyFile(data + path, to + path);
    if (absl::IsNotFound(file.status())) {  // let go meanwhile: no job needed it
      unlink((to + path).c_str());
      continue;
    }
    RETURN_IF_ERROR(file.status());
    file->set_name("artifacts/" + name);
    *manifest.add_files() = *std::move(file);
  }
  return absl::OkStatus();
}

// Every event that is left loads, and leads to what the snapshots say.
absl::Status CheckLog(EventStore& events) {
  ASSIGN_OR_RETURN(const std::vector<uint64_t> seqs, events.Snapshots());
  State state;
  uint64_t from = 0;
  // The events before the older of two may be cut away. When the newer one was damaged and dropped,
  // the log begins behind the one that is left.
  bool cut = seqs.size() > 1;
  if (seqs.size() == 1) {
    ASSIGN_OR_RETURN(const uint64_t first, events.FirstSeq());
    cut = first != 1;
  }
  if (cut) {
    ASSIGN_OR_RETURN(state.hard, ReadSnapshot(events, seqs.back()));
    from = seqs.back();
  }
  return events.Load(from + 1, [&](const v1::Event& event) -> absl::Status {
    RETURN_IF_ERROR(Replay(state, event));
    if (seqs.empty() || seqs.front() != event.seq()) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::string saved, events.GetSnapshot(event.seq()));
    if (saved == SnapshotBytes(state.hard)) return absl::OkStatus();
    return absl::DataLossError(
        absl::StrCat("snapshot ", event.seq(), " is not what the events before it make"));
  });
}

// "saved/" is the folder saved, and its neighbour saved.partial-XXXXXX.
std::string WithoutSlash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

std::string ParentOf(const std::string& path) {
  const std::string parent = fs::path(WithoutSlash(path)).parent_path().string();
  return parent.empty() ? "." : parent;
}

absl::Status CheckTarget(const std::string& to) {
  std::error_code error;
  if (!fs::exists(to, error)) return absl::OkStatus();
  return absl::AlreadyExistsError(absl::StrCat(to, " is there already; name a new folder"));
}

SampleStore::Wanted WantedBy(const State& state, EventStore& events) {
  SampleStore::Wanted wanted;
  wanted.chunks = [&](uint64_t run, uint32_t attempt) -> absl::StatusOr<bool> {
    const auto open = state.hard.runs.find(RunId{run});
    if (open != state.hard.runs.end()) return attempt <= open->second.attempt;
    ASSIGN_OR_RETURN(const auto ended, events.history().Run(run));
    return ended.has_value() && attempt <= ended->attempt();
  };
  wanted.report = [&](uint64_t run) -> absl::StatusOr<bool> {
    const auto open = state.hard.runs.find(RunId{run});
    if (open != state.hard.runs.end()) {
      const v1::RunPhase phase = open->second.phase;
      return phase == v1::RUN_PHASE_JUDGING || phase == v1::RUN_PHASE_ENDED;
    }
    ASSIGN_OR_RETURN(const auto ended, events.history().Run(run));
    return ended.has_value();
  };
  return wanted;
}

// Checks the copy, and makes another cluster's of it. Returns its id.
absl::StatusOr<std::string> Rename(const std::string& folder, const v1::BackupManifest& manifest) {
  ASSIGN_OR_RETURN(auto stores, OpenSqlStores(folder));
  if (stores.events->cluster_id() != manifest.cluster_id() ||
      stores.events->last_seq() != manifest.last_seq()) {
    return absl::DataLossError("the manifest is of another event log; use another backup");
  }
  RETURN_IF_ERROR(CheckLog(*stores.events));
  State state;
  RETURN_IF_ERROR(RecoverState(*stores.events, state));
  std::vector<v1::Event> events(1);
  v1::Event& event = events.front();
  event.set_format(1);
  event.set_seq(state.hard.last_seq + 1);
  event.set_unix_ns(SystemClock().Unix());
  *event.mutable_by() = CorePrincipal();
  event.mutable_cluster_restored()->set_cluster_id(RandomHex(16));
  event.mutable_cluster_restored()->set_restored_from(state.hard.cluster_id);
  RETURN_IF_ERROR(CheckEvent(state.hard, event));
  const std::string id = event.cluster_restored().cluster_id();
  RETURN_IF_ERROR(stores.samples->Adopt(id, WantedBy(state, *stores.events)));
  RETURN_IF_ERROR(stores.events->Append(events));
  return id;
}

absl::Status CheckEmpty(const std::string& data) {
  std::error_code error;
  if (!fs::exists(data, error)) return absl::OkStatus();
  if (fs::is_directory(data, error) && fs::is_empty(data, error) && !error) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat(data, " is not an empty folder; a backup is restored into a new one (--data)"));
}

absl::Status MoveInto(const std::string& from, const std::string& to, const std::string& name) {
  if (rename((from + "/" + name).c_str(), (to + "/" + name).c_str()) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("moving ", name, " to ", to));
}

absl::StatusOr<Restored> RestoreInto(const std::string& from, const std::string& data) {
  Restored restored;
  ASSIGN_OR_RETURN(restored.manifest, ReadManifest(from));
  ASSIGN_OR_RETURN(const auto scratch, Scratch::Make(data + "/restoring"));
  const std::string& work = scratch->path();
  if (mkdir((work + "/artifacts").c_str(), 0700) != 0) return ErrnoStatus(errno, work);
  for (const v1::BackupFile& file : restored.manifest.files()) {
    RETURN_IF_ERROR(CopyChecked(file, from, work));
  }
  ASSIGN_OR_RETURN(restored.cluster_id, Rename(work, restored.manifest));
  // Only the files themselves are moved, and the new cluster's name may still stand beside them.
  for (const char* name : kDatabases) RETURN_IF_ERROR(FoldLog(absl::StrCat(work, "/", name)));
  RETURN_IF_ERROR(MoveInto(work, data, "artifacts"));
  RETURN_IF_ERROR(MoveInto(work, data, "samples.db"));
  RETURN_IF_ERROR(MoveInto(work, data, "events.db"));  // last: without it nothing opens
  RETURN_IF_ERROR(SyncFolder(data));
  RETURN_IF_ERROR(SyncFolder(ParentOf(data)));
  return restored;
}

}  // namespace

absl::StatusOr<v1::BackupManifest> TakeBackup(const std::string& data, const std::string& asked) {
  const std::string to = WithoutSlash(asked);
  for (const char* name : kDatabases) {
    const std::string path = absl::StrCat(data, "/", name);
    std::error_code error;
    if (fs::is_regular_file(path, error)) continue;
    return absl::NotFoundError(absl::StrCat("no ", path, "; name a coordinator's folder (--data)"));
  }
  RETURN_IF_ERROR(CheckTarget(to));
  ASSIGN_OR_RETURN(const auto scratch, Scratch::Make(to + ".partial"));
  const std::string& work = scratch->path();
  v1::BackupManifest manifest;
  manifest.set_format(1);
  manifest.set_taken_unix_ns(SystemClock().Unix());
  manifest.set_rackmark_version(std::string(Version()));
  for (const char* name : kDatabases) {
    RETURN_IF_ERROR(CopyDatabase(absl::StrCat(data, "/", name), absl::StrCat(work, "/", name)));
  }
  {
    ASSIGN_OR_RETURN(const auto stores, OpenSqlStores(work));
    RETURN_IF_ERROR(CheckLog(*stores.events));
    manifest.set_cluster_id(stores.events->cluster_id());
    manifest.set_last_seq(stores.events->last_seq());
  }
  for (const char* name : kDatabases) {
    ASSIGN_OR_RETURN(auto file, HashFile(absl::StrCat(work, "/", name)));
    file.set_name(name);
    *manifest.add_files() = std::move(file);
  }
  RETURN_IF_ERROR(CopyArtifacts(data, work, manifest));
  RETURN_IF_ERROR(WriteManifest(manifest, work));
  RETURN_IF_ERROR(SyncFolder(work));
  if (rename(work.c_str(), to.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("renaming ", work, " to ", to));
  }
  scratch->Keep();
  RETURN_IF_ERROR(SyncFolder(ParentOf(to)));  // its name is in there
  return manifest;
}

absl::StatusOr<Restored> RestoreBackup(const std::string& from, const std::string& data) {
  RETURN_IF_ERROR(CheckEmpty(data));
  std::error_code error;
  const bool was_there = fs::exists(data, error);
  ASSIGN_OR_RETURN(auto lock, FolderLock::Take(data));
  auto restored = RestoreInto(from, data);
  if (restored.ok()) return restored;
  for (const char* name : {"artifacts", "samples.db", "events.db", "lock"}) {
    fs::remove_all(data + "/" + name, error);
  }
  lock.reset();
  if (!was_there) rmdir(data.c_str());
  return restored;
}

}  // namespace rackmark

#include "coordinator/backup_command.h"

#include <cstdio>
#include <string>

#include "common/exit_codes.h"
#include "common/text.h"
#include "coordinator/backup.h"

namespace rackmark {
namespace {

int ExitOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kFailedPrecondition: return kExitBadDatabase;
    case absl::StatusCode::kPermissionDenied: return kExitRefused;
    case absl::StatusCode::kAlreadyExists: return kExitInUse;
    case absl::StatusCode::kNotFound: return kExitUsage;
    default: return kExitError;
  }
}

int Complain(const absl::Status& status) {
  std::fprintf(stderr, "rackmark-coordinator: %s\n",
               EscapeControl(FromAbsl(status.message())).c_str());
  return ExitOf(status);
}

uint64_t BytesOf(const v1::BackupManifest& manifest) {
  uint64_t bytes = 0;
  for (const v1::BackupFile& file : manifest.files()) bytes += file.bytes();
  return bytes;
}

int Tell(const std::string& text) {
  const bool ok = std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
  return ok ? kExitPass : kExitError;
}

// Ids are hex and versions ours: nothing here needs escaping but the folder, which is not in it.
std::string Json(const v1::BackupManifest& manifest, const std::string& more) {
  return absl::StrCat(
      "{\"cluster_id\": \"", manifest.cluster_id(), "\", \"last_seq\": ", manifest.last_seq(),
      ", \"taken_unix_ns\": ", manifest.taken_unix_ns(), ", \"files\": ", manifest.files_size(),
      ", \"bytes\": ", BytesOf(manifest), more, "}\n");
}

int Backup(const CoordinatorOptions& options) {
  const auto manifest = TakeBackup(options.data, *options.backup_to);
  if (!manifest.ok()) return Complain(manifest.status());
  if (options.json) return Tell(Json(*manifest, ""));
  return Tell(absl::StrCat("backup of cluster ", manifest->cluster_id().substr(0, 8),
                           " up to event ", manifest->last_seq(), ": ", manifest->files_size(),
                           " files, ", BytesOf(*manifest), " bytes in ",
                           EscapeControl(*options.backup_to), "\n"));
}

int Restore(const CoordinatorOptions& options) {
  const auto restored = RestoreBackup(*options.restore_from, options.data);
  if (!restored.ok()) return Complain(restored.status());
  const v1::BackupManifest& manifest = restored->manifest;
  if (options.json) {
    return Tell(Json(manifest, absl::StrCat(", \"restored_as\": \"", restored->cluster_id, "\"")));
  }
  return Tell(absl::StrCat("restored cluster ", manifest.cluster_id().substr(0, 8), " up to event ",
                           manifest.last_seq(), " in ", EscapeControl(options.data),
                           "; it is cluster ", restored->cluster_id.substr(0, 8), " now\n"));
}

}  // namespace

int RunBackupCommand(const CoordinatorOptions& options) {
  return options.backup_to ? Backup(options) : Restore(options);
}

}  // namespace rackmark

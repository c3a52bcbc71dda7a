// A backup is a folder: events.db and samples.db as plain SQLite files, the artifacts, and
// manifest.json with the sha256 of each. Taken of a coordinator that runs or not; restored into a
// new folder as a new cluster. Main's thread, in a process that does not serve.
#pragma once

#include <string>

#include "common/status.h"
#include "rackmark/v1/snapshot.pb.h"

namespace rackmark {

// Events first, then samples, so that no sample is missing that an event speaks of. `to` appears
// when it is whole and every event in it was read back. NOT_FOUND: no database there;
// ALREADY_EXISTS: `to` is there; DATA_LOSS: the source is damaged.
absl::StatusOr<v1::BackupManifest> TakeBackup(const std::string& data, const std::string& to);

struct Restored {
  v1::BackupManifest manifest;
  std::string cluster_id;  // the new one
};
// Under a new cluster_id, so that workers of the old cluster put their spools aside. What was
// measured after the events were copied is left out: those attempts will be made again, under the
// same numbers. PERMISSION_DENIED: the folder is not empty; FAILED_PRECONDITION: the backup is of
// another version; DATA_LOSS: it is damaged or incomplete. Then nothing is left in the folder.
absl::StatusOr<Restored> RestoreBackup(const std::string& from, const std::string& data);

}  // namespace rackmark

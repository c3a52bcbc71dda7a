// The files of a backup folder: copied, hashed, listed. Nothing here knows what is in them.
#pragma once

#include <string>

#include "common/status.h"
#include "rackmark/v1/snapshot.pb.h"

namespace rackmark {

// Copies a file durably and says what was copied.
absl::StatusOr<v1::BackupFile> CopyFile(const std::string& from, const std::string& to);
absl::StatusOr<v1::BackupFile> HashFile(const std::string& path);
// DATA_LOSS if the copy of `expected` is not what the manifest says.
absl::Status CopyChecked(const v1::BackupFile& expected, const std::string& from_folder,
                         const std::string& to_folder);
absl::Status WriteManifest(const v1::BackupManifest& manifest, const std::string& folder);
// DATA_LOSS if it is none, or names files that no backup has.
absl::StatusOr<v1::BackupManifest> ReadManifest(const std::string& folder);
absl::Status SyncFolder(const std::string& folder);

}  // namespace rackmark

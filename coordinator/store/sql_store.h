// The store on SQLite: two files in one data folder, events.db and samples.db, never attached to
// each other. Threads: see store.h.
#pragma once

#include <memory>
#include <string>

#include "coordinator/store/store.h"

namespace rackmark {

struct SqlStores {
  std::unique_ptr<EventStore> events;
  std::unique_ptr<SampleStore> samples;
};

// Opens both, or makes both with a new random cluster_id. FAILED_PRECONDITION or DATA_LOSS with one
// sentence, and nothing written, if either is no database of ours, is damaged, or the two belong to
// different clusters. The folder must exist and its lock must be held (FolderLock).
absl::StatusOr<SqlStores> OpenSqlStores(const std::string& folder);

}  // namespace rackmark

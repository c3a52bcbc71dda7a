#include "coordinator/store/sql_store.h"

#include <unistd.h>

#include <utility>

#include "coordinator/store/sql_event_store.h"
#include "coordinator/store/sql_sample_store.h"

namespace rackmark {

absl::StatusOr<SqlStores> OpenSqlStores(const std::string& folder) {
  const std::string events_path = folder + "/events.db";
  const std::string samples_path = folder + "/samples.db";
  if (access(events_path.c_str(), F_OK) != 0 && access(samples_path.c_str(), F_OK) == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(samples_path, " is there, but the event log ", events_path,
                     " is not; restore it from a backup, or move the samples away"));
  }
  ASSIGN_OR_RETURN(auto events, SqlEventStore::Open(events_path));
  ASSIGN_OR_RETURN(auto samples, SqlSampleStore::Open(samples_path, events->cluster_id()));
  return SqlStores{std::move(events), std::move(samples)};
}

}  // namespace rackmark

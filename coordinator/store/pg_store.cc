#include "coordinator/store/pg_store.h"

#include <utility>

#include "coordinator/store/pg_event_store.h"
#include "coordinator/store/pg_sample_store.h"

namespace rackmark {

absl::StatusOr<SqlStores> OpenPgStores(const PgOptions& options, uint64_t term) {
  ASSIGN_OR_RETURN(auto events, PgEventStore::Open(options, term));
  ASSIGN_OR_RETURN(auto samples, PgSampleStore::Open(options, term));
  return SqlStores{std::move(events), std::move(samples)};
}

}  // namespace rackmark

// The store on PostgreSQL, for several coordinators of which one leads. The counterpart of
// sql_store.h; threads: see store.h. A call that fails poisons, as with SQLite: the process ends,
// and comes back as a standby.
#pragma once

#include "coordinator/store/pg_connection.h"
#include "coordinator/store/sql_store.h"

namespace rackmark {

// For who leads in this term (PgLeadership): brings tables of an older version to this build's,
// then opens both. What the log holds is read after the lead was taken, so nobody adds to it but
// us. ABORTED: another leads already; FAILED_PRECONDITION: the tables are not ours.
absl::StatusOr<SqlStores> OpenPgStores(const PgOptions& options, uint64_t term);

}  // namespace rackmark

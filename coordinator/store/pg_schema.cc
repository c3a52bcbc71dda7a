#include "coordinator/store/pg_schema.h"

#include <utility>

#include "common/ids.h"
#include "coordinator/store/schema.h"

namespace rackmark {
namespace {

constexpr const char* kPgMigrations[] = {kPgMigrate2};

// Of the tables, which must be there.
absl::StatusOr<uint64_t> ReadVersion(PgConnection& connection) {
  auto result = connection.Query("SELECT version FROM rackmark.meta");
  if (absl::IsFailedPrecondition(result.status()) || (result.ok() && result->rows() != 1)) {
    return absl::FailedPreconditionError(
        absl::StrCat(connection.where(),
                     " has a schema 'rackmark' that is not ours; use another "
                     "database, or drop that schema"));
  }
  RETURN_IF_ERROR(result.status());
  return result->Integer(0, 0);
}

absl::Status CheckVersion(PgConnection& connection, const PgKind& kind, uint64_t version) {
  if (version >= 1 && version <= kind.version) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(connection.where(), " has tables of version ", version, ", this build reads ",
                   kind.version == 1 ? "" : "versions 1 to ", kind.version,
                   "; use the rackmark that made them"));
}

absl::Status EnsureInTransaction(PgConnection& connection, const PgKind& kind) {
  // Held to the end of the transaction: of two coordinators that start, one makes the tables.
  RETURN_IF_ERROR(connection.Query("SELECT 1 FROM pg_advisory_xact_lock(1380797253)").status());
  ASSIGN_OR_RETURN(const PgResult schema,
                   connection.Query("SELECT 1 FROM pg_namespace WHERE nspname = 'rackmark'"));
  ASSIGN_OR_RETURN(const PgResult tables,
                   connection.Query("SELECT 1 FROM pg_class WHERE relnamespace = (SELECT oid FROM "
                                    "pg_namespace WHERE nspname = 'rackmark') LIMIT 1"));
  if (tables.rows() != 0) {
    ASSIGN_OR_RETURN(const uint64_t version, ReadVersion(connection));
    return CheckVersion(connection, kind, version);
  }
  if (schema.rows() == 0) RETURN_IF_ERROR(connection.Execute("CREATE SCHEMA rackmark"));
  RETURN_IF_ERROR(connection.Execute(kind.schema));
  PgParams params;
  params.Int(kind.version).Text(RandomHex(16));
  return connection
      .Query("INSERT INTO rackmark.meta (version, cluster_id) VALUES ($1, $2)", std::move(params))
      .status();
}

}  // namespace

const PgKind kPgKind = {2, kPgSchema, kPgMigrations};

absl::Status EnsurePgSchema(PgConnection& connection, const PgKind& kind) {
  RETURN_IF_ERROR(connection.Execute("BEGIN"));
  const absl::Status status = EnsureInTransaction(connection, kind);
  if (status.ok()) return connection.Execute("COMMIT");
  if (!connection.broken()) (void)connection.Execute("ROLLBACK");
  return status;
}

absl::Status MigratePgSchema(PgConnection& connection, const PgKind& kind, uint64_t term) {
  ASSIGN_OR_RETURN(const uint64_t version, ReadVersion(connection));
  RETURN_IF_ERROR(CheckVersion(connection, kind, version));
  if (version == kind.version) return absl::OkStatus();
  std::string script = absl::StrCat("BEGIN; SELECT rackmark.fence(", term, ");\n");
  for (uint64_t step = version - 1; step < kind.migrations.size(); ++step) {
    absl::StrAppend(&script, kind.migrations[step], ";\n");
  }
  absl::StrAppend(&script, "UPDATE rackmark.meta SET version = ", kind.version, "; COMMIT");
  const absl::Status status = connection.Execute(script);
  if (!status.ok() && !connection.broken()) (void)connection.Execute("ROLLBACK");
  return status;
}

}  // namespace rackmark

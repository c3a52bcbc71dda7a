// The tables in PostgreSQL: made where there are none, brought to this build's version by the
// leader, refused where they are foreign or newer. The counterpart of Database::Open for SQLite.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "coordinator/store/pg_connection.h"

namespace rackmark {

struct PgKind {
  uint64_t version;
  const char* schema;
  // One for each step from version 1 to `version`.
  std::span<const char* const> migrations;
};
extern const PgKind kPgKind;

// Makes the tables if there are none; several coordinators may call it at once. Touches nothing
// else: FAILED_PRECONDITION if there are tables that are not ours, or of a newer version. An older
// version stays as it is, because somebody may lead with it.
absl::Status EnsurePgSchema(PgConnection& connection, const PgKind& kind);

// Whole or not at all, and only for who leads in this term.
absl::Status MigratePgSchema(PgConnection& connection, const PgKind& kind, uint64_t term);

}  // namespace rackmark

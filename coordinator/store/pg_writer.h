// A connection that writes, and cannot forget the fence (PROTOCOL 9): every transaction begins by
// locking the leader's row for our term, and so either commits before another takes the lead or not
// at all. The lock is shared: event log and samples do not wait for each other. One thread at a
// time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/store/pg_connection.h"

namespace rackmark {

// What the sessions of a term's leader are called: who takes the next term ends them.
std::string PgSessionName(uint64_t term);

class PgWriter {
 public:
  PgWriter(std::unique_ptr<PgConnection> connection, uint64_t term)
      : connection_(std::move(connection)), term_(term) {}

  // One transaction, on disk when it is OK. Returns the statements' results. ABORTED: another
  // leads, or as PgConnection; UNAVAILABLE: as PgConnection.
  absl::StatusOr<std::vector<PgResult>> Commit(std::vector<PgStatement> statements);
  // The same, where a value has that many bytes: the limits of time grow with it, for this
  // transaction only. They are for a server that hangs, not for one that has much to do.
  absl::StatusOr<std::vector<PgResult>> CommitLarge(std::vector<PgStatement> statements,
                                                    uint64_t bytes);
  absl::StatusOr<PgResult> ReadLarge(PgStatement statement, uint64_t bytes);
  absl::StatusOr<PgResult> Read(std::string_view sql, PgParams params = {}) {
    return connection_->Query(sql, std::move(params));
  }
  const std::string& where() const { return connection_->where(); }

 private:
  PgStatement Limit(Nanos more) const;
  std::unique_ptr<PgConnection> connection_;
  uint64_t term_;
};

}  // namespace rackmark

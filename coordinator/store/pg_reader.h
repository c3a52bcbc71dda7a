// A connection that only reads, and is opened again when it turns out to be lost: a read may be
// made twice, so what a network drops in silence is no reason for a leader to end. It opens again
// only while our term holds, because whoever took the lead has ended our sessions. One thread at a
// time.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "coordinator/store/pg_connection.h"

namespace rackmark {

class PgReader {
 public:
  static absl::StatusOr<PgReader> Open(const PgOptions& options, uint64_t term);

  // As PgConnection; once more on a new connection if the old one was lost. ABORTED: another leads.
  absl::StatusOr<PgResult> Query(std::string_view sql, const PgParams& params = {});
  absl::StatusOr<std::vector<PgResult>> Transact(const std::vector<PgStatement>& statements);

 private:
  PgReader(PgOptions options, uint64_t term, std::unique_ptr<PgConnection> connection)
      : options_(std::move(options)), term_(term), connection_(std::move(connection)) {}
  absl::Status OpenAgain();

  PgOptions options_;
  uint64_t term_;
  std::unique_ptr<PgConnection> connection_;
};

}  // namespace rackmark

#include "coordinator/store/pg_reader.h"

#include "common/log.h"
#include "coordinator/store/pg_writer.h"

namespace rackmark {

absl::StatusOr<PgReader> PgReader::Open(const PgOptions& options, uint64_t term) {
  ASSIGN_OR_RETURN(auto connection, PgConnection::Open(options, PgSessionName(term)));
  return PgReader(options, term, std::move(connection));
}

absl::Status PgReader::OpenAgain() {
  ASSIGN_OR_RETURN(auto connection, PgConnection::Open(options_, PgSessionName(term_)));
  PgParams mine;
  mine.Int(term_);
  RETURN_IF_ERROR(connection->Query("SELECT 1 FROM fence($1)", std::move(mine)).status());
  Log(LogLevel::kWarning, absl::StrCat("connected again to ", connection->where()));
  connection_ = std::move(connection);
  return absl::OkStatus();
}

absl::StatusOr<PgResult> PgReader::Query(std::string_view sql, const PgParams& params) {
  auto result = connection_->Query(sql, params);
  if (result.ok() || !connection_->broken()) return result;
  RETURN_IF_ERROR(OpenAgain());
  return connection_->Query(sql, params);
}

absl::StatusOr<std::vector<PgResult>> PgReader::Transact(
    const std::vector<PgStatement>& statements) {
  auto results = connection_->Transact(statements);
  if (results.ok() || !connection_->broken()) return results;
  RETURN_IF_ERROR(OpenAgain());
  return connection_->Transact(statements);
}

}  // namespace rackmark

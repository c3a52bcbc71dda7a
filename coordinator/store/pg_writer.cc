#include "coordinator/store/pg_writer.h"

namespace rackmark {

std::string PgSessionName(uint64_t term) { return absl::StrCat("rackmark term ", term); }

absl::StatusOr<std::vector<PgResult>> PgWriter::Commit(std::vector<PgStatement> statements) {
  PgParams mine;
  mine.Int(term_);
  statements.insert(statements.begin(), {"SELECT 1 FROM fence($1)", std::move(mine)});
  ASSIGN_OR_RETURN(auto results, connection_->Transact(std::move(statements)));
  results.erase(results.begin());
  return results;
}

}  // namespace rackmark

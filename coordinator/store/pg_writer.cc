#include "coordinator/store/pg_writer.h"

#include "common/time.h"

namespace rackmark {
namespace {

// What a server that works takes at the least.
constexpr uint64_t kSlowestBytesPerSecond = 4 << 20;

Nanos TimeFor(uint64_t bytes) {
  return static_cast<Nanos>(bytes / kSlowestBytesPerSecond + 1) * kSecond;
}

// Puts the connection's own limit back.
class LongerAnswer {
 public:
  LongerAnswer(PgConnection& connection, Nanos more)
      : connection_(connection), usual_(connection.answer_timeout()) {
    connection_.set_answer_timeout(usual_ + more);
  }
  ~LongerAnswer() { connection_.set_answer_timeout(usual_); }
  LongerAnswer(const LongerAnswer&) = delete;
  LongerAnswer& operator=(const LongerAnswer&) = delete;

 private:
  PgConnection& connection_;
  const Nanos usual_;
};

}  // namespace

std::string PgSessionName(uint64_t term) { return absl::StrCat("rackmark term ", term); }

absl::StatusOr<std::vector<PgResult>> PgWriter::Commit(std::vector<PgStatement> statements) {
  PgParams mine;
  mine.Int(term_);
  statements.insert(statements.begin(), {"SELECT 1 FROM fence($1)", std::move(mine)});
  ASSIGN_OR_RETURN(auto results, connection_->Transact(std::move(statements)));
  results.erase(results.begin());
  return results;
}

// To the end of the transaction in which it is.
PgStatement PgWriter::Limit(Nanos more) const {
  PgParams limit;
  limit.Text(absl::StrCat((connection_->statement_timeout() + more) / kMillisecond, "ms"));
  return {"SELECT 1 FROM set_config('statement_timeout', $1, true)", std::move(limit)};
}

absl::StatusOr<std::vector<PgResult>> PgWriter::CommitLarge(std::vector<PgStatement> statements,
                                                            uint64_t bytes) {
  const LongerAnswer longer(*connection_, TimeFor(bytes));
  statements.insert(statements.begin(), Limit(TimeFor(bytes)));
  ASSIGN_OR_RETURN(auto results, Commit(std::move(statements)));
  results.erase(results.begin());
  return results;
}

absl::StatusOr<PgResult> PgWriter::ReadLarge(PgStatement statement, uint64_t bytes) {
  const LongerAnswer longer(*connection_, TimeFor(bytes));
  std::vector<PgStatement> statements;
  statements.push_back(Limit(TimeFor(bytes)));
  statements.push_back(std::move(statement));
  ASSIGN_OR_RETURN(auto results, connection_->Transact(std::move(statements)));
  return std::move(results.back());
}

}  // namespace rackmark

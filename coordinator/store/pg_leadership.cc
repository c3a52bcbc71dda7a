#include "coordinator/store/pg_leadership.h"

#include <algorithm>
#include <utility>

#include "coordinator/store/pg_schema.h"
#include "coordinator/store/pg_writer.h"

namespace rackmark {
namespace {

constexpr char kStandbyName[] = "rackmark standby";

// Microseconds are what PostgreSQL's clock has.
uint64_t Micros(Nanos duration) { return static_cast<uint64_t>(duration / kMicrosecond); }

absl::Status Fenced(const PgConnection& connection, uint64_t term) {
  return absl::FailedPreconditionError(absl::StrCat(
      connection.where(), ": another coordinator has taken the lead: term ", term, " is over"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PgLeadership>> PgLeadership::Open(const PgOptions& options) {
  std::unique_ptr<PgLeadership> leadership(new PgLeadership(options));
  ASSIGN_OR_RETURN(PgConnection* const connection, leadership->Ready());
  RETURN_IF_ERROR(EnsurePgSchema(*connection, kPgKind));
  return leadership;
}

absl::StatusOr<PgConnection*> PgLeadership::Ready() {
  if (connection_ == nullptr || connection_->broken()) {
    const std::string name = term() == 0 ? kStandbyName : PgSessionName(term());
    ASSIGN_OR_RETURN(connection_, PgConnection::Open(options_, name));
    RETURN_IF_ERROR(connection_->Execute("LISTEN rackmark_leader"));
  }
  return connection_.get();
}

absl::StatusOr<LeaderView> PgLeadership::DoCurrent() {
  ASSIGN_OR_RETURN(PgConnection* const connection, Ready());
  ASSIGN_OR_RETURN(
      const PgResult row,
      connection->Query("SELECT term, address, CASE WHEN expires > clock_timestamp() THEN (extract("
                        "epoch FROM expires - clock_timestamp()) * 1000000)::bigint END FROM "
                        "leader"));
  if (row.rows() != 1) {
    return absl::DataLossError(absl::StrCat(connection->where(), " has lost the leader's row"));
  }
  LeaderView view;
  view.term = row.Integer(0, 0);
  view.address = std::string(row.Bytes(0, 1));
  if (!row.IsNull(0, 2)) view.left = static_cast<Nanos>(row.Integer(0, 2)) * kMicrosecond;
  return view;
}

absl::StatusOr<std::optional<uint64_t>> PgLeadership::DoTryLead(Nanos ttl) {
  ASSIGN_OR_RETURN(const LeaderView view, DoCurrent());
  if (view.left) return std::optional<uint64_t>();
  ASSIGN_OR_RETURN(PgConnection* const connection, Ready());
  // Sessions of the term that is over end here, whatever they are at: a process that was stopped
  // inside a transaction holds the row, and between two messages no timeout of the server's runs.
  PgParams name;
  name.Text(PgSessionName(view.term));
  RETURN_IF_ERROR(connection
                      ->Query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
                              "datname = current_database() AND application_name = $1 AND pid <> "
                              "pg_backend_pid()",
                              std::move(name))
                      .status());
  return Take(*connection, view.term, ttl);
}

absl::StatusOr<std::optional<uint64_t>> PgLeadership::Take(PgConnection& connection, uint64_t seen,
                                                           Nanos ttl) {
  PgParams params;
  params.Int(seen).Int(Micros(ttl));
  // Changing the term waits for every transaction of the old one, and then looks again: whoever
  // renewed or took the lead meanwhile keeps it. The new sessions' name goes first, in the same
  // transaction, so that the next leader finds us.
  std::vector<PgStatement> statements;
  PgParams rename;
  rename.Text(PgSessionName(seen + 1));
  statements.push_back(
      {"UPDATE leader SET term = term + 1, address = '', expires = "
       "clock_timestamp() + $2 * interval '1 microsecond' WHERE term = $1 AND "
       "expires <= clock_timestamp()",
       std::move(params)});
  statements.push_back(
      {"SELECT 1 FROM set_config('application_name', $1, false)", std::move(rename)});
  statements.push_back({"NOTIFY rackmark_leader"});
  ASSIGN_OR_RETURN(const auto results, connection.Transact(std::move(statements)));
  if (results.front().changed() == 1) return std::optional<uint64_t>(seen + 1);
  PgParams standby;
  standby.Text(kStandbyName);
  RETURN_IF_ERROR(
      connection
          .Query("SELECT 1 FROM set_config('application_name', $1, false)", std::move(standby))
          .status());
  return std::optional<uint64_t>();
}

// Returns how many rows the first one changed.
absl::StatusOr<uint64_t> PgLeadership::Change(const std::vector<PgStatement>& statements,
                                              Nanos timeout) {
  for (const bool again : {true, false}) {
    ASSIGN_OR_RETURN(PgConnection* const connection, Ready());
    connection->set_answer_timeout(timeout);
    const auto results = connection->Transact(statements);
    connection->set_answer_timeout(options_.answer_timeout);
    if (results.ok()) return results->front().changed();
    const bool lost = connection->broken() && !absl::IsDeadlineExceeded(results.status());
    if (!again || !lost) return results.status();
  }
  return absl::InternalError("unreachable");
}

absl::Status PgLeadership::DoRenew(uint64_t term, Nanos ttl) {
  PgParams params;
  params.Int(term).Int(Micros(ttl));
  // Half of what is left at best, so that there is time for a second try.
  const Nanos timeout = std::min(options_.answer_timeout, ttl / 2);
  ASSIGN_OR_RETURN(const uint64_t changed,
                   Change({{"UPDATE leader SET expires = clock_timestamp() + $2 * interval '1 "
                            "microsecond' WHERE term = $1",
                            std::move(params)}},
                          timeout));
  return changed == 1 ? absl::OkStatus() : Fenced(*connection_, term);
}

absl::Status PgLeadership::DoAnnounce(uint64_t term, const std::string& address) {
  PgParams params;
  params.Int(term).Text(address);
  ASSIGN_OR_RETURN(const uint64_t changed,
                   Change({{"UPDATE leader SET address = $2 WHERE term = $1", std::move(params)},
                           {"NOTIFY rackmark_leader"}},
                          options_.answer_timeout));
  return changed == 1 ? absl::OkStatus() : Fenced(*connection_, term);
}

absl::Status PgLeadership::DoResign(uint64_t term) {
  PgParams params;
  params.Int(term);
  ASSIGN_OR_RETURN(const uint64_t changed, Change({{"UPDATE leader SET expires = '-infinity' WHERE "
                                                    "term = $1",
                                                    std::move(params)},
                                                   {"NOTIFY rackmark_leader"}},
                                                  options_.answer_timeout));
  const absl::Status status = changed == 1 ? absl::OkStatus() : Fenced(*connection_, term);
  connection_.reset();  // by its name it belongs to the term that is over
  return status;
}

absl::StatusOr<bool> PgLeadership::DoWaitForChange(Nanos timeout) {
  ASSIGN_OR_RETURN(PgConnection* const connection, Ready());
  return connection->WaitForNotice(timeout);
}

}  // namespace rackmark

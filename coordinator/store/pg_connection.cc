#include "coordinator/store/pg_connection.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <utility>

#include "common/text.h"

namespace rackmark {
namespace {

constexpr int kOldestServer = 130000;
constexpr char kFenced[] = "RM001";  // as pg_schema.sql raises it

struct FreeParsed {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};
using Parsed = std::unique_ptr<PQconninfoOption, FreeParsed>;

// libpq's own message could quote a part of a password, so it is not passed on.
absl::StatusOr<Parsed> Parse(const std::string& target) {
  char* message = nullptr;
  Parsed parsed(PQconninfoParse(target.c_str(), &message));
  PQfreemem(message);
  if (parsed != nullptr) return parsed;
  return absl::InvalidArgumentError(
      "the address of the PostgreSQL database cannot be read; write "
      "postgresql://HOST:PORT/DATABASE "
      "or postgresql:///DATABASE?host=/FOLDER/OF/ITS/SOCKET");
}

std::string ValueOf(const Parsed& parsed, std::string_view keyword) {
  for (const PQconninfoOption* option = parsed.get(); option->keyword != nullptr; ++option) {
    if (option->keyword == keyword && option->val != nullptr) return option->val;
  }
  return "";
}

std::string Where(const Parsed& parsed) {
  const std::string host = ValueOf(parsed, "host"), address = ValueOf(parsed, "hostaddr");
  const std::string database = ValueOf(parsed, "dbname");
  return EscapeControl(absl::StrCat("PostgreSQL database ",
                                    database.empty() ? "(default)" : database, " at ",
                                    !host.empty()      ? host
                                    : !address.empty() ? address
                                                       : "the default host"));
}

std::string OneLine(const char* text) {
  std::string line = text == nullptr ? "" : text;
  while (!line.empty() && line.back() == '\n') line.pop_back();
  std::replace(line.begin(), line.end(), '\n', ' ');
  return EscapeControl(line);
}

// Of SQLSTATE: five characters, of which two are the class.
absl::StatusCode CodeOf(std::string_view state) {
  const std::string_view kind = state.substr(0, 2);
  if (state == kFenced) return absl::StatusCode::kAborted;
  if (state == "57014") return absl::StatusCode::kDeadlineExceeded;  // statement_timeout
  if (state == "57P03") return absl::StatusCode::kUnavailable;       // starting or stopping
  if (state == "55P03" || kind == "57" || kind == "25" || kind == "40") {
    return absl::StatusCode::kAborted;
  }
  if (kind == "08") return absl::StatusCode::kUnavailable;
  if (kind == "53") return absl::StatusCode::kResourceExhausted;
  if (kind == "28" || state == "42501") return absl::StatusCode::kPermissionDenied;
  if (state == "3D000") return absl::StatusCode::kNotFound;
  if (kind == "42" || kind == "3F") return absl::StatusCode::kFailedPrecondition;
  if (kind == "XX" && state != "XX000") return absl::StatusCode::kDataLoss;
  return absl::StatusCode::kInternal;
}

int Milliseconds(Nanos duration) {
  return static_cast<int>(std::max<Nanos>(duration / kMillisecond, 1));
}

}  // namespace

absl::Status CheckPgTarget(const std::string& target) {
  ASSIGN_OR_RETURN(const Parsed parsed, Parse(target));
  for (const PQconninfoOption* option = parsed.get(); option->keyword != nullptr; ++option) {
    // "*": libpq's mark of what must not be shown.
    if (option->val == nullptr || std::string_view(option->dispchar) != "*") continue;
    return absl::PermissionDeniedError(
        "the address of the PostgreSQL database holds a password, which every user of this machine "
        "can read in the list of processes; put it into a password file (PGPASSFILE) instead");
  }
  return absl::OkStatus();
}

void PgResult::Clear::operator()(pg_result* result) const { PQclear(result); }

size_t PgResult::rows() const { return static_cast<size_t>(PQntuples(result_.get())); }

bool PgResult::IsNull(size_t row, int column) const {
  return PQgetisnull(result_.get(), static_cast<int>(row), column) != 0;
}

uint64_t PgResult::Integer(size_t row, int column) const { return PgInteger(Bytes(row, column)); }

std::string_view PgResult::Bytes(size_t row, int column) const {
  const int at = static_cast<int>(row);
  return {PQgetvalue(result_.get(), at, column),
          static_cast<size_t>(PQgetlength(result_.get(), at, column))};
}

uint64_t PgResult::changed() const {
  const std::string_view text = PQcmdTuples(result_.get());
  uint64_t count = 0;
  std::from_chars(text.data(), text.data() + text.size(), count);
  return count;
}

absl::StatusOr<std::unique_ptr<PgConnection>> PgConnection::Open(const PgOptions& options,
                                                                 const std::string& name) {
  ASSIGN_OR_RETURN(const Parsed parsed, Parse(options.target));
  const std::string timeout =
      absl::StrCat(std::max<Nanos>(options.connect_timeout / kSecond, 2));  // libpq's least
  const std::string unheard = absl::StrCat(Milliseconds(options.answer_timeout));
  // The target overrides what stands before it, and what stands after overrides the target. What a
  // network drops in silence is noticed while nothing is asked. A replica, which takes no writes,
  // is passed over.
  const std::array<const char*, 10> keywords = {"connect_timeout",      "keepalives_idle",
                                                "keepalives_interval",  "keepalives_count",
                                                "tcp_user_timeout",     "dbname",
                                                "application_name",     "client_encoding",
                                                "target_session_attrs", nullptr};
  const std::array<const char*, 10> values = {
      timeout.c_str(),        "10",         "3",    "3",          unheard.c_str(),
      options.target.c_str(), name.c_str(), "UTF8", "read-write", nullptr};
  PGconn* conn = PQconnectdbParams(keywords.data(), values.data(), 1);
  std::unique_ptr<PgConnection> connection(new PgConnection(conn, Where(parsed), options));
  if (PQstatus(conn) != CONNECTION_OK) {
    // No SQLSTATE comes with a refused connection; whatever it is, it may pass.
    return connection->Broken(absl::StatusCode::kUnavailable, OneLine(PQerrorMessage(conn)));
  }
  RETURN_IF_ERROR(connection->SetUp(options));
  return connection;
}

absl::Status PgConnection::SetUp(const PgOptions& options) {
  if (PQserverVersion(conn_) < kOldestServer) {
    return absl::FailedPreconditionError(
        absl::StrCat(where_, " is of version ", PQserverVersion(conn_) / 10000,
                     "; rackmark needs PostgreSQL ", kOldestServer / 10000, " or newer"));
  }
  // A notice is not for us, and libpq would print it on stderr.
  PQsetNoticeReceiver(
      conn_, [](void*, const PGresult*) {}, nullptr);
  PQsetnonblocking(conn_, 1);
  return Execute(absl::StrCat(
      // Since 14; where it is set, it would end whoever reads seldom.
      PQserverVersion(conn_) >= 140000 ? "SET idle_session_timeout = 0; " : "",
      "SET synchronous_commit = on; SET search_path = rackmark, pg_catalog; SET "
      "client_min_messages = "
      "error; SET default_transaction_isolation = 'read committed'; SET statement_timeout = ",
      Milliseconds(options.statement_timeout), "; SET lock_timeout = ",
      Milliseconds(options.lock_timeout), "; SET idle_in_transaction_session_timeout = ",
      Milliseconds(options.idle_in_transaction_timeout)));
}

PgConnection::~PgConnection() { PQfinish(conn_); }

absl::Status PgConnection::Broken(absl::StatusCode code, std::string_view why) {
  broken_ = true;
  return absl::Status(code, absl::StrCat(where_, ": ", ToAbsl(why)));
}

absl::Status PgConnection::FromServer(const pg_result* result) {
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  if (state == nullptr || PQstatus(conn_) == CONNECTION_BAD) broken_ = true;
  if (state == nullptr) {
    return Broken(absl::StatusCode::kUnavailable, OneLine(PQresultErrorMessage(result)));
  }
  // The primary message only: details and statements may hold what people wrote into a job.
  return absl::Status(
      CodeOf(state),
      absl::StrCat(where_, ": ", OneLine(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)),
                   " (SQLSTATE ", state, ")"));
}

absl::Status PgConnection::WaitForSocket(bool unsent, Nanos deadline) {
  pollfd fd = {PQsocket(conn_), static_cast<short>(unsent ? POLLIN | POLLOUT : POLLIN), 0};
  const Nanos left = deadline - SystemClock().Monotonic();
  const int ready = left <= 0 ? 0 : poll(&fd, 1, Milliseconds(left));
  if (ready > 0 || (ready < 0 && errno == EINTR)) return absl::OkStatus();
  if (ready < 0) return Broken(absl::StatusCode::kUnavailable, "poll failed");
  if (left > 0) return absl::OkStatus();  // the caller looks at the clock again
  return Broken(absl::StatusCode::kDeadlineExceeded,
                absl::StrCat("no answer within ", FormatDuration(answer_timeout_),
                             "; whether the statement was done is unknown"));
}

// Null: the end of one statement's results.
absl::StatusOr<pg_result*> PgConnection::Next(Nanos deadline) {
  while (true) {
    // A failed write shows when the answer is read: the server may have said why.
    const bool unsent = PQflush(conn_) == 1;
    if (PQisBusy(conn_) == 0) return PQgetResult(conn_);
    RETURN_IF_ERROR(WaitForSocket(unsent, deadline));
    if (PQconsumeInput(conn_) == 0) {
      return Broken(absl::StatusCode::kUnavailable, OneLine(PQerrorMessage(conn_)));
    }
  }
}

// Up to the end of the pipeline, or the first null where there is none.
absl::StatusOr<std::vector<PgResult>> PgConnection::Collect(Nanos deadline) {
  const bool pipeline = PQpipelineStatus(conn_) != PQ_PIPELINE_OFF;
  std::vector<PgResult> results;
  absl::Status first_error;
  while (true) {
    ASSIGN_OR_RETURN(pg_result* const next, Next(deadline));
    if (next == nullptr && PQstatus(conn_) == CONNECTION_BAD) {
      broken_ = true;
      if (!first_error.ok()) return first_error;
      return Broken(absl::StatusCode::kUnavailable, OneLine(PQerrorMessage(conn_)));
    }
    if (next == nullptr && pipeline) continue;
    if (next == nullptr) break;
    PgResult result(next);
    const ExecStatusType status = PQresultStatus(next);
    if (status == PGRES_PIPELINE_SYNC) break;
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) {
      results.push_back(std::move(result));
    } else if (first_error.ok() && status != PGRES_PIPELINE_ABORTED) {
      first_error = FromServer(next);
    }
  }
  if (!first_error.ok()) return first_error;
  return results;
}

absl::StatusOr<std::vector<PgResult>> PgConnection::Run(std::span<const PgStatement> statements) {
  if (broken_) return Broken(absl::StatusCode::kUnavailable, "the connection was lost");
  const auto failed = [&] {
    return Broken(absl::StatusCode::kUnavailable, OneLine(PQerrorMessage(conn_)));
  };
  if (PQenterPipelineMode(conn_) == 0) return failed();
  for (const PgStatement& statement : statements) {
    const PgParams& params = statement.params;
    std::vector<const char*> values;
    std::vector<int> lengths;
    for (const std::string& value : params.values()) {
      values.push_back(value.data());
      lengths.push_back(static_cast<int>(value.size()));
    }
    const std::vector<int> binary(values.size(), 1);
    if (PQsendQueryParams(conn_, std::string(statement.sql).c_str(), params.size(),
                          params.types().data(), values.data(), lengths.data(), binary.data(),
                          1) == 0) {
      return failed();
    }
  }
  if (PQpipelineSync(conn_) == 0) return failed();
  auto results = Collect(SystemClock().Monotonic() + answer_timeout_);
  if (!broken_ && PQexitPipelineMode(conn_) == 0) return failed();
  if (results.ok()) RACKMARK_CHECK(results->size() == statements.size());
  return results;
}

absl::StatusOr<PgResult> PgConnection::Query(std::string_view sql, PgParams params) {
  const std::array<PgStatement, 1> one = {PgStatement{sql, std::move(params)}};
  ASSIGN_OR_RETURN(auto results, Run(one));
  return std::move(results.front());
}

absl::StatusOr<std::vector<PgResult>> PgConnection::Transact(std::vector<PgStatement> statements) {
  statements.insert(statements.begin(), {"BEGIN"});
  statements.push_back({"COMMIT"});
  auto results = Run(statements);
  if (!results.ok()) {
    // Its locks go at once; if this fails too, the connection is broken and they go with it.
    if (!broken_) (void)Query("ROLLBACK");
    return results.status();
  }
  results->pop_back();
  results->erase(results->begin());
  return results;
}

absl::Status PgConnection::Execute(const std::string& script) {
  if (broken_) return Broken(absl::StatusCode::kUnavailable, "the connection was lost");
  if (PQsendQuery(conn_, script.c_str()) == 0) {
    return Broken(absl::StatusCode::kUnavailable, OneLine(PQerrorMessage(conn_)));
  }
  return Collect(SystemClock().Monotonic() + answer_timeout_).status();
}

absl::StatusOr<bool> PgConnection::WaitForNotice(Nanos timeout) {
  const Nanos deadline = SystemClock().Monotonic() + timeout;
  while (!broken_) {
    if (PQconsumeInput(conn_) == 0) break;
    bool came = false;
    while (PGnotify* notice = PQnotifies(conn_)) {
      came = true;
      PQfreemem(notice);
    }
    const Nanos left = deadline - SystemClock().Monotonic();
    if (came || left <= 0) return came;
    pollfd fd = {PQsocket(conn_), POLLIN, 0};
    if (poll(&fd, 1, Milliseconds(left)) < 0 && errno != EINTR) break;
  }
  return Broken(absl::StatusCode::kUnavailable, OneLine(PQerrorMessage(conn_)));
}

}  // namespace rackmark

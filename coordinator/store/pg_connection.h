// The thinnest layer over libpq, and the only file but its .cc that knows it: one connection, all
// of a transaction in one round trip, every wait bounded, errors as sentences that name the
// database and never a password. It does not connect again: whether that is safe only the caller
// knows. One PgConnection belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/status.h"
#include "common/time.h"
#include "coordinator/store/pg_params.h"

struct pg_conn;
struct pg_result;

namespace rackmark {

struct PgOptions {
  std::string target;  // postgresql://... or "host=... dbname=...", as libpq reads it
  Nanos connect_timeout = 5 * kSecond;  // of each host; the target may say otherwise
  Nanos statement_timeout = 10 * kSecond;
  // Of whoever freezes inside a transaction, and of whoever waits for him (PROTOCOL 9).
  Nanos lock_timeout = 3 * kSecond;
  Nanos idle_in_transaction_timeout = 3 * kSecond;
  // A server that says nothing at all, as behind a cut network.
  Nanos answer_timeout = 15 * kSecond;
};

// INVALID_ARGUMENT: libpq cannot read it. PERMISSION_DENIED: it holds a password, which a command
// line would show to every local user.
absl::Status CheckPgTarget(const std::string& target);

// The rows of one statement, or how many it changed.
class PgResult {
 public:
  explicit PgResult(pg_result* result) : result_(result) {}
  size_t rows() const;
  bool IsNull(size_t row, int column) const;
  uint64_t Integer(size_t row, int column) const;        // of a bigint
  std::string_view Bytes(size_t row, int column) const;  // bytea or text; as long as the result
  uint64_t changed() const;

 private:
  struct Clear {
    void operator()(pg_result* result) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
};

struct PgStatement {
  std::string_view sql;
  PgParams params = {};
};

class PgConnection {
 public:
  // `name` is what the server's list of sessions shows. UNAVAILABLE: nobody there, or it refused
  // us; FAILED_PRECONDITION: a server that is too old.
  static absl::StatusOr<std::unique_ptr<PgConnection>> Open(const PgOptions& options,
                                                            const std::string& name);
  ~PgConnection();
  PgConnection(const PgConnection&) = delete;
  PgConnection& operator=(const PgConnection&) = delete;

  // By itself, so in a transaction of its own. Codes: FAILED_PRECONDITION: the tables are not ours;
  // ABORTED: another leads, the server ended this session, or a lock was not to be had in time;
  // DEADLINE_EXCEEDED, UNAVAILABLE: whether it was done is unknown.
  absl::StatusOr<PgResult> Query(std::string_view sql, PgParams params = {});
  // All of them or none; OK means on disk.
  absl::StatusOr<std::vector<PgResult>> Transact(std::vector<PgStatement> statements);
  // Several statements without values.
  absl::Status Execute(const std::string& script);
  // True: a NOTIFY came within `timeout`.
  absl::StatusOr<bool> WaitForNotice(Nanos timeout);

  void set_answer_timeout(Nanos timeout) { answer_timeout_ = timeout; }
  Nanos answer_timeout() const { return answer_timeout_; }
  Nanos statement_timeout() const { return statement_timeout_; }  // as it was set at opening
  // No call can succeed any more.
  bool broken() const { return broken_; }
  // "database DB at HOST", for messages.
  const std::string& where() const { return where_; }

 private:
  PgConnection(pg_conn* conn, std::string where, const PgOptions& options)
      : conn_(conn),
        where_(std::move(where)),
        statement_timeout_(options.statement_timeout),
        answer_timeout_(options.answer_timeout) {}
  absl::Status SetUp(const PgOptions& options);
  absl::StatusOr<std::vector<PgResult>> Run(std::span<const PgStatement> statements);
  absl::StatusOr<std::vector<PgResult>> Collect(Nanos deadline);
  absl::StatusOr<pg_result*> Next(Nanos deadline);
  absl::Status WaitForSocket(bool unsent, Nanos deadline);
  absl::Status FromServer(const pg_result* result);
  absl::Status Broken(absl::StatusCode code, std::string_view why);

  pg_conn* const conn_;
  const std::string where_;
  const Nanos statement_timeout_;
  Nanos answer_timeout_;
  bool broken_ = false;
};

}  // namespace rackmark

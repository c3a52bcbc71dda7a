// A leader that another has replaced commits nothing more, and does not hold up its successor: not
// when it is stopped, not inside a transaction, not between two messages (PROTOCOL 9).
#include <libpq-fe.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "coordinator/store/pg_reader.h"
#include "coordinator/store/pg_writer.h"
#include "coordinator/store/store_suite.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

constexpr Nanos kLong = 3600 * kSecond;

class PgFence : public testing::Test {
 protected:
  void SetUp() override {
    RACKMARK_PG_OR_SKIP(server);
    options_ = server->NewDatabase();
    a_ = *PgLeadership::Open(options_);
    b_ = *PgLeadership::Open(options_);
    ASSERT_EQ(**a_->TryLead(1, kLong), 1U);
    spy_ = *PgConnection::Open(options_, "test");
  }
  SqlStores Stores(uint64_t term) {
    auto stores = OpenPgStores(options_, term);
    EXPECT_TRUE(stores.ok()) << stores.status();
    return *std::move(stores);
  }
  void Expire() {
    ASSERT_TRUE(spy_->Execute("UPDATE leader SET expires = clock_timestamp()").ok());
  }
  // By the fence alone: nobody's session is ended.
  void ReplaceQuietly() {
    ASSERT_TRUE(spy_->Execute("UPDATE leader SET term = term + 1, expires = 'infinity'").ok());
  }
  void ExpectSuccessor() {
    const auto led = b_->TryLead(1, kLong);
    ASSERT_TRUE(led.ok()) << led.status();
    ASSERT_TRUE(led->has_value());
    EXPECT_EQ(**led, 2U);
  }
  uint64_t Count(const std::string& table) {
    const auto rows = spy_->Query("SELECT count(*) FROM " + table);
    EXPECT_TRUE(rows.ok()) << rows.status();
    return rows->Integer(0, 0);
  }

  PgOptions options_;
  std::unique_ptr<Leadership> a_, b_;
  std::unique_ptr<PgConnection> spy_;
};

TEST_F(PgFence, EveryWriteOfAnOldTermIsRefusedAndLeavesNothing) {
  ASSERT_TRUE(Stores(1).events->Append(MakeEvents(1, 2)).ok());
  // Each on stores of its own, because the first refusal poisons.
  const std::vector<v1::Chunk> chunks = {MakeChunk(1, 0, 1)};
  SampleStore::Wanted wanted;
  wanted.chunks = [](uint64_t, uint32_t) -> absl::StatusOr<bool> { return false; };
  wanted.report = [](uint64_t) -> absl::StatusOr<bool> { return false; };
  const std::vector<std::function<absl::Status(SqlStores&)>> writes = {
      [](SqlStores& s) { return s.events->Append(MakeEvents(3, 1)); },
      [](SqlStores& s) { return s.events->PutSnapshot("state"); },
      [](SqlStores& s) { return s.events->DropSnapshot(1); },
      [](SqlStores& s) { return s.events->Trim(1).status(); },
      [](SqlStores& s) { return s.events->DropHistory(1, 1).status(); },
      [&](SqlStores& s) { return s.samples->PutChunks(chunks).status(); },
      [](SqlStores& s) { return s.samples->PutReport(1, "report"); },
      [](SqlStores& s) { return s.samples->DropReport(1); },
      [](SqlStores& s) { return s.samples->DropChunks(1, 1).status(); },
      [&](SqlStores& s) { return s.samples->Adopt("c", wanted); },
  };
  std::vector<SqlStores> stores;
  for (size_t i = 0; i < writes.size(); ++i) stores.push_back(Stores(1));
  ReplaceQuietly();
  for (size_t i = 0; i < writes.size(); ++i) {
    const absl::Status status = writes[i](stores[i]);
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << i << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("term 1 is over")) << i;
  }
  EXPECT_TRUE(absl::IsAborted(stores[0].events->Append(MakeEvents(3, 1))));
  EXPECT_TRUE(absl::IsAborted(OpenPgStores(options_, 1).status()));
  EXPECT_EQ(Count("event"), 2U);
  for (const char* table : {"snapshot", "chunk", "watermark", "report"}) {
    EXPECT_EQ(Count(table), 0U) << table;
  }
}

TEST_F(PgFence, TheSuccessorFindsAllThatWasCommittedAndEndsTheOldSessions) {
  SqlStores old = Stores(1);
  ASSERT_TRUE(old.events->Append(MakeEvents(1, 3)).ok());
  Expire();
  ExpectSuccessor();
  SqlStores next = Stores(2);
  EXPECT_EQ(next.events->last_seq(), 3U);
  const absl::Status late = old.events->Append(MakeEvents(4, 1));
  EXPECT_FALSE(late.ok());
  EXPECT_THAT(std::string(late.message()), HasSubstr("PostgreSQL database"));
  EXPECT_FALSE(old.samples->GetReport(1).ok());  // readers too: what they would say is old
  ASSERT_TRUE(next.events->Append(MakeEvents(4, 2)).ok());
  EXPECT_EQ(Count("event"), 5U);
}

// A session that was dropped, by a network or an administrator, ends no leader that only reads.
TEST_F(PgFence, AReaderConnectsAgainWhileItsTermHoldsAndNotAfterIt) {
  PgReader reader = *PgReader::Open(options_, 1);
  const auto session = [&] {
    const auto row = reader.Query("SELECT pg_backend_pid()::bigint");
    EXPECT_TRUE(row.ok()) << row.status();
    return row.ok() ? row->Integer(0, 0) : 0;
  };
  const auto end = [&](uint64_t pid) {
    PgParams params;
    params.Int(pid);
    EXPECT_TRUE(spy_->Query("SELECT pg_terminate_backend($1::int, 60000)", std::move(params)).ok());
  };
  const uint64_t first = session();
  end(first);
  const uint64_t second = session();
  EXPECT_NE(second, first);
  end(second);
  EXPECT_TRUE(reader.Transact({{"SELECT 1"}}).ok());
  // A statement that fails by itself is no lost session.
  const uint64_t third = session();
  EXPECT_FALSE(reader.Query("SELECT nothing").ok());
  EXPECT_EQ(session(), third);
  ReplaceQuietly();
  EXPECT_EQ(session(), third);  // main looks at the end of its time before it answers
  end(third);
  const absl::Status late = reader.Query("SELECT 1").status();
  EXPECT_EQ(late.code(), absl::StatusCode::kAborted) << late;
  EXPECT_THAT(std::string(late.message()), HasSubstr("term 1 is over"));
}

TEST_F(PgFence, DecisionsSamplesAndRenewalsDoNotWaitForEachOther) {
  SqlStores stores = Stores(1);
  auto held = *PgConnection::Open(options_, PgSessionName(1));
  ASSERT_TRUE(
      held->Execute("SET idle_in_transaction_session_timeout = 0; BEGIN; SELECT fence(1)").ok());
  EXPECT_TRUE(stores.events->Append(MakeEvents(1, 1)).ok());
  const std::vector<v1::Chunk> chunks = {MakeChunk(1, 0, 1)};
  EXPECT_TRUE(stores.samples->PutChunks(chunks).ok());
  EXPECT_TRUE(a_->Renew(2).ok());
  EXPECT_TRUE(held->Execute("COMMIT").ok());
}

// Without ending it the successor could not lead: it has no timeout.
TEST_F(PgFence, ATransactionThatTheOldLeaderHoldsOpenIsEnded) {
  auto held = *PgConnection::Open(options_, PgSessionName(1));
  ASSERT_TRUE(held->Execute("SET idle_in_transaction_session_timeout = 0; BEGIN; SELECT fence(1); "
                            "INSERT INTO event VALUES (1, 0, '')")
                  .ok());
  Expire();
  ExpectSuccessor();
  EXPECT_FALSE(held->Execute("COMMIT").ok());
  EXPECT_TRUE(held->broken());
  EXPECT_EQ(Count("event"), 0U);
}

// A session under another name is not found; then the server's own timeout ends it.
TEST_F(PgFence, AForgottenTransactionIsEndedByItsTimeout) {
  PgOptions hasty = options_;
  hasty.idle_in_transaction_timeout = 200 * kMillisecond;
  auto held = *PgConnection::Open(hasty, "somebody");
  ASSERT_TRUE(held->Execute("BEGIN; SELECT fence(1); INSERT INTO event VALUES (1, 0, '')").ok());
  Expire();
  ExpectSuccessor();
  EXPECT_FALSE(held->Execute("COMMIT").ok());
  EXPECT_EQ(Count("event"), 0U);
}

TEST_F(PgFence, WhoCannotHaveTheRowInTimeIsToldAndMayAskAgain) {
  PgOptions hasty = options_;
  hasty.lock_timeout = 100 * kMillisecond;
  b_ = *PgLeadership::Open(hasty);
  auto held = *PgConnection::Open(options_, "somebody");
  ASSERT_TRUE(
      held->Execute("SET idle_in_transaction_session_timeout = 0; BEGIN; SELECT fence(1)").ok());
  Expire();
  EXPECT_EQ(b_->TryLead(1, kLong).status().code(), absl::StatusCode::kAborted);
  EXPECT_EQ(b_->term(), 0U);
  ASSERT_TRUE(held->Execute("ROLLBACK").ok());
  ExpectSuccessor();
}

// Stopped between two messages of a pipeline, where no timeout of the server's runs.
TEST_F(PgFence, ATransactionWhoseRestWasNeverSentIsEnded) {
  PGconn* half = PQconnectdb((options_.target + "&application_name=rackmark%20term%201").c_str());
  ASSERT_EQ(PQstatus(half), CONNECTION_OK);
  PQclear(
      PQexec(half, "SET search_path = rackmark; SET idle_in_transaction_session_timeout = 100"));
  ASSERT_EQ(PQenterPipelineMode(half), 1);
  for (const char* sql : {"BEGIN", "SELECT fence(1)", "INSERT INTO event VALUES (1, 0, '')"}) {
    ASSERT_EQ(PQsendQueryParams(half, sql, 0, nullptr, nullptr, nullptr, nullptr, 1), 1);
  }
  ASSERT_EQ(PQsendFlushRequest(half), 1);
  for (int i = 0; i < 3; ++i) {  // done, and so locked
    PGresult* result = PQgetResult(half);
    EXPECT_NE(PQresultStatus(result), PGRES_FATAL_ERROR) << PQresultErrorMessage(result);
    PQclear(result);
    EXPECT_EQ(PQgetResult(half), nullptr);
  }
  Expire();
  ExpectSuccessor();
  PQfinish(half);
  EXPECT_EQ(Count("event"), 0U);
}

// A real process that is stopped inside its transaction, and goes on when another leads.
TEST_F(PgFence, AStoppedProcessCommitsNothingWhenItGoesOn) {
  const pid_t child = fork();
  if (child == 0) {
    auto held = PgConnection::Open(options_, PgSessionName(1));
    if (!held.ok() ||
        !(*held)->Execute("BEGIN; SELECT fence(1); INSERT INTO event VALUES (1, 0, '')").ok()) {
      _exit(2);
    }
    raise(SIGSTOP);
    _exit((*held)->Execute("COMMIT").ok() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, WUNTRACED), child);
  ASSERT_TRUE(WIFSTOPPED(status)) << status;
  Expire();
  ExpectSuccessor();
  SqlStores next = Stores(2);
  EXPECT_TRUE(next.events->Append(MakeEvents(1, 1)).ok());  // the very same seq
  kill(child, SIGCONT);
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_EQ(Count("event"), 1U);
}

}  // namespace
}  // namespace rackmark

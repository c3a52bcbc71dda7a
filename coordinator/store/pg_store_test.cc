// What only a server can do wrong: not there, gone in the middle of a commit, silent, somebody
// else's, older, newer. And that no message shows a password.
#include "coordinator/store/pg_store.h"

#include <signal.h>

#include <atomic>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/store/pg_schema.h"
#include "coordinator/store/store_suite.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr Nanos kLong = 3600 * kSecond;

TEST(PgTarget, APasswordIsRefusedAndNeverShown) {
  EXPECT_TRUE(CheckPgTarget("postgresql://user@host:1/db").ok());
  EXPECT_TRUE(CheckPgTarget("host=/run dbname=db").ok());
  for (const char* target : {"postgresql://user:s3cret@host/db", "host=h password=s3cret",
                             "postgresql:///db?password=s3cret", "host=h password='s3cret",
                             "postgresql://u:s3cret%zz@h/db", "host=h sslpassword=s3cret"}) {
    const absl::Status status = CheckPgTarget(target);
    EXPECT_FALSE(status.ok()) << target;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("s3cret"))) << target;
  }
  PgOptions options;
  options.target = "host=/nowhere/at/all dbname=db user=u password=s3cret";
  const absl::Status status = PgConnection::Open(options, "test").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("database db at /nowhere/at/all"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("s3cret")));
}

class PgStore : public testing::Test {
 protected:
  void SetUp() override {
    RACKMARK_PG_OR_SKIP(server);
    options_ = server->NewDatabase();
    connection_ = *PgConnection::Open(options_, "test");
  }
  std::string Text(const std::string& sql) {
    const auto rows = connection_->Query(sql);
    EXPECT_TRUE(rows.ok()) << rows.status();
    return rows.ok() ? std::string(rows->Bytes(0, 0)) : "";
  }
  PgOptions options_;
  std::unique_ptr<PgConnection> connection_;
};

TEST_F(PgStore, ValuesComeBackAsTheyWere) {
  constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
  const std::string bytes("\0\xff'\\", 4);
  PgBytesArray array;
  array.Add(bytes);
  array.Add("");
  PgParams params;
  params.Int(kMost)
      .Bytes(bytes)
      .Text("")
      .Ints(std::vector<uint64_t>{7, kMost})
      .BytesArray(std::move(array));
  const auto row = connection_->Query(
      "SELECT $1, $2, $3, ($4::bigint[])[2], ($5::bytea[])[1], octet_length(($5::bytea[])[2]) = 0, "
      "array_length($5::bytea[], 1)::bigint, null::bigint",
      std::move(params));
  ASSERT_TRUE(row.ok()) << row.status();
  EXPECT_EQ(row->Integer(0, 0), kMost);
  EXPECT_EQ(row->Bytes(0, 1), bytes);
  EXPECT_EQ(row->Bytes(0, 2), "");
  EXPECT_EQ(row->Integer(0, 3), kMost);
  EXPECT_EQ(row->Bytes(0, 4), bytes);
  EXPECT_EQ(row->Bytes(0, 5), std::string("\1", 1));
  EXPECT_EQ(row->Integer(0, 6), 2U);
  EXPECT_TRUE(row->IsNull(0, 7));
  PgParams empty;
  empty.Ints({}).BytesArray({});
  EXPECT_EQ(connection_->Query("SELECT * FROM unnest($1::bigint[], $2::bytea[])", std::move(empty))
                ->rows(),
            0U);
}

TEST_F(PgStore, AFailedStatementUndoesItsTransactionAndTheSessionGoesOn) {
  ASSERT_TRUE(
      connection_->Execute("CREATE SCHEMA rackmark; CREATE TABLE t (n int PRIMARY KEY)").ok());
  std::vector<PgStatement> statements = {{"INSERT INTO t VALUES (1)"},
                                         {"INSERT INTO t VALUES (1)"}};
  const auto results = connection_->Transact(statements);
  EXPECT_EQ(results.status().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(results.status().message()), HasSubstr("SQLSTATE 23505"));
  EXPECT_EQ(Text("SELECT count(*)::text FROM t"), "0");
  EXPECT_EQ(Text("SHOW synchronous_commit"), "on");
  const auto slow = connection_->Query("SET statement_timeout = 50");
  ASSERT_TRUE(slow.ok());
  EXPECT_EQ(connection_->Query("SELECT 1 FROM pg_sleep(600)").status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(connection_->broken());
}

TEST_F(PgStore, AServerThatSaysNothingEndsTheCallAndTheConnection) {
  auto silent = *PgConnection::Open(options_, "test");
  const auto pid =
      static_cast<pid_t>(silent->Query("SELECT pg_backend_pid()::bigint")->Integer(0, 0));
  silent->set_answer_timeout(300 * kMillisecond);
  kill(pid, SIGSTOP);
  const absl::Status status = silent->Query("SELECT 1").status();
  kill(pid, SIGCONT);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("unknown"));
  EXPECT_TRUE(silent->broken());
  EXPECT_TRUE(absl::IsUnavailable(silent->Query("SELECT 1").status()));
}

TEST_F(PgStore, ForeignAndNewerTablesAreRefusedUntouched) {
  ASSERT_TRUE(
      connection_->Execute("CREATE SCHEMA rackmark; CREATE TABLE rackmark.precious (n int)").ok());
  const absl::Status foreign = PgLeadership::Open(options_).status();
  EXPECT_EQ(foreign.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(foreign.message()), HasSubstr("not ours"));
  EXPECT_EQ(Text("SELECT count(*)::text FROM pg_tables WHERE schemaname = 'rackmark'"), "1");
  // An empty schema that an administrator made for us is ours.
  ASSERT_TRUE(connection_->Execute("DROP TABLE rackmark.precious").ok());
  ASSERT_TRUE(PgLeadership::Open(options_).ok());
  ASSERT_TRUE(connection_->Execute("UPDATE meta SET version = 9").ok());
  const absl::Status newer = PgLeadership::Open(options_).status();
  EXPECT_EQ(newer.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(newer.message()), HasSubstr("tables of version 9"));
}

TEST_F(PgStore, OnlyWhoLeadsBringsOlderTablesUpAndAllOrNothing) {
  auto leadership = *PgLeadership::Open(options_);
  ASSERT_EQ(**leadership->TryLead(1, kLong), 1U);
  const char* const good[] = {"no SQL, and not run: the tables have this already",
                              "ALTER TABLE rackmark.report ADD COLUMN more bigint",
                              "CREATE TABLE rackmark.extra (n bigint)"};
  const char* const bad[] = {"as above", "CREATE TABLE rackmark.extra (n bigint)", "no SQL at all"};
  ASSERT_TRUE(EnsurePgSchema(*connection_, PgKind{4, "", good}).ok());
  EXPECT_EQ(Text("SELECT version::text FROM meta"), "2");  // a standby changes nothing
  EXPECT_FALSE(MigratePgSchema(*connection_, PgKind{4, "", bad}, 1).ok());
  EXPECT_TRUE(absl::IsAborted(MigratePgSchema(*connection_, PgKind{4, "", good}, 7)));
  EXPECT_EQ(Text("SELECT version::text FROM meta"), "2");
  ASSERT_TRUE(MigratePgSchema(*connection_, PgKind{4, "", good}, 1).ok());
  EXPECT_EQ(Text("SELECT version::text FROM meta"), "4");
  EXPECT_EQ(Text("SELECT count(more)::text FROM report"), "0");
  EXPECT_EQ(OpenPgStores(options_, 1).status().code(), absl::StatusCode::kFailedPrecondition);
}

constexpr char kStorageOfSnapshots[] =
    "SELECT attstorage::text FROM pg_attribute WHERE attrelid = 'rackmark.snapshot'::regclass AND "
    "attname = 'payload'";

TEST_F(PgStore, TablesOfTheFirstVersionAreBroughtUpByWhoLeads) {
  auto leadership = *PgLeadership::Open(options_);
  EXPECT_EQ(Text(kStorageOfSnapshots), "e");  // as new tables have it
  ASSERT_TRUE(connection_
                  ->Execute("ALTER TABLE snapshot ALTER COLUMN payload SET STORAGE EXTENDED; "
                            "UPDATE meta SET version = 1")
                  .ok());
  ASSERT_TRUE(OpenPgStores(options_, **leadership->TryLead(1, kLong)).ok());
  EXPECT_EQ(Text("SELECT version::text FROM meta"), "2");
  EXPECT_EQ(Text(kStorageOfSnapshots), "e");
}

// A State may have hundreds of MiB. What the server was told is written down by a trigger.
TEST_F(PgStore, ASnapshotHasTheTimeThatItsSizeTakesAndNothingElseHas) {
  options_.statement_timeout = 10 * kSecond;
  auto leadership = *PgLeadership::Open(options_);
  SqlStores stores = *OpenPgStores(options_, **leadership->TryLead(1, kLong));
  ASSERT_TRUE(
      connection_
          ->Execute("CREATE TABLE seen (at bigint GENERATED ALWAYS AS IDENTITY, allowed text); "
                    "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                    "INSERT INTO rackmark.seen (allowed) VALUES "
                    "(current_setting('statement_timeout')); RETURN NEW; END $$; "
                    "CREATE TRIGGER see BEFORE INSERT ON snapshot FOR EACH ROW EXECUTE FUNCTION "
                    "see(); "
                    "CREATE TRIGGER see BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION see()")
          .ok());
  ASSERT_TRUE(stores.events->Append(MakeEvents(stores.events->last_seq() + 1, 1)).ok());
  const std::string large(41 << 20, 's');
  ASSERT_TRUE(stores.events->PutSnapshot(large).ok());
  ASSERT_TRUE(stores.events->Append(MakeEvents(stores.events->last_seq() + 1, 1)).ok());
  EXPECT_EQ(Text("SELECT string_agg(allowed, ' ' ORDER BY at) FROM seen"), "10s 21s 10s");
  EXPECT_EQ(*stores.events->GetSnapshot(stores.events->last_seq() - 1), large);
}

// Kept in the transactions of the rows, never summed up.
TEST_F(PgStore, TheBytesThatAreCountedAreThoseOfTheRows) {
  auto leadership = *PgLeadership::Open(options_);
  SqlStores stores = *OpenPgStores(options_, **leadership->TryLead(1, kLong));
  SampleStore& samples = *stores.samples;
  const auto expect = [&](bool any) {
    EXPECT_EQ(Text("SELECT bytes::text FROM used_bytes"),
              Text("SELECT ((SELECT coalesce(sum(octet_length(payload)), 0) FROM chunk) + (SELECT "
                   "coalesce(sum(octet_length(payload)), 0) FROM report))::text"));
    EXPECT_EQ(Text("SELECT count(*)::text FROM (SELECT run, attempt, sum(octet_length(payload)) AS "
                   "bytes FROM chunk GROUP BY run, attempt) AS real FULL JOIN chunk_bytes USING "
                   "(run, attempt) WHERE coalesce(real.bytes, 0) <> coalesce(chunk_bytes.bytes, "
                   "0)"),
              "0");
    EXPECT_EQ(*samples.UsedBytes() > 0, any);
  };
  expect(false);
  const std::string big(100000, 'x');  // beyond a page, where PostgreSQL keeps it elsewhere
  const std::vector<v1::Chunk> some = {MakeChunk(1, 0, 1, big), MakeChunk(1, 1, 3),
                                       MakeChunk(2, 0, 1), MakeChunk(2, 0, 2)};
  ASSERT_TRUE(samples.PutChunks(some).ok());
  expect(true);
  EXPECT_EQ(*samples.BytesOf(1, 1), some[0].ByteSizeLong() + some[1].ByteSizeLong());
  EXPECT_EQ(*samples.BytesOf(1, 2), 0U);
  const std::vector<v1::Chunk> again = {some[0], MakeChunk(1, 0, 2), some[0]};
  ASSERT_TRUE(samples.PutChunks(again).ok());  // one of them is new
  expect(true);
  for (const std::string& report : {std::string("a report"), std::string("less"), big}) {
    ASSERT_TRUE(samples.PutReport(1, report).ok());
    expect(true);
  }
  ASSERT_TRUE(samples.PutReport(2, "other").ok());
  ASSERT_TRUE(samples.DropReport(1).ok());  // its chunks are still there, and counted
  expect(true);
  EXPECT_EQ(*samples.DropChunks(1, 2), 2U);
  expect(true);
  EXPECT_EQ(*samples.DropChunks(1, 2), 1U);
  EXPECT_EQ(*samples.DropChunks(1, 2), 0U);
  expect(true);
  EXPECT_EQ(*samples.BytesOf(1, 1), 0U);
  ASSERT_TRUE(samples.DropReport(1).ok());
  EXPECT_EQ(Text("SELECT count(*)::text FROM chunk_bytes"), "1");
  ASSERT_TRUE(samples.PutChunks({some.data(), 2}).ok());
  SampleStore::Wanted wanted;
  wanted.chunks = [](uint64_t run, uint32_t) -> absl::StatusOr<bool> { return run == 1; };
  wanted.report = [](uint64_t) -> absl::StatusOr<bool> { return false; };
  ASSERT_TRUE(samples.Adopt("c", wanted).ok());
  expect(true);
  EXPECT_EQ(*samples.UsedBytes(), *samples.BytesOf(1, 1));
  EXPECT_EQ(*samples.DropChunks(1, 9), 2U);
  expect(false);
}

TEST_F(PgStore, NoTimeoutOfTheServersEndsAnIdleSession) {
  if (Text("SELECT (current_setting('server_version_num')::int >= 140000)::text") != "true") {
    GTEST_SKIP() << "this server knows no idle_session_timeout";
  }
  ASSERT_TRUE(connection_
                  ->Execute("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET "
                            "idle_session_timeout = 3600000', current_database()); END $$")
                  .ok());
  auto idle = *PgConnection::Open(options_, "test");
  EXPECT_EQ(idle->Query("SHOW idle_session_timeout")->Bytes(0, 0), "0");
}

TEST_F(PgStore, CoordinatorsThatStartAtOnceMakeOneCluster) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      const auto leadership = PgLeadership::Open(options_);
      EXPECT_TRUE(leadership.ok()) << leadership.status();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Text("SELECT count(*)::text FROM meta"), "1");
  EXPECT_EQ(Text("SELECT cluster_id FROM meta").size(), 32U);
}

TEST_F(PgStore, ADamagedEventOrSnapshotIsFound) {
  auto leadership = *PgLeadership::Open(options_);
  SqlStores stores = *OpenPgStores(options_, **leadership->TryLead(1, kLong));
  ASSERT_TRUE(stores.events->Append(MakeEvents(1, 3)).ok());
  ASSERT_TRUE(stores.events->PutSnapshot("state").ok());
  ASSERT_TRUE(connection_
                  ->Execute("UPDATE event SET payload = payload || '\\x00' WHERE seq = 2; "
                            "UPDATE snapshot SET payload = 'stale'")
                  .ok());
  uint64_t seen = 0;
  const absl::Status load = stores.events->Load(1, [&](const v1::Event& event) {
    seen = event.seq();
    return absl::OkStatus();
  });
  EXPECT_EQ(load.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(load.message()), HasSubstr("event 2"));
  EXPECT_EQ(seen, 1U);
  EXPECT_EQ(stores.events->GetSnapshot(3).status().code(), absl::StatusCode::kDataLoss);
}

// Killed while one thread appends without pause: what was answered OK is there, in whole turns, and
// the failed call says so clearly.
TEST(PgCrash, NothingThatWasAckedIsLostWhenTheServerIsKilledInMidCommit) {
  std::string why;
  const auto server = PgTestServer::Make(PgTestServer::Disk::kKeeps, why);
  if (server == nullptr) GTEST_SKIP() << why;
  const PgOptions options = server->NewDatabase();
  uint64_t term = 0;
  uint64_t before = 0;
  constexpr uint64_t kPerTurn = 3;
  for (int round = 0; round < 3; ++round) {
    {
      auto leadership = *PgLeadership::Open(options);
      // That of the round before is over, without waiting for it.
      ASSERT_TRUE((*PgConnection::Open(options, "test"))
                      ->Execute("UPDATE leader SET expires = '-infinity'")
                      .ok());
      const auto led = leadership->TryLead(1, kLong);
      ASSERT_TRUE(led.ok() && led->has_value()) << led.status();
      term = **led;
    }
    SqlStores stores = *OpenPgStores(options, term);
    EXPECT_GE(stores.events->last_seq(), before);
    EXPECT_LE(stores.events->last_seq(), before + kPerTurn);  // one turn whose answer was lost
    EXPECT_EQ(stores.events->last_seq() % kPerTurn, 0U);
    std::atomic<uint64_t> acked = stores.events->last_seq();
    const uint64_t start = acked;
    absl::Status end;
    std::thread writer([&] {
      while (end.ok()) {
        end = stores.events->Append(MakeEvents(acked + 1, kPerTurn));
        if (end.ok()) acked += kPerTurn;
        acked.notify_all();
      }
    });
    for (uint64_t now = acked; now < start + 20 * kPerTurn; now = acked) acked.wait(now);
    server->Kill(SIGKILL);
    writer.join();
    before = acked;
    EXPECT_TRUE(absl::IsUnavailable(end) || absl::IsAborted(end)) << end;
    EXPECT_THAT(std::string(end.message()), HasSubstr("PostgreSQL database"));
    EXPECT_TRUE(absl::IsAborted(stores.events->Append({})));  // poisoned
    EXPECT_FALSE(stores.samples->GetReport(1).ok());
    EXPECT_FALSE(stores.events->history().Jobs(1).ok());
    ASSERT_EQ(server->Start(), "");
  }
}

}  // namespace
}  // namespace rackmark

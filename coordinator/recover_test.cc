// Restarts from snapshots, from damaged ones, from logs of the first format; the log cut behind
// them.
#include <sqlite3.h>
#include <stdlib.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "common/ids.h"
#include "common/test_folder.h"
#include "coordinator/core/decide.h"
#include "coordinator/loop.h"
#include "coordinator/snapshot.h"
#include "coordinator/store/store_suite.h"
#include "coordinator/test_job.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string NewFolder() { return TestFolders::New("rm_recover"); }

// Keeps a copy of every event, whatever is cut away; fails its k-th snapshot if asked to.
class Recorder : public MemoryEventStore {
 public:
  Recorder() : MemoryEventStore("c1") {}
  std::vector<v1::Event> all;
  int snapshots = 0;
  int fail_at = 0;
  uint64_t spoil = 0;  // the snapshot of this seq reads as damaged

 protected:
  absl::Status DoAppend(std::span<const v1::Event> events,
                        std::span<const v1::EndedJob> ended) override {
    all.insert(all.end(), events.begin(), events.end());
    return MemoryEventStore::DoAppend(events, ended);
  }
  absl::Status DoPutSnapshot(uint64_t seq, std::string_view bytes) override {
    if (++snapshots == fail_at) return absl::InternalError("planted: disk full");
    return MemoryEventStore::DoPutSnapshot(seq, bytes);
  }
  absl::StatusOr<std::string> DoGetSnapshot(uint64_t seq) override {
    ASSIGN_OR_RETURN(std::string bytes, MemoryEventStore::DoGetSnapshot(seq));
    if (seq == spoil) bytes = "\xff";  // half of it may be a message, too
    return bytes;
  }
};

Loop::Options OptionsFor(EventStore& events, uint64_t snapshot_events) {
  Loop::Options options;
  options.events = &events;
  options.clock = &SystemClock();
  options.inbox_max = 64;
  options.snapshot_events = snapshot_events;
  options.fatal = [](const absl::Status& status) { ADD_FAILURE() << status; };
  return options;
}

template <typename Body>
Reply Do(Loop& loop, Body body) {
  std::promise<Reply> promise;
  EXPECT_TRUE(loop.Post({CorePrincipal(), std::move(body)},
                        [&](const Outcome& outcome) {
                          EXPECT_TRUE(outcome.status.ok()) << outcome.status;
                          promise.set_value(outcome.reply);
                        })
                  .ok());
  return promise.get_future().get();
}

// A job that ends without any worker.
void EndOne(Loop& loop, const std::string& id, int runs = 2) {
  const JobId job = std::get<Submitted>(Do(loop, SubmitJob{MakeJob(runs), id})).job;
  Do(loop, CancelJob{job, "enough"});
  std::vector<RunId> judging;
  ASSERT_TRUE(
      loop.ReadAndWait([&](const State& state, Now) { judging = RunsToJudge(state); }).ok());
  for (const RunId run : judging) Do(loop, JudgeRun{run, 0, v1::VERDICT_CANCELLED, "hash", {}});
}

std::string BytesAfter(EventStore& events) {
  State state;
  const absl::Status status = RecoverState(events, state);
  EXPECT_TRUE(status.ok()) << status;
  return SnapshotBytes(state.hard);
}

std::string BytesOfAll(const std::vector<v1::Event>& events) {
  State state;
  for (const v1::Event& event : events) EXPECT_TRUE(Replay(state, event).ok());
  return SnapshotBytes(state.hard);
}

// One more event, and bytes in place of a snapshot after it.
void EndWithSnapshot(Recorder& store, std::string_view bytes) {
  std::vector<v1::Event> events = {store.all.back()};
  events[0].set_seq(store.last_seq() + 1);
  ASSERT_TRUE(store.Append(events).ok());
  ASSERT_TRUE(store.PutSnapshot(bytes).ok());
}

TEST(Recover, SnapshotAndTailAreTheWholeLogHoweverOftenItIsCut) {
  for (const uint64_t every : {1U, 3U, 7U, 1000U}) {
    Recorder store;
    {
      Loop loop(OptionsFor(store, every));
      ASSERT_TRUE(loop.Recover("boot", "boot/1").ok());
      loop.Start();
      for (int i = 0; i < 6; ++i) {
        EndOne(loop, absl::StrCat("s", i));
        ASSERT_TRUE(loop.ReadAndWait([&](const State&, Now) {
                          while (*store.Trim(2) > 0) {
                          }
                        })
                        .ok());
      }
      Do(loop, SubmitJob{MakeJob(1), "open"});
      loop.Stop();
    }
    EXPECT_EQ(store.snapshots > 2, every < 1000);
    EXPECT_EQ(BytesAfter(store), BytesOfAll(store.all)) << every;
    EXPECT_EQ(store.history().Jobs(100)->size(), 6U);
    // What ended is known by its submission, also after a restart.
    Loop again(OptionsFor(store, every));
    ASSERT_TRUE(again.Recover("boot", "boot/2").ok());
    again.Start();
    const Reply reply = Do(again, SubmitJob{MakeJob(2), "s3"});
    EXPECT_TRUE(std::get<Submitted>(reply).already);
    EXPECT_EQ(std::get<Submitted>(reply).job, JobId{4});
    EXPECT_FALSE(std::get<Cancelled>(Do(again, CancelJob{JobId{4}, "late"})).was_running);
    again.Stop();
  }
}

TEST(Recover, ADamagedSnapshotFallsBackToTheOneBefore) {
  Recorder store;
  {
    Loop loop(OptionsFor(store, 5));
    ASSERT_TRUE(loop.Recover("boot", "boot/1").ok());
    loop.Start();
    for (int i = 0; i < 4; ++i) EndOne(loop, absl::StrCat("s", i));
    loop.Stop();
  }
  while (*store.Trim(1000) > 0) {
  }
  const std::string whole = BytesOfAll(store.all);
  const auto seqs = *store.Snapshots();
  ASSERT_EQ(seqs.size(), 2U);
  store.spoil = seqs.front();
  EXPECT_EQ(BytesAfter(store), whole);
  // A log that is there from its beginning needs no snapshot at all.
  Recorder uncut;
  ASSERT_TRUE(uncut.Append(store.all).ok());
  ASSERT_TRUE(uncut.PutSnapshot("no message").ok());
  EXPECT_EQ(BytesAfter(uncut), whole);
  // One that is cut, and has no whole snapshot, is lost, and says so.
  for (const char* bytes : {"no message", "nor this"}) {
    EndWithSnapshot(store, bytes);
  }
  State state;
  EXPECT_EQ(RecoverState(store, state).code(), absl::StatusCode::kDataLoss);
}

// One that was damaged must not be among the two behind which the log is cut: else the next damage
// would cost everything.
TEST(Recover, ADamagedSnapshotCountsForNothingAfterwards) {
  Recorder store;
  for (int damage = 0; damage < 3; ++damage) {
    Loop loop(OptionsFor(store, 5));
    ASSERT_TRUE(loop.Recover("boot", absl::StrCat("boot/", damage)).ok());
    loop.Start();
    const int before = store.snapshots;
    for (int i = 0; store.snapshots == before; ++i) EndOne(loop, absl::StrCat(damage, "s", i));
    loop.Stop();
    while (*store.Trim(1000) > 0) {
    }
    store.spoil = store.Snapshots()->front();
    EXPECT_EQ(BytesAfter(store), BytesOfAll(store.all)) << "damage " << damage;
    EXPECT_THAT(*store.Snapshots(), ::testing::Not(::testing::Contains(store.spoil)));
  }
}

TEST(Recover, ALogThatEndsBeforeItsSnapshotIsLostAndSaysSo) {
  Recorder whole;
  {
    Loop loop(OptionsFor(whole, 1000));
    ASSERT_TRUE(loop.Recover("boot", "boot/1").ok());
    loop.Start();
    EndOne(loop, "s");
    loop.Stop();
  }
  // Its last events are gone, and the snapshot after them is not.
  class Cut : public Recorder {
   public:
    std::string later;

   private:
    absl::StatusOr<std::vector<uint64_t>> DoSnapshots() override {
      return std::vector<uint64_t>{Parse().seq()};
    }
    absl::StatusOr<std::string> DoGetSnapshot(uint64_t) override { return later; }
    v1::Snapshot Parse() const {
      v1::Snapshot snapshot;
      EXPECT_TRUE(snapshot.ParseFromString(later));
      return snapshot;
    }
  };
  Cut cut;
  cut.later = BytesAfter(whole);
  ASSERT_TRUE(cut.Append(std::span(whole.all).first(whole.all.size() - 1)).ok());
  State state;
  EXPECT_EQ(RecoverState(cut, state).code(), absl::StatusCode::kDataLoss);
}

// A start serves first: who is killed for the time that a large one takes would never serve.
TEST(Recover, ASnapshotThatIsDueWaitsForTheFirstTurn) {
  Recorder store;
  {
    Loop loop(OptionsFor(store, 1000));
    ASSERT_TRUE(loop.Recover("boot", "boot/1").ok());
    loop.Start();
    EndOne(loop, "s");
    loop.Stop();
  }
  Loop loop(OptionsFor(store, 1));
  ASSERT_TRUE(loop.Recover("boot", "boot/2").ok());
  EXPECT_EQ(store.snapshots, 0);
  loop.Start();
  EXPECT_TRUE(loop.ReadAndWait([](const State&, Now) {}).ok());
  loop.Stop();
  EXPECT_EQ(store.snapshots, 1);
}

TEST(Recover, AFailedSnapshotIsFatal) {
  Recorder store;
  store.fail_at = 2;
  std::promise<absl::Status> fatal;
  Loop::Options options = OptionsFor(store, 4);
  options.fatal = [&](const absl::Status& status) { fatal.set_value(status); };
  Loop loop(options);
  ASSERT_TRUE(loop.Recover("boot", "boot/1").ok());
  loop.Start();
  auto failed = fatal.get_future();
  for (int i = 0; failed.wait_for(std::chrono::milliseconds(10)) != std::future_status::ready;
       ++i) {
    (void)loop.Post({CorePrincipal(), SubmitJob{MakeJob(1), absl::StrCat("s", i)}},
                    [](const Outcome&) {});
  }
  EXPECT_THAT(std::string(failed.get().message()), HasSubstr("disk full"));
  loop.Stop();
}

// A database as the first version wrote it, with a real log inside.
std::string FirstVersion() {
  const std::string folder = NewFolder();
  fs::copy_file(RACKMARK_STORE_TESTDATA "/events-v1.db", folder + "/events.db");
  sqlite3* db = nullptr;
  EXPECT_EQ(sqlite3_open((folder + "/events.db").c_str(), &db), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(db, "DELETE FROM event; UPDATE meta SET cluster_id = 'c0ffee00'", nullptr,
                         nullptr, nullptr),
            SQLITE_OK);
  std::ifstream in(RACKMARK_CORE_TESTDATA "/events-v1.bin", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  int seq = 0;
  for (size_t at = 0; at + 4 <= bytes.size();) {
    uint32_t length = 0;
    for (size_t i = 0; i < 4; ++i) {
      length |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
    }
    const std::string payload = bytes.substr(at + 4, length);
    sqlite3_stmt* insert = nullptr;
    sqlite3_prepare_v2(db, "INSERT INTO event VALUES (?, ?, ?)", -1, &insert, nullptr);
    sqlite3_bind_int(insert, 1, ++seq);
    sqlite3_bind_int64(insert, 2, Crc32(payload));
    sqlite3_bind_blob(insert, 3, payload.data(), static_cast<int>(length), SQLITE_STATIC);
    EXPECT_EQ(sqlite3_step(insert), SQLITE_DONE);
    sqlite3_finalize(insert);
    at += 4 + length;
  }
  sqlite3_close(db);
  return folder;
}

TEST(Recover, ADatabaseOfTheFirstVersionMovesOnWithoutLoss) {
  const std::string folder = FirstVersion();
  std::string after;
  {
    auto stores = OpenSqlStores(folder);
    ASSERT_TRUE(stores.ok()) << stores.status();
    EXPECT_FALSE(stores->events->history_complete());
    after = BytesAfter(*stores->events);
    EXPECT_TRUE(stores->events->history_complete());
    EXPECT_EQ(stores->events->history().Jobs(10)->size(), 3U);
    const auto job = stores->events->history().Job(1);
    ASSERT_TRUE(job->has_value());
    EXPECT_EQ((*job)->runs_size(), static_cast<int>((*job)->job().runs_total()));
  }
  auto stores = OpenSqlStores(folder);
  ASSERT_TRUE(stores.ok()) << stores.status();
  EXPECT_TRUE(stores->events->history_complete());
  EXPECT_EQ(BytesAfter(*stores->events), after);
}

// The same on the disk, with the log really cut. `again` opens what `first` has written.
void CutAndRestart(SqlStores first, const std::function<SqlStores()>& again) {
  std::string before;
  {
    const SqlStores stores = std::move(first);
    Loop loop(OptionsFor(*stores.events, 10));
    ASSERT_TRUE(loop.Recover("boot", "boot/1").ok());
    loop.Start();
    for (int i = 0; i < 10; ++i) EndOne(loop, absl::StrCat("s", i), 3);
    uint64_t trimmed = 0;
    ASSERT_TRUE(loop.ReadAndWait([&](const State& state, Now) {
                      for (uint64_t n = 1; n > 0; trimmed += n) n = *stores.events->Trim(7);
                      before = SnapshotBytes(state.hard);
                    })
                    .ok());
    EXPECT_GT(trimmed, 20U);
    loop.Stop();
  }
  const SqlStores stores = again();
  EXPECT_EQ(BytesAfter(*stores.events), before);
  const auto gone = stores.events->Load(1, [](const v1::Event&) { return absl::OkStatus(); });
  EXPECT_EQ(gone.code(), absl::StatusCode::kDataLoss);  // event 1 is gone, and said to be
  EXPECT_EQ((**stores.events->history().Job(10)).job().job().source(), "the yaml");
  EXPECT_EQ(stores.events->history().Runs(1000)->size(), 30U);
}

TEST(Recover, OnSqliteTheLogIsCutAndTheRestartIsTheSame) {
  SqlMaker maker;
  std::string why;
  CutAndRestart(*maker.Make(why), [&] { return maker.Again(); });
}

TEST(Recover, OnPostgresTheNextLeaderHasTheSameState) {
  PgMaker maker;
  std::string why;
  auto made = maker.Make(why);
  if (!made) GTEST_SKIP() << why;
  CutAndRestart(*std::move(made), [&] { return maker.NextTerm(); });
}

// events.db of version 2 must load for ever, too. RACKMARK_WRITE_EVENTS_DB=path writes one of the
// present version: a new version adds a file, none is rewritten.
TEST(Recover, TheSecondVersionLoads) {
  const std::string folder = NewFolder();
  if (const char* path = std::getenv("RACKMARK_WRITE_EVENTS_DB")) {
    {
      auto stores = *OpenSqlStores(folder);
      Loop loop(OptionsFor(*stores.events, 8));
      ASSERT_TRUE(loop.Recover("boot", "boot/1").ok());
      loop.Start();
      for (int i = 0; i < 3; ++i) EndOne(loop, absl::StrCat("s", i));
      Do(loop, SubmitJob{MakeJob(1), "open"});
      loop.Stop();
      while (*stores.events->Trim(100) > 0) {
      }
    }
    fs::copy_file(folder + "/events.db", path);
    fs::remove(folder + "/events.db");
    fs::remove(folder + "/samples.db");
  }
  fs::copy_file(RACKMARK_STORE_TESTDATA "/events-v2.db", folder + "/events.db");
  auto stores = OpenSqlStores(folder);
  ASSERT_TRUE(stores.ok()) << stores.status();
  State state;
  const absl::Status status = RecoverState(*stores->events, state);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(stores->events->Snapshots()->size(), 2U);
  EXPECT_EQ(state.hard.jobs.size(), 1U);
  EXPECT_EQ(state.hard.submissions.size(), 4U);
  const auto jobs = stores->events->history().Jobs(10);
  ASSERT_EQ(jobs->size(), 3U);
  EXPECT_EQ(jobs->front().job_id(), 3U);
  const auto first = stores->events->history().Job(1);
  ASSERT_TRUE(first->has_value());
  EXPECT_EQ((*first)->job().job().source(), "the yaml");
  EXPECT_EQ((*first)->runs(1).verdict(), v1::VERDICT_CANCELLED);
}

}  // namespace
}  // namespace rackmark

// What only a disk can do wrong: power cuts at every point, full disks, foreign and damaged files.
#include "coordinator/store/sql_store.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "common/test_folder.h"
#include "coordinator/store/sqlite_copy.h"
#include "coordinator/store/sqlite_db.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string NewFolder() { return TestFolders::New("rm_sql"); }

std::string ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void WriteAll(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

v1::Event MakeEvent(uint64_t seq) {
  v1::Event event;
  event.set_format(1);
  event.set_seq(seq);
  event.mutable_node_changed()->set_reason(std::string(200, 'x'));
  return event;
}

// Events seq..seq+n-1.
std::vector<v1::Event> MakeEvents(uint64_t seq, uint64_t n) {
  std::vector<v1::Event> events;
  for (uint64_t i = 0; i < n; ++i) events.push_back(MakeEvent(seq + i));
  return events;
}

// The bytes behind it are never read: they are counted first.
std::string_view Huge() {
  static const char kByte = 'x';
  return {&kByte, size_t{1500} << 20};
}

TEST(SqlStore, ASnapshotThatNoRowHoldsIsSkippedAndTheLogGoesOn) {
  const std::string folder = NewFolder();
  {
    auto stores = *OpenSqlStores(folder);
    ASSERT_TRUE(stores.events->Append(MakeEvents(1, 3)).ok());
    EXPECT_EQ(stores.events->tail_events(), 3U);
    EXPECT_EQ(stores.events->PutSnapshot(Huge()).code(), absl::StatusCode::kOutOfRange);
    EXPECT_EQ(stores.events->tail_events(), 0U);  // not tried again at once
    EXPECT_TRUE(stores.events->Snapshots()->empty());
    EXPECT_TRUE(stores.events->Append(MakeEvents(4, 1)).ok());
    EXPECT_TRUE(stores.events->PutSnapshot("small").ok());
  }
  auto again = *OpenSqlStores(folder);
  EXPECT_EQ(again.events->last_seq(), 4U);
  EXPECT_EQ(again.events->Snapshots()->size(), 1U);
}

TEST(SqlStore, AValueThatCannotBeBoundIsAnError) {
  const std::string folder = NewFolder();
  auto stores = *OpenSqlStores(folder);
  auto db = *Database::OpenAgain(folder + "/events.db");
  auto insert = *db->Prepare("INSERT INTO snapshot (seq, crc32, payload) VALUES (?, ?, ?)");
  EXPECT_EQ(insert.Bind(1).Bind(2).BindBlob(Huge()).Run().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(insert.BindText(Huge()).Run().code(), absl::StatusCode::kOutOfRange);
  EXPECT_TRUE(insert.Bind(1).Bind(2).BindBlob("fits").Run().ok());
}

absl::StatusOr<uint64_t> CountEvents(const std::string& folder) {
  ASSIGN_OR_RETURN(auto stores, OpenSqlStores(folder));
  uint64_t n = 0;
  RETURN_IF_ERROR(stores.events->Load(1, [&](const v1::Event&) {
    ++n;
    return absl::OkStatus();
  }));
  EXPECT_EQ(n, stores.events->last_seq());
  return n;
}

// As a process leaves it that was killed: the file alone lacks what is in the log beside it.
TEST(SqlStore, FoldingTheLogInMakesTheFileWhole) {
  const std::string source = NewFolder();
  auto stores = *OpenSqlStores(source);
  ASSERT_TRUE(stores.events->Append(MakeEvents(1, 5)).ok());
  const auto killed = [&] {
    const std::string copy = NewFolder();
    for (const char* name : {"/events.db", "/events.db-wal"}) fs::copy(source + name, copy + name);
    return copy;
  };
  const std::string folded = killed(), moved = NewFolder();
  ASSERT_TRUE(FoldLog(folded + "/events.db").ok());
  fs::copy(folded + "/events.db", moved + "/events.db");
  EXPECT_EQ(*CountEvents(moved), 5U);

  const std::string read = killed();
  auto reader = *Database::OpenAgain(read + "/events.db");
  ASSERT_TRUE(reader->Execute("BEGIN").ok());
  auto count = *reader->Prepare("SELECT count(*) FROM event");
  ASSERT_TRUE(*count.Step());
  EXPECT_FALSE(FoldLog(read + "/events.db").ok());  // not whole while somebody reads from it
}

// A copy of the files as a power cut would leave them: no close, no checkpoint.
std::string Snapshot(const std::string& folder) {
  const std::string copy = NewFolder();
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".db-shm") continue;  // memory, not disk
    fs::copy_file(entry.path(), copy + "/" + entry.path().filename().string());
  }
  return copy;
}

TEST(SqlStore, WhatWasAppendedIsThereAfterAPowerCutAndTheClusterIsTheSame) {
  const std::string folder = NewFolder();
  auto stores = *OpenSqlStores(folder);
  EXPECT_EQ(stores.events->cluster_id().size(), 32U);
  uint64_t seq = 1;
  for (uint64_t turn = 1; turn <= 5; ++turn) {
    ASSERT_TRUE(stores.events->Append(MakeEvents(seq, turn)).ok());
    seq += turn;
    const std::string copy = Snapshot(folder);
    EXPECT_EQ(*CountEvents(copy), seq - 1);
    EXPECT_EQ(OpenSqlStores(copy)->events->cluster_id(), stores.events->cluster_id());
    fs::remove_all(copy);
  }
}

// The log cut at many points of the WAL: a whole number of turns must come back, never a part.
TEST(SqlStore, AnyCutOfTheLogLeavesWholeTurns) {
  const std::string folder = NewFolder();
  auto stores = *OpenSqlStores(folder);
  constexpr uint64_t kPerTurn = 3, kTurns = 6;
  for (uint64_t turn = 0; turn < kTurns; ++turn) {
    ASSERT_TRUE(stores.events->Append(MakeEvents(1 + turn * kPerTurn, kPerTurn)).ok());
  }
  const std::string copy = Snapshot(folder);
  const std::string wal = ReadAll(copy + "/events.db-wal");
  const std::string main = ReadAll(copy + "/events.db");
  ASSERT_GT(wal.size(), 4096U);
  uint64_t before = 0;
  for (size_t cut = 0; cut <= wal.size(); cut += 997) {
    WriteAll(copy + "/events.db", main);
    WriteAll(copy + "/events.db-wal", wal.substr(0, cut));
    fs::remove(copy + "/events.db-shm");
    const auto count = CountEvents(copy);
    ASSERT_TRUE(count.ok()) << "cut at " << cut << ": " << count.status();
    EXPECT_EQ(*count % kPerTurn, 0U) << "cut at " << cut;
    EXPECT_GE(*count, before) << "cut at " << cut;
    before = *count;
  }
  EXPECT_GT(before, 0U);
}

TEST(SqlStore, AFullDiskPoisonsAndLosesNothingThatWasCommitted) {
  const std::string folder = NewFolder();
  auto stores = *OpenSqlStores(folder);
  ASSERT_TRUE(stores.events->Append(MakeEvents(1, 2)).ok());
  // The kernel refuses to let files of this process grow: what a full disk looks like.
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  signal(SIGXFSZ, SIG_IGN);
  const rlimit tight = {fs::file_size(folder + "/events.db-wal"), old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
  const absl::Status full = stores.events->Append(MakeEvents(3, 100));
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  EXPECT_FALSE(full.ok());
  EXPECT_EQ(stores.events->Append(MakeEvents(3, 1)).code(), absl::StatusCode::kAborted);
  stores = {};
  EXPECT_EQ(*CountEvents(folder), 2U);
}

// Opens a folder with this events.db; the file must not change, and nothing may appear beside it.
std::string Refusal(const std::string& bytes) {
  const std::string folder = NewFolder();
  WriteAll(folder + "/events.db", bytes);
  const auto stores = OpenSqlStores(folder);
  EXPECT_FALSE(stores.ok());
  EXPECT_EQ(ReadAll(folder + "/events.db"), bytes);
  EXPECT_FALSE(fs::exists(folder + "/samples.db"));
  EXPECT_THAT(std::string(stores.status().message()), HasSubstr("events.db"));
  return std::string(stores.status().message());
}

// A closed, checkpointed database with n events.
std::string CleanDatabase(uint64_t n) {
  const std::string folder = NewFolder();
  {
    auto stores = *OpenSqlStores(folder);
    EXPECT_TRUE(stores.events->Append(MakeEvents(1, n)).ok());
  }
  EXPECT_FALSE(fs::exists(folder + "/events.db-wal"));
  return ReadAll(folder + "/events.db");
}

TEST(SqlStore, ForeignFilesAreRefusedUntouched) {
  EXPECT_THAT(Refusal("precious text of somebody"), HasSubstr("not a database"));
  EXPECT_THAT(Refusal(""), HasSubstr("not a database"));
  const std::string good = CleanDatabase(1);
  std::string other = good;
  other[68] = 'x';
  EXPECT_THAT(Refusal(other), HasSubstr("another application"));
  std::string newer = good;
  newer[63] = 9;
  EXPECT_THAT(Refusal(newer), HasSubstr("format version 9"));
}

TEST(SqlStore, DamagedFilesAreRefusedUntouched) {
  const std::string good = CleanDatabase(500);
  ASSERT_GT(good.size(), 8U * 4096);
  std::string torn = good;
  torn.replace(3 * 4096, 4096, 4096, '\x5a');
  EXPECT_THAT(Refusal(torn), HasSubstr("damaged"));
  EXPECT_THAT(Refusal(good.substr(0, good.size() / 2)), HasSubstr("damaged"));
}

TEST(SqlStore, AFlippedBitInAnEventIsFound) {
  std::string bytes = CleanDatabase(3);
  const size_t at = bytes.find("xxxxxxxx");
  ASSERT_NE(at, std::string::npos);
  bytes[at] = 'y';
  const std::string folder = NewFolder();
  WriteAll(folder + "/events.db", bytes);
  const auto count = CountEvents(folder);
  EXPECT_EQ(count.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(count.status().message()), HasSubstr("damaged"));
}

TEST(SqlStore, SamplesOfAnotherClusterAndSamplesWithoutEventsAreRefused) {
  const std::string a = NewFolder(), b = NewFolder();
  ASSERT_TRUE(OpenSqlStores(a).ok());
  ASSERT_TRUE(OpenSqlStores(b).ok());
  fs::copy_file(a + "/samples.db", b + "/samples.db", fs::copy_options::overwrite_existing);
  EXPECT_THAT(std::string(OpenSqlStores(b).status().message()), HasSubstr("another cluster"));
  fs::remove(b + "/events.db");
  EXPECT_THAT(std::string(OpenSqlStores(b).status().message()), HasSubstr("is not"));
  EXPECT_FALSE(fs::exists(b + "/events.db"));
}

// The first formats that were ever written must load for ever.
TEST(SqlStore, FirstFormatLoads) {
  const std::string folder = NewFolder();
  fs::copy_file(RACKMARK_TESTDATA "/events-v1.db", folder + "/events.db");
  fs::copy_file(RACKMARK_TESTDATA "/samples-v1.db", folder + "/samples.db");
  auto stores = OpenSqlStores(folder);
  ASSERT_TRUE(stores.ok()) << stores.status();
  std::vector<v1::Event> events;
  ASSERT_TRUE(stores->events
                  ->Load(1,
                         [&](const v1::Event& event) {
                           events.push_back(event);
                           return absl::OkStatus();
                         })
                  .ok());
  ASSERT_EQ(events.size(), 3U);
  EXPECT_EQ(events[0].cluster_created().cluster_id(), stores->events->cluster_id());
  EXPECT_EQ(events[1].leadership_taken().epoch(), 1U);
  EXPECT_EQ(events[2].run_judged().verdict(), v1::VERDICT_PASS);
  int chunks = 0;
  ASSERT_TRUE(stores->samples
                  ->ForEachChunk(17, 2,
                                 [&](const v1::Chunk& chunk) {
                                   ++chunks;
                                   const auto payload = UnpackChunk(chunk);
                                   EXPECT_TRUE(payload.ok()) << payload.status();
                                   EXPECT_EQ(payload->columns(0).value(2), 3.0);
                                   EXPECT_EQ(payload->requests(0).token_delta_ns_size(), 2);
                                   return absl::OkStatus();
                                 })
                  .ok());
  EXPECT_EQ(chunks, 2);
  EXPECT_EQ(*stores->samples->Watermark({17, 2, v1::STREAM_KIND_RANK, 0}), 2U);
  EXPECT_EQ(**stores->samples->GetReport(17), "report");
  // What was added since: a sum of what is there, kept from then on.
  uint64_t bytes = 0;
  ASSERT_TRUE(stores->samples
                  ->ForEachChunk(17, 2,
                                 [&](const v1::Chunk& chunk) {
                                   bytes += chunk.ByteSizeLong();
                                   return absl::OkStatus();
                                 })
                  .ok());
  EXPECT_EQ(*stores->samples->BytesOf(17, 2), bytes);
  EXPECT_EQ(*stores->samples->DropChunks(17, 1), 1U);
  EXPECT_LT(*stores->samples->BytesOf(17, 2), bytes);
  EXPECT_EQ(*stores->samples->DropChunks(17, 9), 1U);
  EXPECT_EQ(*stores->samples->BytesOf(17, 2), 0U);
}

// In version 2 a trigger counted each chunk that was put.
TEST(SqlStore, NoBytesAreCountedTwiceAfterVersion2) {
  const std::string folder = NewFolder();
  std::vector<v1::Chunk> chunks(2);
  for (uint64_t i = 0; i < chunks.size(); ++i) {
    v1::ChunkHeader& header = *chunks[i].mutable_header();
    header.set_run(1);
    header.set_attempt(1);
    header.set_kind(v1::STREAM_KIND_RANK);
    header.set_seq(i + 1);
  }
  const uint64_t one = chunks[0].ByteSizeLong();
  ASSERT_TRUE(OpenSqlStores(folder).ok());
  {
    auto db = *Database::OpenAgain(folder + "/samples.db");
    ASSERT_TRUE(db->Execute("CREATE TRIGGER chunk_put AFTER INSERT ON chunk BEGIN "
                            "INSERT OR IGNORE INTO chunk_bytes VALUES (new.run, new.attempt, 0); "
                            "UPDATE chunk_bytes SET bytes = bytes + length(new.payload) WHERE run "
                            "= new.run AND attempt = new.attempt; END; PRAGMA user_version = 2; "
                            "PRAGMA wal_checkpoint(TRUNCATE);")
                    .ok());
    auto put = *db->Prepare("INSERT INTO chunk VALUES (1, 1, ?, 0, 1, ?)");
    const std::string payload = chunks[0].SerializeAsString();  // bound, not copied
    put.Bind(uint64_t{v1::STREAM_KIND_RANK}).BindBlob(payload);
    ASSERT_TRUE(put.Run().ok());
  }
  auto stores = OpenSqlStores(folder);
  ASSERT_TRUE(stores.ok()) << stores.status();
  EXPECT_EQ(*stores->samples->BytesOf(1, 1), one);
  ASSERT_TRUE(stores->samples->PutChunks(chunks).ok());
  EXPECT_EQ(*stores->samples->BytesOf(1, 1), 2 * one);
}

}  // namespace
}  // namespace rackmark

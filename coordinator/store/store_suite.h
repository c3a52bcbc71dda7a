// What the suites share that every store must pass: memory, SQLite and PostgreSQL alike. For tests.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/test_folder.h"
#include "coordinator/store/memory_store.h"
#include "coordinator/store/pg_leadership.h"
#include "coordinator/store/pg_store.h"
#include "coordinator/store/pg_test_server.h"
#include "coordinator/store/sql_store.h"
#include "gtest/gtest.h"

namespace rackmark {

inline v1::Event MakeEvent(uint64_t seq) {
  v1::Event event;
  event.set_format(1);
  event.set_seq(seq);
  event.mutable_lease_ended()->set_lease_id(seq * 10);
  return event;
}

// Events seq..seq+n-1.
inline std::vector<v1::Event> MakeEvents(uint64_t seq, uint64_t n) {
  std::vector<v1::Event> events;
  for (uint64_t i = 0; i < n; ++i) events.push_back(MakeEvent(seq + i));
  return events;
}

inline v1::Chunk MakeChunk(uint64_t run, uint32_t stream, uint64_t seq,
                           const std::string& payload = "p") {
  v1::Chunk chunk;
  chunk.mutable_header()->set_run(run);
  chunk.mutable_header()->set_attempt(1);
  chunk.mutable_header()->set_kind(v1::STREAM_KIND_RANK);
  chunk.mutable_header()->set_stream(stream);
  chunk.mutable_header()->set_seq(seq);
  chunk.set_payload(payload);
  return chunk;
}

// Each makes empty stores, and opens them again where they last; missing with `why` if it cannot
// here.
struct MemoryMaker {
  std::optional<SqlStores> Make(std::string&) {
    return SqlStores{std::make_unique<MemoryEventStore>("c1"),
                     std::make_unique<MemorySampleStore>()};
  }
  static constexpr bool kLasts = false;
  SqlStores Again() { return {}; }
};

struct SqlMaker {
  std::optional<SqlStores> Make(std::string&) {
    folder = TestFolders::New("rm_store");
    return Again();
  }
  static constexpr bool kLasts = true;
  SqlStores Again() {
    auto stores = OpenSqlStores(folder);
    EXPECT_TRUE(stores.ok()) << stores.status();
    return *std::move(stores);
  }
  std::string folder;
};

struct PgMaker {
  std::optional<SqlStores> Make(std::string& why) {
    PgTestServer* const server = PgTestServer::Shared(why);
    if (server == nullptr) return std::nullopt;
    options = server->NewDatabase();
    auto opened = PgLeadership::Open(options);
    EXPECT_TRUE(opened.ok()) << opened.status();
    leadership = *std::move(opened);
    return Lead();
  }
  static constexpr bool kLasts = true;
  SqlStores Again() {
    auto stores = OpenPgStores(options, leadership->term());
    EXPECT_TRUE(stores.ok()) << stores.status();
    return *std::move(stores);
  }
  // What the next leader finds: all that was made before belongs to a term that is over.
  SqlStores NextTerm() {
    EXPECT_TRUE(leadership->Resign().ok());
    return Lead();
  }
  SqlStores Lead() {
    // Longer than any test: what a lease's end does has a suite of its own.
    const auto led = leadership->TryLead(SystemClock().Boottime(), 3600 * kSecond);
    EXPECT_TRUE(led.ok() && led->has_value()) << led.status();
    return Again();
  }
  PgOptions options;
  std::unique_ptr<Leadership> leadership;
};

using StoreMakers = testing::Types<MemoryMaker, SqlMaker, PgMaker>;

template <typename Maker>
class StoreSuiteBase : public testing::Test {
 protected:
  void SetUp() override {
    std::string why;
    auto made = maker_.Make(why);
    if (!made) GTEST_SKIP() << why;
    stores_ = *std::move(made);
  }
  std::vector<uint64_t> Seqs(uint64_t from) {
    std::vector<uint64_t> seqs;
    EXPECT_TRUE(stores_.events
                    ->Load(from,
                           [&](const v1::Event& event) {
                             EXPECT_EQ(event.lease_ended().lease_id(), event.seq() * 10);
                             seqs.push_back(event.seq());
                             return absl::OkStatus();
                           })
                    .ok());
    return seqs;
  }
  std::vector<StreamMark> Put(const std::vector<v1::Chunk>& chunks) {
    auto marks = stores_.samples->PutChunks(chunks);
    EXPECT_TRUE(marks.ok()) << marks.status();
    return *std::move(marks);
  }
  std::vector<std::string> Payloads(uint64_t run, uint32_t attempt = 1) {
    std::vector<std::string> payloads;
    EXPECT_TRUE(stores_.samples
                    ->ForEachChunk(run, attempt,
                                   [&](const v1::Chunk& chunk) {
                                     payloads.push_back(chunk.payload());
                                     return absl::OkStatus();
                                   })
                    .ok());
    return payloads;
  }

  Maker maker_;
  SqlStores stores_;
};

}  // namespace rackmark

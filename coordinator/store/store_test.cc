// The one suite that every store must pass: memory, SQLite and PostgreSQL alike.
#include "coordinator/store/store.h"

#include <string>
#include <vector>

#include "coordinator/store/store_suite.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::ElementsAre;

template <typename Maker>
class StoreSuite : public StoreSuiteBase<Maker> {};
TYPED_TEST_SUITE(StoreSuite, StoreMakers);

TYPED_TEST(StoreSuite, WhatCouldNotBeReadAgainIsNotWritten) {
  const std::vector<v1::Event> good = {MakeEvent(1)};
  ASSERT_TRUE(this->stores_.events->Append(good).ok());
  std::vector<v1::Event> bad = {MakeEvent(2), MakeEvent(3)};
  bad[1].mutable_job_cancel_requested()->set_reason("cut \xc3");
  EXPECT_EQ(this->stores_.events->Append(bad).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(this->stores_.events->last_seq(), 1U);
  EXPECT_THAT(this->Seqs(1), ElementsAre(1));
  v1::EndedJob ended;
  ended.mutable_job()->set_cancel_reason("\xff");
  const std::vector<v1::Event> next = {MakeEvent(2)};
  EXPECT_EQ(this->stores_.events->Append(next, {&ended, 1}).code(), absl::StatusCode::kInternal);
  EXPECT_TRUE(this->stores_.events->Append(next).ok());
  EXPECT_THAT(this->Seqs(1), ElementsAre(1, 2));
}

TYPED_TEST(StoreSuite, EventsComeBackInOrderFromAnySeq) {
  EXPECT_EQ(this->stores_.events->last_seq(), 0U);
  EXPECT_THAT(this->Seqs(1), ElementsAre());
  const std::vector<v1::Event> first = {MakeEvent(1), MakeEvent(2)};
  const std::vector<v1::Event> second = {MakeEvent(3)};
  ASSERT_TRUE(this->stores_.events->Append(first).ok());
  ASSERT_TRUE(this->stores_.events->Append({}).ok());
  ASSERT_TRUE(this->stores_.events->Append(second).ok());
  EXPECT_EQ(this->stores_.events->last_seq(), 3U);
  EXPECT_THAT(this->Seqs(1), ElementsAre(1, 2, 3));
  EXPECT_THAT(this->Seqs(3), ElementsAre(3));
  EXPECT_FALSE(this->stores_.events->cluster_id().empty());
}

TYPED_TEST(StoreSuite, AGapInSeqsIsOurBug) {
  const std::vector<v1::Event> late = {MakeEvent(2)};
  EXPECT_DEATH((void)this->stores_.events->Append(late), "CHECK");
}

TYPED_TEST(StoreSuite, TheVisitorsErrorStopsTheLoad) {
  const std::vector<v1::Event> events = {MakeEvent(1), MakeEvent(2)};
  ASSERT_TRUE(this->stores_.events->Append(events).ok());
  int seen = 0;
  const auto status = this->stores_.events->Load(1, [&](const v1::Event&) {
    ++seen;
    return absl::CancelledError("enough");
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(seen, 1);
}

TYPED_TEST(StoreSuite, WatermarkStopsAtAGapAndPassesItWhenFilled) {
  auto marks = this->Put({MakeChunk(1, 0, 1), MakeChunk(1, 0, 2), MakeChunk(1, 0, 4)});
  ASSERT_EQ(marks.size(), 1U);
  EXPECT_EQ(marks[0].seq, 2U);
  marks = this->Put({MakeChunk(1, 0, 3), MakeChunk(1, 1, 2)});
  ASSERT_EQ(marks.size(), 2U);
  EXPECT_EQ(marks[0].seq, 4U);
  EXPECT_EQ(marks[1].seq, 0U);  // stream 1 has no seq 1 yet
  const StreamKey key = {1, 1, v1::STREAM_KIND_RANK, 0};
  EXPECT_EQ(*this->stores_.samples->Watermark(key), 4U);
  EXPECT_EQ(*this->stores_.samples->Watermark({1, 2, v1::STREAM_KIND_RANK, 0}), 0U);
}

TYPED_TEST(StoreSuite, ASecondCopyOfAChunkChangesNothing) {
  this->Put({MakeChunk(1, 0, 1, "first")});
  const auto marks = this->Put({MakeChunk(1, 0, 1, "second")});
  ASSERT_EQ(marks.size(), 1U);
  EXPECT_EQ(marks[0].seq, 1U);
  std::vector<std::string> payloads;
  ASSERT_TRUE(this->stores_.samples
                  ->ForEachChunk(1, 1,
                                 [&](const v1::Chunk& chunk) {
                                   payloads.push_back(chunk.payload());
                                   return absl::OkStatus();
                                 })
                  .ok());
  EXPECT_THAT(payloads, ElementsAre("first"));
}

TYPED_TEST(StoreSuite, BytesAreThoseOfOneAttemptAndACopyAddsNone) {
  EXPECT_EQ(*this->stores_.samples->BytesOf(1, 1), 0U);
  this->Put({MakeChunk(1, 0, 1), MakeChunk(1, 1, 1), MakeChunk(2, 0, 1), MakeChunk(1, 0, 1)});
  EXPECT_EQ(*this->stores_.samples->BytesOf(1, 1),
            MakeChunk(1, 0, 1).ByteSizeLong() + MakeChunk(1, 1, 1).ByteSizeLong());
  EXPECT_EQ(*this->stores_.samples->BytesOf(1, 2), 0U);
}

TYPED_TEST(StoreSuite, ChunksComeInOrderOfStreamAndSeqAndOfOneAttemptOnly) {
  v1::Chunk other = MakeChunk(1, 0, 1, "other attempt");
  other.mutable_header()->set_attempt(2);
  v1::Chunk node = MakeChunk(1, 0, 1, "node");
  node.mutable_header()->set_kind(v1::STREAM_KIND_NODE);
  this->Put({node, MakeChunk(1, 1, 1, "1.1"), MakeChunk(1, 0, 2, "0.2"), other,
             MakeChunk(2, 0, 1, "other run"), MakeChunk(1, 0, 1, "0.1")});
  std::vector<std::string> payloads;
  ASSERT_TRUE(this->stores_.samples
                  ->ForEachChunk(1, 1,
                                 [&](const v1::Chunk& chunk) {
                                   payloads.push_back(chunk.payload());
                                   return absl::OkStatus();
                                 })
                  .ok());
  EXPECT_THAT(payloads, ElementsAre("0.1", "0.2", "1.1", "node"));
}

TYPED_TEST(StoreSuite, ReportsAreKeptByRunAndReplaced) {
  EXPECT_FALSE(this->stores_.samples->GetReport(7)->has_value());
  const std::string bytes("a\0b", 3);
  ASSERT_TRUE(this->stores_.samples->PutReport(7, bytes).ok());
  EXPECT_EQ(**this->stores_.samples->GetReport(7), bytes);
  ASSERT_TRUE(this->stores_.samples->PutReport(7, "").ok());
  EXPECT_EQ(**this->stores_.samples->GetReport(7), "");
}

// Fails the k-th append, as a disk would.
class FailingEventStore : public MemoryEventStore {
 public:
  explicit FailingEventStore(int fail_at) : MemoryEventStore("c1"), fail_at_(fail_at) {}

 private:
  absl::Status DoAppend(std::span<const v1::Event> events,
                        std::span<const v1::EndedJob> ended) override {
    if (++calls_ == fail_at_) return absl::InternalError("planted: fsync failed");
    return MemoryEventStore::DoAppend(events, ended);
  }
  const int fail_at_;
  int calls_ = 0;
};

TEST(PoisonTest, AfterOneFailedAppendEveryCallFails) {
  for (int k = 1; k <= 3; ++k) {
    FailingEventStore store(k);
    for (int i = 1; i <= 4; ++i) {
      const std::vector<v1::Event> events = {MakeEvent(store.last_seq() + 1)};
      const absl::Status status = store.Append(events);
      EXPECT_EQ(status.ok(), i < k) << "call " << i << " of " << k;
      EXPECT_EQ(absl::IsAborted(status), i > k);
    }
    EXPECT_EQ(store.last_seq(), static_cast<uint64_t>(k - 1));
    const auto load = store.Load(1, [](const v1::Event&) { return absl::OkStatus(); });
    EXPECT_EQ(load.code(), absl::StatusCode::kAborted);
  }
}

}  // namespace
}  // namespace rackmark

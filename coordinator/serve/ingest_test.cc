// Acks promise disk: never before the commit, never past a gap, never for what was not taken.
#include "coordinator/serve/ingest.h"

#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <string>

#include "common/series.h"
#include "coordinator/store/memory_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

// A sample store whose commits wait at a gate, or fail.
class GatedSamples : public MemorySampleStore {
 public:
  void SetGate(bool open) {
    std::lock_guard lock(mutex_);
    open_ = open;
    moved_.notify_all();
  }
  void WaitUntilSomebodyIsInside() {
    std::unique_lock lock(mutex_);
    moved_.wait(lock, [this] { return inside_; });
  }
  std::atomic<bool> fail = false;
  std::atomic<int> commits = 0;
  std::atomic<int> asked_bytes = 0;

 protected:
  absl::StatusOr<uint64_t> DoBytesOf(uint64_t run, uint32_t attempt) override {
    ++asked_bytes;
    return MemorySampleStore::DoBytesOf(run, attempt);
  }
  absl::StatusOr<std::vector<StreamMark>> DoPutChunks(std::span<const v1::Chunk> chunks) override {
    std::unique_lock lock(mutex_);
    inside_ = true;
    moved_.notify_all();
    moved_.wait(lock, [this] { return open_; });
    inside_ = false;
    ++commits;
    if (fail) return absl::InternalError("planted: fsync failed");
    return MemorySampleStore::DoPutChunks(chunks);
  }

 private:
  std::mutex mutex_;
  std::condition_variable moved_;
  bool open_ = true;
  bool inside_ = false;
};

v1::Chunk MakeChunk(uint64_t run, uint64_t seq, const std::string& cluster = "c1") {
  v1::ChunkPayload payload;
  PayloadBuilder(&payload).Add(SeriesId::kRankRss, 1, 42);
  v1::ChunkHeader header;
  header.set_cluster_id(cluster);
  header.set_run(run);
  header.set_attempt(1);
  header.set_kind(v1::STREAM_KIND_RANK);
  header.set_seq(seq);
  return *PackChunk(header, payload);
}

v1::SampleBatch Batch(std::initializer_list<v1::Chunk> chunks) {
  v1::SampleBatch batch;
  for (const v1::Chunk& chunk : chunks) *batch.add_chunks() = chunk;
  return batch;
}

using Answer = std::future<absl::StatusOr<v1::SampleAck>>;

struct Fixture {
  explicit Fixture(size_t bytes_max = 1 << 20, uint64_t run_bytes_max = 1 << 30,
                   Nanos gather = kMillisecond) {
    Ingest::Options options;
    options.store = &store;
    options.live = &live;
    options.cluster_id = "c1";
    options.knows = [](uint64_t run, uint32_t) -> absl::StatusOr<bool> {
      if (run == 99) return absl::ResourceExhaustedError("planted: the inbox is full");
      return run < 100;
    };
    options.nodes = [](uint64_t run, uint32_t) -> absl::StatusOr<std::vector<std::string>> {
      if (run == 50) return std::vector<std::string>();
      return std::vector<std::string>{"n1", "n2"};
    };
    options.fatal = [this](const absl::Status& status) { fatal.set_value(status); };
    options.gather = gather;
    options.bytes_max = bytes_max;
    options.run_bytes_max = run_bytes_max;
    ingest = std::make_unique<Ingest>(options);
  }
  Answer Offer(v1::SampleBatch batch, std::vector<std::string> certificate = {}) {
    auto promise = std::make_shared<std::promise<absl::StatusOr<v1::SampleAck>>>();
    Answer answer = promise->get_future();
    const absl::Status taken = ingest->Offer(
        std::move(batch), [promise](auto ack) { promise->set_value(std::move(ack)); },
        std::move(certificate));
    if (!taken.ok()) promise->set_value(taken);
    return answer;
  }
  v1::Watermark OneMark(v1::SampleBatch batch) {
    const auto ack = Offer(std::move(batch)).get();
    EXPECT_TRUE(ack.ok()) << ack.status();
    EXPECT_EQ(ack->watermarks_size(), 1);
    return ack->watermarks(0);
  }

  GatedSamples store;
  LiveBoard live;
  std::promise<absl::Status> fatal;
  std::unique_ptr<Ingest> ingest;
};

// The next run waits for it: were it gathered, this test would take an hour.
TEST(Ingest, TheLastChunkOfAStreamTakesAlongWhatWaits) {
  Fixture f(1 << 20, 1 << 30, 3600 * kSecond);
  Answer first = f.Offer(Batch({MakeChunk(1, 1)}));
  v1::Chunk last = MakeChunk(2, 1);
  last.mutable_header()->set_last(true);
  Answer second = f.Offer(Batch({last}));
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(second.get().ok());
  Answer third = f.Offer(Batch({MakeChunk(3, 1)}));
  EXPECT_EQ(third.wait_for(std::chrono::milliseconds(0)), std::future_status::timeout);
  EXPECT_EQ(f.store.commits, 1);
  f.ingest->Stop();
  EXPECT_FALSE(third.get().ok());
}

// One transaction takes the batches of many workers.
TEST(Ingest, WhatCannotBeSaidOfOneBatchIsNoTroubleOfTheOthers) {
  Fixture f(1 << 20, 1 << 30, 3600 * kSecond);
  Answer first = f.Offer(Batch({MakeChunk(1, 1)}));
  Answer unsaid = f.Offer(Batch({MakeChunk(2, 1), MakeChunk(99, 1)}));
  v1::Chunk last = MakeChunk(3, 1);
  last.mutable_header()->set_last(true);
  Answer third = f.Offer(Batch({last}));
  ASSERT_TRUE(first.get().ok());
  EXPECT_TRUE(absl::IsResourceExhausted(unsaid.get().status()));
  ASSERT_TRUE(third.get().ok());
  EXPECT_EQ(f.store.commits, 1);
  EXPECT_EQ(*f.store.Watermark({1, 1, v1::STREAM_KIND_RANK, 0}), 1U);
  EXPECT_EQ(*f.store.Watermark({2, 1, v1::STREAM_KIND_RANK, 0}), 0U);  // it comes again, whole
  EXPECT_EQ(*f.store.Watermark({3, 1, v1::STREAM_KIND_RANK, 0}), 1U);
}

// The first copy of a chunk is kept: another node's would be in its place for ever.
TEST(Ingest, WithACertificateANodeSendsForItsOwnRanksOnly) {
  Fixture f;
  const auto mark = [&](uint64_t run, uint32_t rank, std::vector<std::string> certificate) {
    v1::Chunk chunk = MakeChunk(run, 1);
    chunk.mutable_header()->set_stream(rank);
    const auto ack = f.Offer(Batch({chunk}), std::move(certificate)).get();
    EXPECT_TRUE(ack.ok()) << ack.status();
    return ack->watermarks(0);
  };
  EXPECT_THAT(mark(1, 0, {"n2"}).refused(), HasSubstr("rank 0 is on node n1"));
  EXPECT_THAT(mark(1, 0, {"n2"}).refused(), HasSubstr("certificate is for n2"));
  EXPECT_THAT(mark(1, 7, {"n2"}).refused(), HasSubstr("no rank 7"));
  EXPECT_EQ(*f.store.Watermark({1, 1, v1::STREAM_KIND_RANK, 0}), 0U);
  EXPECT_EQ(mark(1, 0, {"other", "n1"}).seq(), 1U);
  EXPECT_EQ(mark(1, 1, {"n2"}).seq(), 1U);
  EXPECT_EQ(mark(2, 0, {}).seq(), 1U);       // without mTLS nobody is named
  EXPECT_EQ(mark(50, 0, {"n2"}).seq(), 1U);  // an attempt that nobody judges any more
}

TEST(Ingest, NoAckBeforeTheCommit) {
  Fixture f;
  f.store.SetGate(false);
  Answer answer = f.Offer(Batch({MakeChunk(1, 1)}));
  f.store.WaitUntilSomebodyIsInside();
  EXPECT_EQ(answer.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  EXPECT_FALSE(f.live.Figures(1, 1, SystemClock().Monotonic()).has_value());
  f.store.SetGate(true);
  const auto ack = answer.get();
  ASSERT_TRUE(ack.ok());
  EXPECT_EQ(ack->watermarks(0).seq(), 1U);
  EXPECT_EQ(ack->watermarks(0).run_id(), 1U);
  f.ingest->Stop();
  EXPECT_EQ(f.live.Figures(1, 1, SystemClock().Monotonic())->rss_bytes(), 42U);
}

TEST(Ingest, AGapIsNotAckedPastAndASecondCopyIsAckedAgain) {
  Fixture f;
  EXPECT_EQ(f.OneMark(Batch({MakeChunk(1, 2), MakeChunk(1, 3)})).seq(), 0U);
  EXPECT_EQ(f.OneMark(Batch({MakeChunk(1, 1)})).seq(), 3U);
  EXPECT_EQ(f.OneMark(Batch({MakeChunk(1, 1)})).seq(), 3U);
}

TEST(Ingest, ForeignUnknownAndDamagedChunksAreRefusedByNameAndNotStored) {
  Fixture f;
  EXPECT_THAT(f.OneMark(Batch({MakeChunk(1, 1, "other")})).refused(), HasSubstr("another cluster"));
  EXPECT_THAT(f.OneMark(Batch({MakeChunk(100, 1)})).refused(), HasSubstr("run 100"));
  v1::Chunk damaged = MakeChunk(1, 1);
  damaged.mutable_payload()->back() ^= 1;
  EXPECT_THAT(f.OneMark(Batch({damaged})).refused(), HasSubstr("checksum"));
  EXPECT_EQ(*f.store.Watermark({1, 1, v1::STREAM_KIND_RANK, 0}), 0U);
  EXPECT_EQ(*f.store.Watermark({100, 1, v1::STREAM_KIND_RANK, 0}), 0U);
}

TEST(Ingest, WhatComesTogetherIsOneCommitAndEachSenderHearsOfItsOwn) {
  Fixture f;
  f.store.SetGate(false);
  Answer first = f.Offer(Batch({MakeChunk(1, 1)}));
  f.store.WaitUntilSomebodyIsInside();
  Answer a = f.Offer(Batch({MakeChunk(2, 1)}));
  Answer b = f.Offer(Batch({MakeChunk(3, 1), MakeChunk(200, 1)}));
  f.store.SetGate(true);
  ASSERT_TRUE(first.get().ok());
  const auto ack_a = a.get();
  const auto ack_b = b.get();
  EXPECT_EQ(f.store.commits, 2);
  ASSERT_EQ(ack_a->watermarks_size(), 1);
  EXPECT_EQ(ack_a->watermarks(0).run_id(), 2U);
  ASSERT_EQ(ack_b->watermarks_size(), 2);
  EXPECT_EQ(ack_b->watermarks(0).seq(), 1U);
  EXPECT_THAT(ack_b->watermarks(1).refused(), HasSubstr("run 200"));
}

TEST(Ingest, OverItsBoundItRefusesTheBatchAndCounts) {
  Fixture f(/*bytes_max=*/10);
  EXPECT_EQ(f.Offer(Batch({MakeChunk(1, 1)})).get().status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(f.ingest->refused(), 1U);
}

TEST(Ingest, OverItsQuotaARunsChunksAreRefusedByNameAndCounted) {
  const uint64_t two = 2 * MakeChunk(1, 1).ByteSizeLong();
  Fixture f(/*bytes_max=*/1 << 20, /*run_bytes_max=*/two);
  EXPECT_EQ(f.OneMark(Batch({MakeChunk(1, 1)})).seq(), 1U);
  for (int copies = 0; copies < 5; ++copies) {  // they take no room
    EXPECT_EQ(f.OneMark(Batch({MakeChunk(1, 1)})).refused(), "");
  }
  EXPECT_EQ(f.OneMark(Batch({MakeChunk(1, 2)})).seq(), 2U);
  EXPECT_EQ(f.ingest->over_quota(), 0U);
  EXPECT_THAT(f.OneMark(Batch({MakeChunk(1, 3)})).refused(), HasSubstr("its quota is"));
  EXPECT_EQ(f.ingest->over_quota(), 1U);
  // That it is over is remembered: the disk is not asked for each of the rest.
  const int asked = f.store.asked_bytes;
  EXPECT_THAT(f.OneMark(Batch({MakeChunk(1, 4)})).refused(), HasSubstr("its quota is"));
  EXPECT_EQ(f.store.asked_bytes, asked);
  EXPECT_EQ(f.ingest->over_quota(), 2U);
  EXPECT_EQ(*f.store.BytesOf(1, 1), two);
  EXPECT_EQ(f.OneMark(Batch({MakeChunk(2, 1)})).refused(), "");  // another run has its own
  // What a former process stored counts too.
  Ingest::Options options;
  options.store = &f.store;
  options.live = &f.live;
  options.cluster_id = "c1";
  options.knows = [](uint64_t, uint32_t) { return absl::StatusOr<bool>(true); };
  options.bytes_max = 1 << 20;
  options.run_bytes_max = two;
  f.ingest = std::make_unique<Ingest>(options);
  EXPECT_THAT(f.OneMark(Batch({MakeChunk(1, 3)})).refused(), HasSubstr("its quota is"));
}

TEST(Ingest, AFailedCommitIsFatalAndNotAcked) {
  Fixture f;
  f.store.fail = true;
  EXPECT_FALSE(f.Offer(Batch({MakeChunk(1, 1)})).get().ok());
  EXPECT_EQ(f.fatal.get_future().get().code(), absl::StatusCode::kInternal);
}

TEST(Ingest, WhatWaitsAtTheEndIsAnsweredUnavailable) {
  Fixture f;
  f.ingest->Stop();
  EXPECT_EQ(f.Offer(Batch({MakeChunk(1, 1)})).get().status().code(),
            absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace rackmark

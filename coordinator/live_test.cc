// Live figures from hand-made chunks: each number checked by hand, and each absence.
#include "coordinator/live.h"

#include "common/series.h"
#include "gtest/gtest.h"
#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

v1::Chunk Pack(const v1::ChunkPayload& payload, uint32_t stream = 0, uint64_t run = 1,
               uint32_t attempt = 1) {
  v1::ChunkHeader header;
  header.set_run(run);
  header.set_attempt(attempt);
  header.set_kind(v1::STREAM_KIND_RANK);
  header.set_stream(stream);
  header.set_seq(1);
  return *PackChunk(header, payload);
}

v1::ChunkPayload Tokens(Nanos from, int steps, Nanos gap, double each) {
  v1::ChunkPayload payload;
  PayloadBuilder builder(&payload);
  for (int i = 0; i < steps; ++i) builder.Add(SeriesId::kStepDecodeTokens, from + i * gap, each);
  return payload;
}

TEST(LiveBoard, NothingIsMissingNotZero) {
  LiveBoard board;
  EXPECT_FALSE(board.Figures(1, 1, 0).has_value());
  v1::ChunkPayload payload;
  PayloadBuilder(&payload).Add(SeriesId::kRankRss, 10, 100);
  board.Add(Pack(payload), 0);
  const auto live = board.Figures(1, 1, 0);
  ASSERT_TRUE(live.has_value());
  EXPECT_FALSE(live->has_output_tok_s());
  EXPECT_FALSE(live->has_ttft_p50_ms());
  EXPECT_FALSE(live->has_kv_blocks_used());
  EXPECT_EQ(live->rss_bytes(), 100U);
}

TEST(LiveBoard, TokensOverTheLastTwoSecondsOfRankZeroOnly) {
  LiveBoard board;
  board.Add(Pack(Tokens(0, 10, 100 * kMillisecond, 1)), 0);                // old: 0.0 .. 0.9 s
  board.Add(Pack(Tokens(10 * kSecond, 41, 100 * kMillisecond, 4)), 0);     // 10 .. 14 s
  board.Add(Pack(Tokens(10 * kSecond, 41, 100 * kMillisecond, 4), 1), 0);  // rank 1 says the same
  EXPECT_NEAR(board.Figures(1, 1, 0)->output_tok_s(), 40, 1e-9);
}

TEST(LiveBoard, MemoryIsTheSumOfRanksAndTheQueueIsRankZeros) {
  LiveBoard board;
  for (uint32_t rank = 0; rank < 2; ++rank) {
    v1::ChunkPayload payload;
    PayloadBuilder builder(&payload);
    builder.Add(SeriesId::kRankRss, 1, 50);
    builder.Add(SeriesId::kRankRss, 2, 100.0 * (rank + 1));
    builder.Add(SeriesId::kRequestsRunning, 2, 7 + rank);
    builder.Add(SeriesId::kRequestsWaiting, 2, 3 + rank);
    builder.Add(SeriesId::kKvBlocksUsed, 2, 11 + rank);
    board.Add(Pack(payload, rank), 0);
  }
  const auto live = board.Figures(1, 1, 0);
  EXPECT_EQ(live->rss_bytes(), 300U);
  EXPECT_EQ(live->requests_running(), 7);
  EXPECT_EQ(live->requests_waiting(), 3);
  EXPECT_EQ(live->kv_blocks_used(), 11);
}

v1::ChunkPayload Requests(int n) {
  v1::ChunkPayload payload;
  for (int i = 1; i <= n; ++i) {
    v1::RequestRecord* request = payload.add_requests();
    request->set_phase(v1::LOAD_PHASE_MEASURE);
    request->set_t_sched_ns(1000);
    request->set_t_first_token_ns(1000 + i * kMillisecond);
    request->set_finish(v1::FINISH_REASON_LENGTH);
  }
  return payload;
}

TEST(LiveBoard, TtftOfRecordsUnlessTheRankSendsSketches) {
  LiveBoard board;
  board.Add(Pack(Requests(100)), 0);
  EXPECT_NEAR(board.Figures(1, 1, 0)->ttft_p50_ms(), 50, 1);
  EXPECT_NEAR(board.Figures(1, 1, 0)->ttft_p95_ms(), 95, 1.5);
  EXPECT_EQ(board.Figures(1, 1, 0)->requests_done(), 100U);

  v1::ChunkPayload payload = Requests(1);
  QuantileSketch ttft;
  ttft.Add(200);
  payload.add_dictionary("ttft_ms");
  v1::Sketch* sketch = payload.add_sketches();
  sketch->set_relative_error(ttft.relative_error());
  sketch->set_first_bucket(ttft.first_bucket());
  for (const uint64_t n : ttft.counts()) sketch->add_counts(n);
  board.Add(Pack(payload), 0);
  EXPECT_NEAR(board.Figures(1, 1, 0)->ttft_p50_ms(), 200, 3);
  EXPECT_EQ(board.Figures(1, 1, 0)->requests_done(), 101U);
}

TEST(LiveBoard, ANewAttemptStartsAfreshAndAnOldOneIsHistory) {
  LiveBoard board;
  board.Add(Pack(Requests(10)), 0);
  // The next attempt is told, and nothing of it has come: what the last one did is not its doing.
  EXPECT_FALSE(board.Figures(1, 2, 0).has_value());
  board.Add(Pack(Requests(2), 0, 1, 2), 0);
  EXPECT_EQ(board.Figures(1, 2, 0)->requests_done(), 2U);
  board.Add(Pack(Requests(5), 0, 1, 1), 0);
  EXPECT_EQ(board.Figures(1, 2, 0)->requests_done(), 2U);
  EXPECT_FALSE(board.Figures(1, 1, 0).has_value());
}

// Rank 1 was stopped, then rank 0 too.
TEST(LiveBoard, WhatASilentRankSaidLastIsMissing) {
  LiveBoard board;
  v1::ChunkPayload payload = Tokens(0, 11, 100 * kMillisecond, 4);
  PayloadBuilder builder(&payload);
  builder.Add(SeriesId::kRankRss, 1, 50);
  builder.Add(SeriesId::kRequestsRunning, 1, 7);
  board.Add(Pack(payload, 0), 0);
  board.Add(Pack(payload, 1), 0);
  board.Add(Pack(payload, 0), kSecond);
  const auto fresh = board.Figures(1, 1, LiveBoard::kFreshFor);
  EXPECT_EQ(fresh->rss_bytes(), 100U);
  EXPECT_EQ(fresh->requests_running(), 7);
  const auto half = board.Figures(1, 1, LiveBoard::kFreshFor + 1);
  EXPECT_FALSE(half->has_rss_bytes());
  EXPECT_EQ(half->requests_running(), 7);
  EXPECT_TRUE(half->has_output_tok_s());
  const auto stale = board.Figures(1, 1, LiveBoard::kFreshFor + kSecond + 1);
  EXPECT_FALSE(stale->has_requests_running());
  EXPECT_FALSE(stale->has_output_tok_s());
  EXPECT_TRUE(stale->has_requests_done());
}

TEST(LiveBoard, HoldsTheRunsThatWereFedLastAndNoMore) {
  LiveBoard board;
  for (uint64_t run = 1; run <= LiveBoard::kRunsMax + 1; ++run) {
    board.Add(Pack(Requests(1), 0, run), 0);
  }
  EXPECT_FALSE(board.Figures(1, 1, 0).has_value());
  EXPECT_TRUE(board.Figures(2, 1, 0).has_value());
  EXPECT_TRUE(board.Figures(LiveBoard::kRunsMax + 1, 1, 0).has_value());
}

TEST(LiveBoard, AWildSketchIsLeftOut) {
  LiveBoard board;
  v1::ChunkPayload payload;
  payload.add_dictionary("ttft_ms");
  for (const int32_t bucket : {INT32_MIN, INT32_MAX, 5}) {
    v1::Sketch* sketch = payload.add_sketches();
    sketch->set_relative_error(0.01);
    sketch->set_first_bucket(bucket);
    sketch->add_counts(1);
  }
  board.Add(Pack(payload), 0);
  EXPECT_TRUE(board.Figures(1, 1, 0)->has_ttft_p50_ms());
}

}  // namespace
}  // namespace rackmark

#include "worker/rank/emitter.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <algorithm>

#include <array>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/frame.h"
#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

// The daemon's end: reads frames on a thread until the rank's end is closed.
class EmitterTest : public ::testing::Test {
 protected:
  EmitterTest() {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds_.data()), 0);
    pipe_ = std::make_unique<Pipe>(fds_[0], "boot/1");
    reader_ = std::thread([this] { Read(); });
  }
  ~EmitterTest() override {
    Finish();
    close(fds_[1]);
  }

  // All frames that the daemon got.
  const std::vector<v1::FromRank>& Finish() {
    if (reader_.joinable()) {
      emitter_.reset();
      pipe_->Flush().IgnoreError();
      close(fds_[0]);
      reader_.join();
    }
    return frames_;
  }

  void Read() {
    FrameReader reader;
    while (reader.ReadSome(fds_[1]).ok()) {
      while (auto payload = reader.Next()) {
        EXPECT_LT(payload->size(), 1U << 20);
        v1::FromRank frame;
        EXPECT_TRUE(frame.ParseFromString(*payload));
        frames_.push_back(std::move(frame));
      }
    }
  }

  std::array<int, 2> fds_{};
  std::unique_ptr<Pipe> pipe_;
  Recorder recorder_{1 << 18};
  std::unique_ptr<Emitter> emitter_;
  std::vector<v1::FromRank> frames_;
  std::thread reader_;
};

// Points of one series over all frames.
std::vector<std::pair<int64_t, double>> Points(const std::vector<v1::FromRank>& frames,
                                               std::string_view name) {
  std::vector<std::pair<int64_t, double>> out;
  for (const v1::FromRank& frame : frames) {
    for (const v1::Column& column : frame.samples().columns()) {
      if (frame.samples().dictionary(static_cast<int>(column.name())) != name) continue;
      EXPECT_TRUE(ForEachPoint(column, [&](int64_t t, double v) { out.emplace_back(t, v); }));
    }
  }
  return out;
}

TEST_F(EmitterTest, SendsEverythingInOrderCutBelowTheBoundThenTheEnd) {
  emitter_ = std::make_unique<Emitter>(pipe_.get(), &recorder_, &SystemClock());
  recorder_.Record(SeriesId::kStepHost, 1, -1);  // of an abandoned run: must not be sent
  emitter_->BeginRun(7, 2);
  constexpr int kPoints = 200'000;  // about 3.6 MB: several frames
  for (int i = 0; i < kPoints; ++i) {
    recorder_.Record(SeriesId::kStepHost, int64_t{i} << 40, i);
  }
  ASSERT_TRUE(emitter_->EndRun().ok());
  recorder_.Record(SeriesId::kStepHost, 1, -2);  // after the end: must not be sent
  const auto& frames = Finish();
  const auto points = Points(frames, "step.host");
  ASSERT_EQ(points.size(), static_cast<size_t>(kPoints));
  for (int i = 0; i < kPoints; ++i) {
    ASSERT_EQ(points[static_cast<size_t>(i)].first, int64_t{i} << 40);
    ASSERT_EQ(points[static_cast<size_t>(i)].second, i);
  }
  EXPECT_GT(frames.size(), 3U);
  // Only a sign of life may come after it, if this machine was slow.
  const auto end = std::find_if(frames.begin(), frames.end(),
                                [](const v1::FromRank& frame) { return frame.has_samples_end(); });
  ASSERT_NE(end, frames.end());
  EXPECT_EQ(end->samples_end().run_id(), 7U);
  EXPECT_EQ(end->samples_end().attempt(), 2U);
  EXPECT_EQ(end->identity().incarnation(), "boot/1");
  EXPECT_TRUE(std::none_of(end + 1, frames.end(), [](const v1::FromRank& frame) {
    return frame.has_samples() || frame.has_samples_end();
  }));
  EXPECT_FALSE(Points(frames, "rank.rss").empty());
  EXPECT_FALSE(Points(frames, "rank.cpu").empty());
}

TEST_F(EmitterTest, RequestsAndTheirSketchTravel) {
  std::vector<Arrival> schedule;
  for (int i = 0; i < 500; ++i) schedule.push_back({i * kMillisecond, {8, 400}});
  auto table = RequestTable::Create(schedule, kSecond);
  ASSERT_TRUE(table.ok());
  auto log = std::make_shared<RequestLog>(*std::move(table));
  emitter_ = std::make_unique<Emitter>(pipe_.get(), &recorder_, &SystemClock());
  emitter_->BeginRun(1, 1);
  emitter_->WatchRequests(log);
  for (size_t i = 0; i < schedule.size(); ++i) {
    const Nanos sched = log->table().t_sched(i);
    log->table().Issue(i, sched + 1);
    for (int token = 0; token < 400; ++token) {
      log->table().Token(i, sched + (10 + token) * kMillisecond);
    }
    log->End(i, sched + kSecond, v1::FINISH_REASON_LENGTH);
  }
  ASSERT_TRUE(emitter_->EndRun().ok());
  uint64_t next = 0;
  std::map<std::string, QuantileSketch> sketches;
  for (const v1::FromRank& frame : Finish()) {
    for (const v1::RequestRecord& record : frame.samples().requests()) {
      EXPECT_EQ(record.index(), next++);
      EXPECT_EQ(record.token_delta_ns_size(), 399);
      EXPECT_EQ(record.phase(), v1::LOAD_PHASE_MEASURE);
    }
    for (const v1::Sketch& s : frame.samples().sketches()) {
      const QuantileSketch part(s.relative_error(), s.zero_count(), s.first_bucket(),
                                {s.counts().begin(), s.counts().end()});
      EXPECT_TRUE(sketches[frame.samples().dictionary(static_cast<int>(s.name()))].Merge(part));
    }
  }
  EXPECT_EQ(next, 500U);
  const auto expect = [&](std::string_view name, uint64_t count, double median) {
    const QuantileSketch& sketch = sketches[std::string(name)];
    EXPECT_EQ(sketch.count(), count) << name;
    EXPECT_NEAR(sketch.Quantile(0.5).value_or(-1), median, 0.02 * median) << name;
  };
  EXPECT_EQ(sketches.size(), 4U);
  expect(kTtftSketch, 500, 10);
  expect(kItlSketch, 500 * 399, 1);
  expect(kTpotSketch, 500, 1);
  expect(kE2eSketch, 500, 409);
}

TEST(LiveSketchesTest, ACutRequestCountsForWhatItShowed) {
  v1::RequestRecord cut;
  cut.set_finish(v1::FINISH_REASON_UNFINISHED);
  cut.set_t_sched_ns(0);
  LiveSketches sketches;
  sketches.Add(cut);  // without a token: nothing is known
  v1::ChunkPayload payload;
  sketches.MoveTo(&payload);
  EXPECT_EQ(payload.sketches_size(), 0);
  cut.set_t_first_token_ns(2 * kMillisecond);
  cut.add_token_delta_ns(kMillisecond);
  cut.set_t_last_ns(3 * kMillisecond);
  cut.set_output_tokens(2);
  sketches.Add(cut);
  sketches.MoveTo(&payload);
  EXPECT_EQ(std::vector<std::string>(payload.dictionary().begin(), payload.dictionary().end()),
            (std::vector<std::string>{"ttft_ms", "itl_ms"}));
  // What was moved is gone.
  v1::ChunkPayload next;
  sketches.MoveTo(&next);
  EXPECT_EQ(next.sketches_size(), 0);
}

// The runner's calls return although the daemon reads nothing at all.
TEST(EmitterTestAlone, ADaemonThatDoesNotReadHoldsUpNobody) {
  std::array<int, 2> fds{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
  Pipe pipe(fds[0], "boot/1");
  Recorder recorder;
  auto emitter = std::make_unique<Emitter>(&pipe, &recorder, &SystemClock());
  emitter->BeginRun(1, 1);
  const auto send_status = [&] {
    v1::FromRank frame;
    frame.mutable_status()->set_phase(v1::RANK_PHASE_MEASURING);
    return pipe.Send(std::move(frame));
  };
  // More than any pipe holds. Full when a byte more would block.
  for (int i = 0; i < 200'000; ++i) recorder.Record(SeriesId::kStepHost, int64_t{i} << 40, i);
  int free = 1;
  while (free != 0) {
    pollfd writable{fds[0], POLLOUT, 0};
    free = poll(&writable, 1, 10);
  }
  EXPECT_TRUE(send_status().ok());
  emitter->WatchRequests(nullptr);
  v1::Identity identity;
  identity.set_protocol_min(1);
  identity.set_protocol_max(1);
  EXPECT_TRUE(pipe.Heard(identity).ok());  // the dead-man timer's thread
  emitter->AbandonRun();
  emitter->BeginRun(2, 1);
  EXPECT_TRUE(send_status().ok());
  close(fds[1]);
  EXPECT_FALSE(pipe.Flush().ok());
  emitter.reset();
  close(fds[0]);
}

TEST_F(EmitterTest, OverflowIsReportedNotHidden) {
  Recorder small(4);
  emitter_ = std::make_unique<Emitter>(pipe_.get(), &small, &SystemClock());
  emitter_->BeginRun(1, 1);
  emitter_->AbandonRun();  // nobody drains now
  for (int i = 0; i < 10; ++i) small.Record(SeriesId::kStepHost, i, i);
  EXPECT_EQ(small.TakeDropped().results, 6U);
  emitter_->BeginRun(2, 1);
  // Faster than the 100 ms tick, so the ring is full for certain.
  for (int i = 0; i < 100'000; ++i) small.Record(SeriesId::kStepHost, i, i);
  ASSERT_TRUE(emitter_->EndRun().ok());
  uint64_t dropped = 0;
  for (const v1::FromRank& frame : Finish()) dropped += frame.samples().dropped_results();
  EXPECT_EQ(dropped + Points(frames_, "step.host").size(), 100'000U);
  EXPECT_GT(dropped, 0U);
}

TEST_F(EmitterTest, WhatAFailedRunHadRecordedIsKept) {
  emitter_ = std::make_unique<Emitter>(pipe_.get(), &recorder_, &SystemClock());
  emitter_->BeginRun(1, 1);
  recorder_.Record(SeriesId::kStepHost, 1, 1);
  emitter_->AbandonRun();
  recorder_.Record(SeriesId::kStepHost, 2, 2);
  emitter_->AbandonRun();  // of no run: nothing leaves
  const auto& frames = Finish();
  EXPECT_EQ(Points(frames, "step.host").size(), 1U);
  for (const v1::FromRank& frame : frames) EXPECT_FALSE(frame.has_samples_end());
}

TEST_F(EmitterTest, ADeadDaemonIsAnErrorNotASignal) {
  emitter_ = std::make_unique<Emitter>(pipe_.get(), &recorder_, &SystemClock());
  emitter_->BeginRun(1, 1);
  shutdown(fds_[1], SHUT_RDWR);
  recorder_.Record(SeriesId::kStepHost, 1, 1);
  EXPECT_EQ(emitter_->EndRun().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace rackmark

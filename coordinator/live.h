// Figures of runs that are being measured, for the progress view (WatchJob): soft, rounded by
// sketches, made of chunks as they are stored, never part of a report. Thread-safe; bounded to the
// runs that were fed last.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "common/sketch.h"
#include "common/time.h"
#include "rackmark/v1/client_api.pb.h"
#include "rackmark/v1/sample.pb.h"

namespace rackmark {

class LiveBoard {
 public:
  static constexpr size_t kRunsMax = 64;
  static constexpr Nanos kWindow = 2 * kSecond;
  static constexpr size_t kWindowPointsMax = 100'000;
  // Ranks at work deliver once a second; what is older says nothing of now.
  static constexpr Nanos kFreshFor = 5 * kSecond;

  // A chunk that has just been stored, at `now` (CLOCK_MONOTONIC). What cannot be unpacked is left
  // out.
  void Add(const v1::Chunk& chunk, Nanos now);
  // Missing until the attempt's first chunk; within it, each figure is missing until it is known,
  // and when the rank that said it has been silent for longer than kFreshFor. Counts and latencies
  // are of all the run so far and stay.
  // output_tok_s: tokens of the last 2 s of rank 0's samples, that is the sequences that decoded a
  // token in each step, and the first tokens of the requests that have ended since.
  std::optional<v1::LiveFigures> Figures(uint64_t run, uint32_t attempt, Nanos now) const;

 private:
  struct RunFigures {
    uint32_t attempt = 0;
    uint64_t touched = 0;
    std::optional<Nanos> first_step;
    Nanos newest = 0;
    std::deque<std::pair<Nanos, double>> tokens;  // by time of arrival here, about sorted
    QuantileSketch ttft_ms;
    bool ttft_from_sketches = false;
    uint64_t requests_done = 0;
    std::optional<double> running, waiting, kv_blocks;
    std::map<uint32_t, double> rss;      // by rank
    std::map<uint32_t, Nanos> heard_at;  // by rank, by our clock
    bool IsFresh(uint32_t rank, Nanos now) const;
  };
  RunFigures& FiguresFor(const v1::ChunkHeader& header);
  static void AddColumns(RunFigures& figures, uint32_t stream, const v1::ChunkPayload& payload);
  static void AddRequests(RunFigures& figures, const v1::ChunkPayload& payload);
  static void AddSketches(RunFigures& figures, const v1::ChunkPayload& payload);
  static void AddTokens(RunFigures& figures, Nanos t, double count);

  mutable std::mutex mutex_;
  uint64_t clock_ = 0;
  std::map<uint64_t, RunFigures> runs_;
};

}  // namespace rackmark

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

  // A chunk that has just been stored. What cannot be unpacked is left out.
  void Add(const v1::Chunk& chunk);
  // Missing until the run's first chunk; within it, each figure is missing until it is known.
  // output_tok_s: tokens of the last 2 s of rank 0's samples, that is the sequences that decoded a
  // token in each step, and the first tokens of the requests that have ended since.
  std::optional<v1::LiveFigures> Figures(uint64_t run) const;

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
    std::map<uint32_t, double> rss;  // by rank
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

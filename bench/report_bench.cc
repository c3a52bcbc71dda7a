// How long a report of many samples takes: packed chunks -> RunSummary -> verdict -> JSON and HTML,
// on one thread, with the memory that it needs beside what the packed chunks take.
//
//   report_bench [millions of samples, default 10] [turns, default 5]
//
// The samples are those of a serving gang of 8 ranks: per step 8 series on every rank, 4 more on
// rank 0, and 24 all-reduces of 3 values each, with noise in every value and stamp; telemetry;
// requests with the gaps of their tokens. Nothing is constant, so that packing cannot cheat.
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "common/random.h"
#include "common/status.h"
#include "common/time.h"
#include "coordinator/reporter.h"
#include "report/judge.h"
#include "report/render.h"
#include "report/summarize.h"
#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

constexpr uint32_t kRanks = 8;
constexpr int kReduces = 24;  // two for each of 12 layers
constexpr int kBatch = 16;
constexpr Nanos kStep = 10 * kMillisecond;
constexpr Nanos kT0 = 1000 * kSecond;
constexpr size_t kChunkRaw = 256 << 10;  // about where the daemon seals

double Seconds(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// Of this process since the last call with reset, in MiB.
double PeakMemory(bool reset) {
  if (reset) std::ofstream("/proc/self/clear_refs") << "5";
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::atof(line.c_str() + 6) / 1024;
  }
  return 0;
}

// One rank's stream, sealed as it grows.
class Stream {
 public:
  Stream(uint32_t rank, std::vector<v1::Chunk>* to) : rank_(rank), random_(7, rank), to_(to) {
    Open();
  }
  // A value about `mean`, never twice the same.
  double About(double mean) { return mean * (0.8 + 0.4 * random_.Uniform()); }
  Nanos Soon(Nanos t) { return t + static_cast<Nanos>(random_.Between(0, 50'000)); }
  void Add(SeriesId id, Nanos t, double value) {
    builder_->Add(id, t, value);
    ++points_;
    bytes_ += 11;
  }
  v1::ChunkPayload& payload() { return payload_; }
  void SealIfFull() {
    if (bytes_ >= kChunkRaw) Seal(false);
  }
  void Seal(bool last) {
    v1::ChunkHeader header;
    header.set_run(1);
    header.set_attempt(1);
    header.set_kind(v1::STREAM_KIND_RANK);
    header.set_stream(rank_);
    header.set_seq(++seq_);
    header.set_last(last);
    header.set_node_id(1);
    header.set_boot_id("boot");
    auto chunk = PackChunk(header, payload_);
    RACKMARK_CHECK(chunk.ok());
    to_->push_back(*std::move(chunk));
    Open();
  }
  uint64_t points() const { return points_; }

 private:
  void Open() {
    builder_.reset();
    payload_.Clear();
    builder_.emplace(&payload_);
    bytes_ = 0;
  }
  uint32_t rank_;
  Random random_;
  std::vector<v1::Chunk>* to_;
  v1::ChunkPayload payload_;
  std::optional<PayloadBuilder> builder_;
  size_t bytes_ = 0;
  uint64_t seq_ = 0, points_ = 0;
};

void AddStep(Stream& s, bool leader, Nanos end, bool prefills) {
  for (int i = 0; i < kReduces; ++i) {
    const Nanos t = s.Soon(end - kStep + (i + 1) * kStep / (kReduces + 1));
    s.Add(SeriesId::kAllreduceBytes, t, 4096.0 * (prefills ? kBatch * 8 : kBatch));
    s.Add(SeriesId::kAllreduceWait, t, s.About(2e-5));
    s.Add(SeriesId::kAllreduceTransfer, t, s.About(6e-5));
  }
  const Nanos t = s.Soon(end);
  s.Add(SeriesId::kStepCompute, t, s.About(6e-3));
  s.Add(SeriesId::kStepCollectiveWait, t, s.About(5e-4));
  s.Add(SeriesId::kStepCollectiveTransfer, t, s.About(1.4e-3));
  s.Add(SeriesId::kStepPlanWait, t, s.About(2e-5));
  s.Add(SeriesId::kStepHost, t, s.About(1e-4));
  s.Add(SeriesId::kStepDecodeTokens, t, kBatch);
  s.Add(SeriesId::kStepPrefillTokens, t, prefills ? 128 : 0);
  s.Add(SeriesId::kStepLateness, t, s.About(3e-4));
  if (!leader) return;
  s.Add(SeriesId::kRequestsRunning, t, s.About(kBatch));
  s.Add(SeriesId::kRequestsWaiting, t, s.About(3));
  s.Add(SeriesId::kKvBlocksUsed, t, s.About(800));
  s.Add(SeriesId::kWastedSlots, t, 0);
}

void AddRequest(Stream& s, uint64_t index, Nanos sched) {
  v1::RequestRecord& r = *s.payload().add_requests();
  r.set_index(index);
  r.set_phase(v1::LOAD_PHASE_MEASURE);
  r.set_t_sched_ns(sched);
  r.set_t_issue_ns(s.Soon(sched));
  Nanos t = s.Soon(sched + 40 * kMillisecond);
  r.set_t_first_token_ns(t);
  constexpr uint32_t kTokens = 128;
  for (uint32_t i = 1; i < kTokens; ++i) {
    const Nanos gap = s.Soon(kStep);
    r.add_token_delta_ns(gap);
    t += gap;
  }
  r.set_t_last_ns(t);
  r.set_t_end_ns(t);
  r.set_prompt_tokens(128);
  r.set_output_tokens(kTokens);
  r.set_output_tokens_planned(kTokens);
  r.set_finish(v1::FINISH_REASON_LENGTH);
}

struct Made {
  std::vector<v1::Chunk> chunks;
  v1::RunSummary known;
  uint64_t points = 0, requests = 0, packed_bytes = 0;
};

Made Make(double millions) {
  Made made;
  const auto steps = static_cast<int64_t>(millions * 1e6 / (kRanks * (8 + 3 * kReduces) + 4));
  const Nanos window = steps * kStep;
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    Stream s(rank, &made.chunks);
    for (const auto& [id, value] :
         {std::pair(SeriesId::kReadBandwidth, 5e9),
          std::pair(SeriesId::kInstrumentNsPerSample, 30.),
          std::pair(SeriesId::kVerifyChecked, 100.), std::pair(SeriesId::kVerifyWrong, 0.)}) {
      s.Add(id, kT0 - kSecond, value);
    }
    if (rank == 0) {
      s.Add(SeriesId::kWindowStart, kT0, 1);
      s.Add(SeriesId::kWindowEnd, kT0 + window, 1);
      s.Add(SeriesId::kFloorBytesPerStep, kT0, 1e7);
      s.Add(SeriesId::kFloorBytesPerToken, kT0, 1e4);
    }
    for (int64_t step = 0; step < steps; ++step) {
      const Nanos end = kT0 + (step + 1) * kStep;
      AddStep(s, rank == 0, end, step % 8 == 0);
      if (step % 100 == 0) s.Add(SeriesId::kRankRss, end, s.About(1e9));
      // As many requests as keep the batch full of 128 tokens each.
      if (rank == 0 && step % 8 == 0 && end + 2 * kSecond < kT0 + window) {
        AddRequest(s, made.requests++, end);
      }
      s.SealIfFull();
    }
    s.Seal(true);
    made.points += s.points();
  }
  for (const v1::Chunk& chunk : made.chunks) made.packed_bytes += chunk.payload().size();
  made.known.set_run_id(1);
  made.known.set_attempt(1);
  v1::ServeWorkload& serve = *made.known.mutable_spec()->mutable_serve();
  serve.set_model("tiny");
  serve.set_tensor_parallel(kRanks);
  serve.mutable_load()->set_requests_per_second(12.5);
  serve.mutable_load()->set_duration_ns(window);
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    v1::RankPlace& place = *made.known.mutable_placement()->add_ranks();
    place.set_rank(rank);
    place.set_node_id(1);
    place.set_node("a");
    place.set_device(rank);
  }
  return made;
}

struct Turn {
  double take = 0, finish = 0, render = 0;  // CPU seconds of this thread
  double wall = 0, wall_product = 0;
  double peak = 0;
  size_t json = 0, html = 0;
};

Turn Measure(const Made& made) {
  Turn turn;
  const double before = PeakMemory(true);
  const double wall = Seconds(CLOCK_MONOTONIC);
  const double start = Seconds(CLOCK_THREAD_CPUTIME_ID);
  RunSummarizer summarizer;
  for (const v1::Chunk& chunk : made.chunks) RACKMARK_CHECK(summarizer.AddChunk(chunk).ok());
  const double taken = Seconds(CLOCK_THREAD_CPUTIME_ID);
  v1::JobSummary job;
  *job.add_runs() = summarizer.Finish(FactsFrom(made.known));
  Judge(*job.mutable_runs(0));
  const double finished = Seconds(CLOCK_THREAD_CPUTIME_ID);
  turn.json = RenderJson(job).size();
  turn.html = RenderHtml(job).size();
  turn.render = Seconds(CLOCK_THREAD_CPUTIME_ID) - finished;
  turn.finish = finished - taken;
  turn.take = taken - start;
  turn.wall = Seconds(CLOCK_MONOTONIC) - wall;
  turn.peak = PeakMemory(false) - before;
  RACKMARK_CHECK(job.runs(0).samples() == made.points + made.requests);
  RACKMARK_CHECK(job.runs(0).serve().requests_completed() == made.requests);
  // The same as the coordinator does it, its threads included.
  const double product = Seconds(CLOCK_MONOTONIC);
  const auto summary = SummarizeWithReport(made.known, [&](const SampleStore::ChunkVisitor& visit) {
    for (const v1::Chunk& chunk : made.chunks) RETURN_IF_ERROR(visit(chunk));
    return absl::OkStatus();
  });
  turn.wall_product = Seconds(CLOCK_MONOTONIC) - product;
  RACKMARK_CHECK(summary.ok());
  RACKMARK_CHECK(summary->serve().output_tokens() == job.runs(0).serve().output_tokens());
  return turn;
}

}  // namespace
}  // namespace rackmark

int main(int argc, char** argv) {
  using namespace rackmark;
  const double millions = argc > 1 ? std::atof(argv[1]) : 10;
  const int turns = argc > 2 ? std::atoi(argv[2]) : 5;
  const Made made = Make(millions);
  std::printf(
      "%.2f million points, %zu requests of 128 tokens, %zu chunks, %.1f MiB packed (%.2f "
      "bytes a point)\n",
      static_cast<double>(made.points) / 1e6, static_cast<size_t>(made.requests),
      made.chunks.size(), static_cast<double>(made.packed_bytes) / (1 << 20),
      static_cast<double>(made.packed_bytes) / static_cast<double>(made.points));
  std::vector<double> total;
  for (int i = 0; i < turns; ++i) {
    const Turn t = Measure(made);
    total.push_back(t.take + t.finish + t.render);
    std::printf(
        "CPU s: chunks %.3f, summary %.3f, JSON and HTML %.3f, all %.3f; wall %.3f, with the "
        "coordinator's threads %.3f; memory +%.0f MiB; %zu + %zu KiB\n",
        t.take, t.finish, t.render, total.back(), t.wall, t.wall_product, t.peak, t.json >> 10,
        t.html >> 10);
  }
  std::sort(total.begin(), total.end());
  std::printf("median %.3f CPU s: %.0f ns a point; goal 2 s for 10 million\n",
              total[total.size() / 2],
              total[total.size() / 2] / static_cast<double>(made.points) * 1e9);
  return 0;
}

#include "coordinator/live.h"

#include <algorithm>
#include <string>
#include <vector>

#include "common/series.h"
#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

constexpr std::string_view kTtftSketch = "ttft_ms";
// Beyond every ns and every year at 1 %; a wilder bucket would make the sketch grow to reach it.
constexpr int32_t kBucketBound = 4096;

std::optional<double> LastValue(const v1::Column& column) {
  if (column.value_size() == 0) return std::nullopt;
  return column.value(column.value_size() - 1);
}

}  // namespace

LiveBoard::RunFigures& LiveBoard::FiguresFor(const v1::ChunkHeader& header) {
  RunFigures& figures = runs_[header.run()];
  if (figures.attempt != header.attempt()) {
    figures = RunFigures();
    figures.attempt = header.attempt();
  }
  figures.touched = ++clock_;
  if (runs_.size() > kRunsMax) {
    runs_.erase(std::min_element(runs_.begin(), runs_.end(), [](const auto& a, const auto& b) {
      return a.second.touched < b.second.touched;
    }));
  }
  return figures;
}

bool LiveBoard::RunFigures::IsFresh(uint32_t rank, Nanos now) const {
  const auto heard = heard_at.find(rank);
  return heard != heard_at.end() && now - heard->second <= kFreshFor;
}

void LiveBoard::Add(const v1::Chunk& chunk, Nanos now) {
  const v1::ChunkHeader& header = chunk.header();
  if (header.kind() != v1::STREAM_KIND_RANK) return;
  const auto payload = UnpackChunk(chunk);
  if (!payload.ok()) return;
  std::lock_guard lock(mutex_);
  const auto it = runs_.find(header.run());
  if (it != runs_.end() && header.attempt() < it->second.attempt) return;  // history
  RunFigures& figures = FiguresFor(header);
  figures.heard_at[header.stream()] = now;
  AddColumns(figures, header.stream(), *payload);
  AddSketches(figures, *payload);
  AddRequests(figures, *payload);
}

void LiveBoard::AddTokens(RunFigures& figures, Nanos t, double count) {
  if (!figures.first_step || t < *figures.first_step) figures.first_step = t;
  figures.newest = std::max(figures.newest, t);
  figures.tokens.emplace_back(t, count);
  while (!figures.tokens.empty() && (figures.tokens.front().first <= figures.newest - kWindow ||
                                     figures.tokens.size() > kWindowPointsMax)) {
    figures.tokens.pop_front();
  }
}

void LiveBoard::AddColumns(RunFigures& figures, uint32_t stream, const v1::ChunkPayload& payload) {
  for (const v1::Column& column : payload.columns()) {
    if (column.name() >= static_cast<uint32_t>(payload.dictionary_size())) continue;
    const auto id = FindSeries(payload.dictionary(static_cast<int>(column.name())));
    const auto last = LastValue(column);
    if (!id || !last) continue;
    if (*id == SeriesId::kRankRss) figures.rss[stream] = *last;
    if (stream != 0) continue;
    if (*id == SeriesId::kRequestsRunning) figures.running = *last;
    if (*id == SeriesId::kRequestsWaiting) figures.waiting = *last;
    if (*id == SeriesId::kKvBlocksUsed) figures.kv_blocks = *last;
    if (*id == SeriesId::kStepDecodeTokens) {
      ForEachPoint(column, [&](int64_t t, double value) { AddTokens(figures, t, value); });
    }
  }
}

void LiveBoard::AddSketches(RunFigures& figures, const v1::ChunkPayload& payload) {
  for (const v1::Sketch& sketch : payload.sketches()) {
    if (sketch.name() >= static_cast<uint32_t>(payload.dictionary_size()) ||
        payload.dictionary(static_cast<int>(sketch.name())) != kTtftSketch ||
        sketch.relative_error() != figures.ttft_ms.relative_error() ||
        static_cast<size_t>(sketch.counts_size()) > QuantileSketch::kMaxBuckets ||
        sketch.first_bucket() < -kBucketBound || sketch.first_bucket() > kBucketBound) {
      continue;
    }
    if (!figures.ttft_from_sketches) figures.ttft_ms = QuantileSketch();
    figures.ttft_from_sketches = true;
    figures.ttft_ms.Merge(
        QuantileSketch(sketch.relative_error(), sketch.zero_count(), sketch.first_bucket(),
                       std::vector<uint64_t>(sketch.counts().begin(), sketch.counts().end())));
  }
}

void LiveBoard::AddRequests(RunFigures& figures, const v1::ChunkPayload& payload) {
  for (const v1::RequestRecord& request : payload.requests()) {
    if (!request.has_t_first_token_ns()) continue;
    if (figures.first_step) AddTokens(figures, request.t_first_token_ns(), 1);
    if (request.phase() != v1::LOAD_PHASE_MEASURE) continue;
    if (request.finish() == v1::FINISH_REASON_LENGTH) ++figures.requests_done;
    const Nanos ttft = request.t_first_token_ns() - request.t_sched_ns();
    if (!figures.ttft_from_sketches && ttft >= 0) {
      figures.ttft_ms.Add(static_cast<double>(ttft) / kMillisecond);
    }
  }
}

std::optional<v1::LiveFigures> LiveBoard::Figures(uint64_t run, uint32_t attempt, Nanos now) const {
  std::lock_guard lock(mutex_);
  const auto it = runs_.find(run);
  if (it == runs_.end() || it->second.attempt != attempt) return std::nullopt;
  const RunFigures& figures = it->second;
  v1::LiveFigures out;
  out.set_run_id(run);
  const bool fresh = figures.IsFresh(0, now);
  if (fresh && figures.first_step && figures.newest > *figures.first_step) {
    const Nanos from = std::max(*figures.first_step, figures.newest - kWindow);
    double tokens = 0;
    for (const auto& [t, count] : figures.tokens) {
      if (t > from) tokens += count;
    }
    out.set_output_tok_s(tokens * kSecond / static_cast<double>(figures.newest - from));
  }
  if (const auto p50 = figures.ttft_ms.Quantile(0.5)) out.set_ttft_p50_ms(*p50);
  if (const auto p95 = figures.ttft_ms.Quantile(0.95)) out.set_ttft_p95_ms(*p95);
  if (fresh && figures.running) out.set_requests_running(*figures.running);
  if (fresh && figures.waiting) out.set_requests_waiting(*figures.waiting);
  if (fresh && figures.kv_blocks) out.set_kv_blocks_used(*figures.kv_blocks);
  // Of all ranks together, or of none.
  bool all_fresh = !figures.rss.empty();
  double rss = 0;
  for (const auto& [rank, bytes] : figures.rss) {
    all_fresh = all_fresh && figures.IsFresh(rank, now);
    rss += bytes;
  }
  if (all_fresh) out.set_rss_bytes(static_cast<uint64_t>(rss));
  out.set_requests_done(figures.requests_done);
  return out;
}

}  // namespace rackmark

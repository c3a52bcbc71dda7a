#include "bench/timeline.h"

#include <algorithm>
#include <cstdio>

#include "common/series.h"
#include "coordinator/store/sql_store.h"
#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

// Stamps of one series in one payload; the callback gets each.
template <typename F>
void ForEachStamp(const v1::ChunkPayload& payload, SeriesId series, F f) {
  for (const v1::Column& column : payload.columns()) {
    if (payload.dictionary(static_cast<int>(column.name())) != Describe(series).name) continue;
    ForEachPoint(column, [&](Nanos t, double) { f(t); });
  }
}

absl::Status ReadRun(SampleStore& samples, uint64_t run, RunTimes& times) {
  std::map<uint32_t, std::pair<Nanos, Nanos>> steps;  // of each rank: the first, the last
  RETURN_IF_ERROR(samples.ForEachChunk(run, 1, [&](const v1::Chunk& chunk) -> absl::Status {
    if (chunk.header().kind() != v1::STREAM_KIND_RANK) return absl::OkStatus();
    ASSIGN_OR_RETURN(const v1::ChunkPayload payload, UnpackChunk(chunk));
    ForEachStamp(payload, SeriesId::kInstrumentNsPerSample,
                 [&](Nanos t) { times.prepared = std::max(times.prepared, t); });
    ForEachStamp(payload, SeriesId::kStepHost, [&](Nanos t) {
      const auto [it, fresh] = steps.try_emplace(chunk.header().stream(), t, t);
      if (fresh) return;
      it->second.first = std::min(it->second.first, t);
      it->second.second = std::max(it->second.second, t);
    });
    return absl::OkStatus();
  }));
  times.ranks = steps.size();
  for (const auto& [rank, span] : steps) {
    if (times.first_began == 0) times.first_began = span.first;
    times.first_began = std::min(times.first_began, span.first);
    times.all_began = std::max(times.all_began, span.first);
    times.all_ended = std::max(times.all_ended, span.second);
  }
  return absl::OkStatus();
}

void TakeEvent(const v1::Event& event, Nanos at, std::map<uint64_t, uint64_t>& job_of_lease,
               Timeline& timeline) {
  const auto first = [at](std::optional<Nanos>& field) {
    if (!field) field = at;
  };
  if (event.has_job_submitted()) {
    const v1::JobSubmitted& change = event.job_submitted();
    first(timeline.jobs[change.job_id()].submitted);
    for (int i = 0; i < change.job().spec().runs_size(); ++i) {
      timeline.runs[change.first_run_id() + static_cast<uint64_t>(i)].job = change.job_id();
    }
  } else if (event.has_lease_placed()) {
    job_of_lease[event.lease_placed().lease_id()] = event.lease_placed().job_id();
    first(timeline.jobs[event.lease_placed().job_id()].placed);
  } else if (event.has_lease_go()) {
    first(timeline.jobs[job_of_lease[event.lease_go().lease_id()]].go);
  } else if (event.has_lease_active()) {
    first(timeline.jobs[job_of_lease[event.lease_active().lease_id()]].active);
  } else if (event.has_run_preparing()) {
    first(timeline.jobs[job_of_lease[event.run_preparing().lease_id()]].preparing);
  } else if (event.has_run_measuring()) {
    first(timeline.jobs[timeline.runs[event.run_measuring().run_id()].job].measuring);
  }
}

}  // namespace

absl::StatusOr<Timeline> ReadTimeline(const std::string& coordinator_data,
                                      Nanos unix_minus_monotonic) {
  ASSIGN_OR_RETURN(SqlStores stores, OpenSqlStores(coordinator_data));
  Timeline timeline;
  std::map<uint64_t, uint64_t> job_of_lease;
  RETURN_IF_ERROR(stores.events->Load(1, [&](const v1::Event& event) {
    TakeEvent(event, event.unix_ns() - unix_minus_monotonic, job_of_lease, timeline);
    return absl::OkStatus();
  }));
  for (auto& [run, times] : timeline.runs) {
    RETURN_IF_ERROR(ReadRun(*stores.samples, run, times));
  }
  return timeline;
}

std::string Spread(std::vector<Nanos> values) {
  if (values.empty()) return "missing";
  std::sort(values.begin(), values.end());
  const auto at = [&](size_t percent) {
    return static_cast<double>(values[(values.size() - 1) * percent / 100]) / 1e6;
  };
  char text[128];
  std::snprintf(text, sizeof text, "p50 %7.2f ms   p95 %7.2f ms   min %7.2f ms   n %zu", at(50),
                at(95), at(0), values.size());
  return text;
}

}  // namespace rackmark

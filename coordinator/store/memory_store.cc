#include "coordinator/store/memory_store.h"

#include <algorithm>
#include <set>

namespace rackmark {

absl::StatusOr<std::vector<v1::JobRecord>> MemoryHistory::Jobs(size_t limit) {
  std::lock_guard lock(mutex_);
  std::vector<v1::JobRecord> jobs;
  for (auto it = jobs_.rbegin(); it != jobs_.rend() && jobs.size() < limit; ++it) {
    jobs.push_back(it->second.job());
    jobs.back().mutable_job()->clear_source();
  }
  return jobs;
}

absl::StatusOr<History::Totals> MemoryHistory::Count() {
  std::lock_guard lock(mutex_);
  return Totals{jobs_.size(), runs_.size()};
}

absl::StatusOr<std::vector<v1::RunRecord>> MemoryHistory::Runs(size_t limit) {
  std::lock_guard lock(mutex_);
  std::vector<v1::RunRecord> runs;
  for (auto it = runs_.rbegin(); it != runs_.rend() && runs.size() < limit; ++it) {
    runs.push_back(it->second);
  }
  return runs;
}

absl::StatusOr<std::optional<v1::EndedJob>> MemoryHistory::Job(uint64_t job) {
  std::lock_guard lock(mutex_);
  const auto it = jobs_.find(job);
  if (it == jobs_.end()) return std::optional<v1::EndedJob>();
  return std::optional<v1::EndedJob>(it->second);
}

absl::StatusOr<std::optional<v1::RunRecord>> MemoryHistory::Run(uint64_t run) {
  std::lock_guard lock(mutex_);
  const auto it = runs_.find(run);
  if (it == runs_.end()) return std::optional<v1::RunRecord>();
  return std::optional<v1::RunRecord>(it->second);
}

absl::StatusOr<std::optional<int64_t>> MemoryHistory::EndedAt(uint64_t run) {
  std::lock_guard lock(mutex_);
  const auto it = runs_.find(run);
  if (it == runs_.end()) return std::optional<int64_t>();
  return std::optional<int64_t>(jobs_.at(it->second.job_id()).job().ended_unix_ns());
}

absl::StatusOr<std::vector<std::optional<int64_t>>> MemoryHistory::EndedAt(
    std::span<const uint64_t> runs) {
  std::vector<std::optional<int64_t>> ended;
  for (const uint64_t run : runs) {
    ASSIGN_OR_RETURN(ended.emplace_back(), EndedAt(run));
  }
  return ended;
}

absl::StatusOr<std::vector<History::RunRange>> MemoryHistory::EndedBetween(int64_t from,
                                                                           int64_t before) {
  std::lock_guard lock(mutex_);
  std::multimap<int64_t, RunRange> by_end;
  for (const auto& [id, job] : jobs_) {
    const int64_t ended = job.job().ended_unix_ns();
    if (ended < from || ended >= before) continue;
    by_end.emplace(ended, RunRange{job.job().first_run_id(), job.job().runs_total()});
  }
  std::vector<RunRange> ranges;
  for (const auto& [ended, range] : by_end) ranges.push_back(range);
  return ranges;
}

void MemoryHistory::Add(const v1::EndedJob& ended) {
  std::lock_guard lock(mutex_);
  jobs_[ended.job().job_id()] = ended;
  for (const v1::RunRecord& run : ended.runs()) runs_[run.run_id()] = run;
}

uint64_t MemoryHistory::Drop(int64_t before, uint64_t max) {
  std::lock_guard lock(mutex_);
  uint64_t dropped = 0;
  for (auto it = jobs_.begin(); it != jobs_.end() && dropped < max;) {
    if (it->second.job().ended_unix_ns() >= before) {
      ++it;
      continue;
    }
    for (const v1::RunRecord& run : it->second.runs()) runs_.erase(run.run_id());
    dropped += 1 + static_cast<uint64_t>(it->second.runs_size());
    it = jobs_.erase(it);
  }
  return dropped;
}

absl::Status MemoryEventStore::DoAppend(std::span<const v1::Event> events,
                                        std::span<const v1::EndedJob> ended) {
  for (const v1::Event& event : events) {
    events_[event.seq()] = event;
    if (event.has_cluster_restored()) cluster_id_ = event.cluster_restored().cluster_id();
  }
  for (const v1::EndedJob& job : ended) history_.Add(job);
  last_seq_ = events.back().seq();
  return absl::OkStatus();
}

absl::Status MemoryEventStore::DoLoad(uint64_t from_seq, const EventVisitor& visit) {
  for (auto it = events_.lower_bound(from_seq); it != events_.end(); ++it) {
    RETURN_IF_ERROR(visit(it->second));
  }
  return absl::OkStatus();
}

absl::Status MemoryEventStore::DoPutSnapshot(uint64_t seq, std::string_view bytes) {
  snapshots_[seq] = std::string(bytes);
  while (snapshots_.size() > 2) snapshots_.erase(snapshots_.begin());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint64_t>> MemoryEventStore::DoSnapshots() {
  std::vector<uint64_t> seqs;
  for (auto it = snapshots_.rbegin(); it != snapshots_.rend(); ++it) seqs.push_back(it->first);
  return seqs;
}

absl::StatusOr<std::string> MemoryEventStore::DoGetSnapshot(uint64_t seq) {
  const auto it = snapshots_.find(seq);
  if (it == snapshots_.end()) return absl::DataLossError(absl::StrCat("no snapshot ", seq));
  return it->second;
}

absl::Status MemoryEventStore::DoDropSnapshot(uint64_t seq) {
  snapshots_.erase(seq);
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> MemoryEventStore::DoTrim(uint64_t max) {
  if (snapshots_.size() < 2) return 0;
  uint64_t trimmed = 0;
  while (trimmed < max && !events_.empty() && events_.begin()->first <= snapshots_.begin()->first) {
    events_.erase(events_.begin());
    ++trimmed;
  }
  return trimmed;
}

absl::Status MemoryEventStore::DoBackfill(std::span<const v1::EndedJob> ended, bool) {
  for (const v1::EndedJob& job : ended) history_.Add(job);
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> MemoryEventStore::DoDropHistory(int64_t before, uint64_t max) {
  return history_.Drop(before, max);
}

absl::StatusOr<std::vector<StreamMark>> MemorySampleStore::DoPutChunks(
    std::span<const v1::Chunk> chunks) {
  std::lock_guard lock(mutex_);
  std::set<StreamKey> touched;
  for (const v1::Chunk& chunk : chunks) {
    const StreamKey key = KeyOf(chunk.header());
    streams_[key].chunks.emplace(chunk.header().seq(), chunk);
    touched.insert(key);
  }
  std::vector<StreamMark> marks;
  for (const StreamKey& key : touched) {
    Stream& stream = streams_[key];
    while (stream.chunks.count(stream.mark + 1) != 0) ++stream.mark;
    marks.push_back({key, stream.mark});
  }
  return marks;
}

absl::StatusOr<uint64_t> MemorySampleStore::DoWatermark(const StreamKey& key) {
  std::lock_guard lock(mutex_);
  const auto it = streams_.find(key);
  return it == streams_.end() ? 0 : it->second.mark;
}

absl::StatusOr<uint64_t> MemorySampleStore::DoBytesOf(uint64_t run, uint32_t attempt) {
  std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  for (const auto& [key, stream] : streams_) {
    if (key.run != run || key.attempt != attempt) continue;
    for (const auto& [seq, chunk] : stream.chunks) bytes += chunk.ByteSizeLong();
  }
  return bytes;
}

absl::Status MemorySampleStore::DoForEachChunk(uint64_t run, uint32_t attempt,
                                               const ChunkVisitor& visit) {
  std::lock_guard lock(mutex_);
  for (const auto& [key, stream] : streams_) {
    if (key.run != run || key.attempt != attempt) continue;
    for (const auto& [seq, chunk] : stream.chunks) RETURN_IF_ERROR(visit(chunk));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint64_t>> MemorySampleStore::DoNextRuns(uint64_t after, uint64_t max,
                                                                    RunsWith what) {
  std::lock_guard lock(mutex_);
  std::set<uint64_t> runs;
  for (const auto& [key, stream] : streams_) {
    if (key.run > after && !stream.chunks.empty()) runs.insert(key.run);
  }
  if (what == RunsWith::kChunksOrReport) {
    for (auto it = reports_.upper_bound(after); it != reports_.end(); ++it) runs.insert(it->first);
  }
  std::vector<uint64_t> first(runs.begin(), runs.end());
  first.resize(std::min<size_t>(first.size(), max));
  return first;
}

absl::StatusOr<uint64_t> MemorySampleStore::DoDropChunks(uint64_t run, uint64_t max) {
  std::lock_guard lock(mutex_);
  uint64_t dropped = 0;
  for (auto& [key, stream] : streams_) {
    while (key.run == run && dropped < max && !stream.chunks.empty()) {
      stream.chunks.erase(stream.chunks.begin());
      ++dropped;
    }
  }
  return dropped;
}

absl::Status MemorySampleStore::DoDropReport(uint64_t run) {
  std::lock_guard lock(mutex_);
  reports_.erase(run);
  for (auto it = streams_.begin(); it != streams_.end();) {
    it = it->first.run == run ? streams_.erase(it) : std::next(it);
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> MemorySampleStore::DoUsedBytes() {
  std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  for (const auto& [key, stream] : streams_) {
    for (const auto& [seq, chunk] : stream.chunks) bytes += chunk.ByteSizeLong();
  }
  for (const auto& [run, report] : reports_) bytes += report.size();
  return bytes;
}

absl::StatusOr<uint64_t> MemorySampleStore::DoShrink(uint64_t) { return 0; }

absl::Status MemorySampleStore::DoAdopt(std::string_view, const Wanted& wanted) {
  std::lock_guard lock(mutex_);
  for (auto it = streams_.begin(); it != streams_.end();) {
    ASSIGN_OR_RETURN(const bool keep, wanted.chunks(it->first.run, it->first.attempt));
    it = keep ? std::next(it) : streams_.erase(it);
  }
  for (auto it = reports_.begin(); it != reports_.end();) {
    ASSIGN_OR_RETURN(const bool keep, wanted.report(it->first));
    it = keep ? std::next(it) : reports_.erase(it);
  }
  return absl::OkStatus();
}

absl::Status MemorySampleStore::DoPutReport(uint64_t run, std::string_view bytes) {
  std::lock_guard lock(mutex_);
  reports_[run] = std::string(bytes);
  return absl::OkStatus();
}

absl::StatusOr<std::optional<std::string>> MemorySampleStore::DoGetReport(uint64_t run) {
  std::lock_guard lock(mutex_);
  const auto it = reports_.find(run);
  if (it == reports_.end()) return std::optional<std::string>();
  return std::optional<std::string>(it->second);
}

}  // namespace rackmark

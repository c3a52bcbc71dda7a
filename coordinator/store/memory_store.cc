#include "coordinator/store/memory_store.h"

#include <set>

namespace rackmark {
namespace {

uint64_t MarkOf(const std::map<uint64_t, v1::Chunk>& chunks) {
  uint64_t mark = 0;
  for (const auto& [seq, chunk] : chunks) {
    if (seq != mark + 1) break;
    mark = seq;
  }
  return mark;
}

}  // namespace

absl::Status MemoryEventStore::DoAppend(std::span<const v1::Event> events) {
  events_.insert(events_.end(), events.begin(), events.end());
  return absl::OkStatus();
}

absl::Status MemoryEventStore::DoLoad(uint64_t from_seq, const EventVisitor& visit) {
  for (const v1::Event& event : events_) {
    if (event.seq() < from_seq) continue;
    RETURN_IF_ERROR(visit(event));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<StreamMark>> MemorySampleStore::DoPutChunks(
    std::span<const v1::Chunk> chunks) {
  std::lock_guard lock(mutex_);
  std::set<StreamKey> touched;
  for (const v1::Chunk& chunk : chunks) {
    const StreamKey key = KeyOf(chunk.header());
    streams_[key].emplace(chunk.header().seq(), chunk);
    touched.insert(key);
  }
  std::vector<StreamMark> marks;
  for (const StreamKey& key : touched) marks.push_back({key, MarkOf(streams_[key])});
  return marks;
}

absl::StatusOr<uint64_t> MemorySampleStore::DoWatermark(const StreamKey& key) {
  std::lock_guard lock(mutex_);
  const auto it = streams_.find(key);
  return it == streams_.end() ? 0 : MarkOf(it->second);
}

absl::StatusOr<uint64_t> MemorySampleStore::DoBytesOf(uint64_t run, uint32_t attempt) {
  std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  for (const auto& [key, chunks] : streams_) {
    if (key.run != run || key.attempt != attempt) continue;
    for (const auto& [seq, chunk] : chunks) bytes += chunk.ByteSizeLong();
  }
  return bytes;
}

absl::Status MemorySampleStore::DoForEachChunk(uint64_t run, uint32_t attempt,
                                               const ChunkVisitor& visit) {
  std::lock_guard lock(mutex_);
  for (const auto& [key, chunks] : streams_) {
    if (key.run != run || key.attempt != attempt) continue;
    for (const auto& [seq, chunk] : chunks) RETURN_IF_ERROR(visit(chunk));
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

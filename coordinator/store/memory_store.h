// The store that forgets: for tests and simulation. Passes the same suite as the SQLite one.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/store/store.h"

namespace rackmark {

class MemoryEventStore : public EventStore {
 public:
  explicit MemoryEventStore(std::string cluster_id) : cluster_id_(std::move(cluster_id)) {}
  const std::string& cluster_id() const override { return cluster_id_; }
  uint64_t last_seq() const override { return events_.size(); }

 protected:  // for stores that fail on purpose
  absl::Status DoAppend(std::span<const v1::Event> events) override;
  absl::Status DoLoad(uint64_t from_seq, const EventVisitor& visit) override;

 private:
  const std::string cluster_id_;
  std::vector<v1::Event> events_;
};

class MemorySampleStore : public SampleStore {
 protected:  // for stores that fail on purpose
  absl::StatusOr<std::vector<StreamMark>> DoPutChunks(std::span<const v1::Chunk> chunks) override;
  absl::StatusOr<uint64_t> DoWatermark(const StreamKey& key) override;
  absl::StatusOr<uint64_t> DoBytesOf(uint64_t run, uint32_t attempt) override;
  absl::Status DoForEachChunk(uint64_t run, uint32_t attempt, const ChunkVisitor& visit) override;
  absl::Status DoPutReport(uint64_t run, std::string_view bytes) override;
  absl::StatusOr<std::optional<std::string>> DoGetReport(uint64_t run) override;

 private:
  std::mutex mutex_;
  std::map<StreamKey, std::map<uint64_t, v1::Chunk>> streams_;
  std::map<uint64_t, std::string> reports_;
};

}  // namespace rackmark

// The store that forgets: for tests and simulation. Passes the same suite as the SQLite one.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/store/store.h"

namespace rackmark {

class MemoryHistory : public History {
 public:
  absl::StatusOr<std::vector<v1::JobRecord>> Jobs(size_t limit) override;
  absl::StatusOr<std::vector<v1::RunRecord>> Runs(size_t limit) override;
  absl::StatusOr<Totals> Count() override;
  absl::StatusOr<std::optional<v1::EndedJob>> Job(uint64_t job) override;
  absl::StatusOr<std::optional<v1::RunRecord>> Run(uint64_t run) override;
  absl::StatusOr<std::optional<int64_t>> EndedAt(uint64_t run) override;
  absl::StatusOr<std::vector<std::optional<int64_t>>> EndedAt(
      std::span<const uint64_t> runs) override;
  absl::StatusOr<std::vector<RunRange>> EndedBetween(int64_t from, int64_t before) override;

  void Add(const v1::EndedJob& ended);
  uint64_t Drop(int64_t before, uint64_t max);

 private:
  std::mutex mutex_;
  std::map<uint64_t, v1::EndedJob> jobs_;
  std::map<uint64_t, v1::RunRecord> runs_;
};

class MemoryEventStore : public EventStore {
 public:
  explicit MemoryEventStore(std::string cluster_id) : cluster_id_(std::move(cluster_id)) {}
  const std::string& cluster_id() const override { return cluster_id_; }
  uint64_t last_seq() const override { return last_seq_; }
  History& history() override { return history_; }
  bool history_complete() const override { return true; }

 protected:  // for stores that fail on purpose
  absl::Status DoAppend(std::span<const v1::Event> events,
                        std::span<const v1::EndedJob> ended) override;
  absl::Status DoLoad(uint64_t from_seq, const EventVisitor& visit) override;
  absl::Status DoPutSnapshot(uint64_t seq, std::string_view bytes) override;
  absl::StatusOr<std::vector<uint64_t>> DoSnapshots() override;
  absl::StatusOr<std::string> DoGetSnapshot(uint64_t seq) override;
  absl::Status DoDropSnapshot(uint64_t seq) override;
  absl::StatusOr<uint64_t> DoTrim(uint64_t max) override;
  absl::Status DoBackfill(std::span<const v1::EndedJob> ended, bool complete) override;
  absl::StatusOr<uint64_t> DoDropHistory(int64_t before, uint64_t max) override;

 private:
  std::string cluster_id_;
  std::map<uint64_t, v1::Event> events_;
  uint64_t last_seq_ = 0;
  std::map<uint64_t, std::string> snapshots_;
  MemoryHistory history_;
};

class MemorySampleStore : public SampleStore {
 protected:  // for stores that fail on purpose
  absl::StatusOr<std::vector<StreamMark>> DoPutChunks(std::span<const v1::Chunk> chunks) override;
  absl::StatusOr<uint64_t> DoWatermark(const StreamKey& key) override;
  absl::StatusOr<uint64_t> DoBytesOf(uint64_t run, uint32_t attempt) override;
  absl::Status DoForEachChunk(uint64_t run, uint32_t attempt, const ChunkVisitor& visit) override;
  absl::StatusOr<std::vector<uint64_t>> DoNextRuns(uint64_t after, uint64_t max,
                                                   RunsWith what) override;
  absl::StatusOr<uint64_t> DoDropChunks(uint64_t run, uint64_t max) override;
  absl::Status DoDropReport(uint64_t run) override;
  absl::StatusOr<uint64_t> DoUsedBytes() override;
  absl::StatusOr<uint64_t> DoShrink(uint64_t max) override;
  absl::Status DoAdopt(std::string_view cluster_id, const Wanted& wanted) override;
  absl::Status DoPutReport(uint64_t run, std::string_view bytes) override;
  absl::StatusOr<std::optional<std::string>> DoGetReport(uint64_t run) override;

 private:
  struct Stream {
    std::map<uint64_t, v1::Chunk> chunks;
    uint64_t mark = 0;
  };
  std::mutex mutex_;
  std::map<StreamKey, Stream> streams_;
  std::map<uint64_t, std::string> reports_;
};

}  // namespace rackmark

// Sample chunks and run summaries on SQLite: samples.db. For OpenSqlStores; any thread.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/store/checkpointer.h"
#include "coordinator/store/sqlite_db.h"
#include "coordinator/store/store.h"

namespace rackmark {

class SqlSampleStore : public SampleStore {
 public:
  static absl::StatusOr<std::unique_ptr<SqlSampleStore>> Open(const std::string& path,
                                                              const std::string& cluster_id);

 private:
  SqlSampleStore(std::unique_ptr<Database> writer, std::unique_ptr<Database> reader,
                 std::unique_ptr<Database> copier)
      : writer_(std::move(writer)),
        reader_(std::move(reader)),
        checkpointer_(writer_.get(), std::move(copier), {}) {}
  // An attempt has `bytes` more of chunks.
  absl::Status Grow(std::pair<uint64_t, uint32_t> attempt, uint64_t bytes);
  // Moves the watermark over all chunks that follow without a gap.
  absl::StatusOr<uint64_t> Advance(const StreamKey& key);
  absl::Status AdoptChunks(const Wanted& wanted);
  absl::Status AdoptReports(const Wanted& wanted);

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

  // Two connections, so that a long read by the reporter does not hold up ingest.
  std::mutex writer_mutex_;
  const std::unique_ptr<Database> writer_;
  std::mutex reader_mutex_;
  const std::unique_ptr<Database> reader_;
  Checkpointer checkpointer_;  // under writer_mutex_
};

}  // namespace rackmark

// Sample chunks and run summaries on PostgreSQL, written by who leads. For OpenPgStores; any
// thread.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/store/pg_reader.h"
#include "coordinator/store/pg_writer.h"
#include "coordinator/store/store.h"

namespace rackmark {

class PgSampleStore : public SampleStore {
 public:
  static absl::StatusOr<std::unique_ptr<PgSampleStore>> Open(const PgOptions& options,
                                                             uint64_t term);

 private:
  PgSampleStore(PgWriter writer, PgReader reader)
      : writer_(std::move(writer)), reader_(std::move(reader)) {}

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
  PgWriter writer_;
  std::mutex reader_mutex_;
  PgReader reader_;
};

}  // namespace rackmark

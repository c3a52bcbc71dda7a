// The tables of ended jobs in events.db. SqlHistory reads them on a connection of its own; the two
// functions write on the event log's, inside its transaction.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "coordinator/store/history.h"
#include "coordinator/store/sqlite_db.h"

namespace rackmark {

class SqlHistory : public History {
 public:
  explicit SqlHistory(std::unique_ptr<Database> reader) : reader_(std::move(reader)) {}

  absl::StatusOr<std::vector<v1::JobRecord>> Jobs(size_t limit) override;
  absl::StatusOr<std::vector<v1::RunRecord>> Runs(size_t limit) override;
  absl::StatusOr<Totals> Count() override;
  absl::StatusOr<std::optional<v1::EndedJob>> Job(uint64_t job) override;
  absl::StatusOr<std::optional<v1::RunRecord>> Run(uint64_t run) override;
  absl::StatusOr<std::optional<int64_t>> EndedAt(uint64_t run) override;
  absl::StatusOr<std::vector<std::optional<int64_t>>> EndedAt(
      std::span<const uint64_t> runs) override;
  absl::StatusOr<std::vector<RunRange>> EndedBetween(int64_t from, int64_t before) override;

 private:
  std::mutex mutex_;
  const std::unique_ptr<Database> reader_;
};

// Rows that are there already stay as they are.
absl::Status InsertEnded(Database& db, const v1::EndedJob& ended);
// At most about `max` rows of jobs that ended before, the oldest first. Returns how many.
absl::StatusOr<uint64_t> DropEnded(Database& db, int64_t before, uint64_t max);

}  // namespace rackmark

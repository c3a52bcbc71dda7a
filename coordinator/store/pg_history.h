// The tables of ended jobs in PostgreSQL. PgHistory reads them on a connection of its own; the two
// functions make statements for the event log's transactions.
#pragma once

#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "coordinator/store/history.h"
#include "coordinator/store/pg_reader.h"

namespace rackmark {

class PgHistory : public History {
 public:
  explicit PgHistory(PgReader reader) : reader_(std::move(reader)) {}

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
  PgReader reader_;
};

// Rows that are there already stay as they are.
void InsertEnded(std::span<const v1::EndedJob> ended, std::vector<PgStatement>& statements);
// At most about `max` rows of jobs that ended before, the oldest first; gives how many.
PgStatement DropEnded(int64_t before, uint64_t max);

}  // namespace rackmark

// Jobs that have ended, as rows: what people ask of them after they left State. Written by
// EventStore in the transaction of the event that ended the job. Reads answer from what is
// committed when they are made; any thread, and none holds up the event log.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/status.h"
#include "rackmark/v1/snapshot.pb.h"

namespace rackmark {

class History {
 public:
  virtual ~History() = default;
  // Newest first, at most `limit`; without the source text.
  virtual absl::StatusOr<std::vector<v1::JobRecord>> Jobs(size_t limit) = 0;
  virtual absl::StatusOr<std::vector<v1::RunRecord>> Runs(size_t limit) = 0;
  // How many of them are kept.
  struct Totals {
    uint64_t jobs = 0;
    uint64_t runs = 0;
  };
  virtual absl::StatusOr<Totals> Count() = 0;
  // Whole. Missing: not ended, or no longer kept.
  virtual absl::StatusOr<std::optional<v1::EndedJob>> Job(uint64_t job) = 0;
  virtual absl::StatusOr<std::optional<v1::RunRecord>> Run(uint64_t run) = 0;
  // By the wall clock, when the run's job ended. Missing: as above.
  virtual absl::StatusOr<std::optional<int64_t>> EndedAt(uint64_t run) = 0;
  // The same of many at once, one for each.
  virtual absl::StatusOr<std::vector<std::optional<int64_t>>> EndedAt(
      std::span<const uint64_t> runs) = 0;
  // Runs of the jobs that ended at `from` or later and before `before`, the oldest first.
  struct RunRange {
    uint64_t first = 0;
    uint64_t count = 0;
  };
  virtual absl::StatusOr<std::vector<RunRange>> EndedBetween(int64_t from, int64_t before) = 0;
};

}  // namespace rackmark

// Leadership without a database, for tests and simulation: a row in memory that several share.
// Passes the same suite as the PostgreSQL one. The row may be used by any threads, each Leadership
// by one.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>

#include "coordinator/store/leadership.h"

namespace rackmark {

struct MemoryLeaderRow {
  explicit MemoryLeaderRow(const Clock* of_database) : clock(of_database) {}
  const Clock* const clock;
  std::mutex mutex;
  std::condition_variable changed;
  uint64_t changes = 0;  // this and the rest under mutex
  uint64_t term = 0;
  std::string address;
  Nanos expires = 0;  // of clock->Monotonic()
};

class MemoryLeadership : public Leadership {
 public:
  explicit MemoryLeadership(MemoryLeaderRow* row) : row_(row) {}

 private:
  absl::StatusOr<std::optional<uint64_t>> DoTryLead(Nanos ttl) override;
  absl::Status DoRenew(uint64_t term, Nanos ttl) override;
  absl::Status DoAnnounce(uint64_t term, const std::string& address) override;
  absl::Status DoResign(uint64_t term) override;
  absl::StatusOr<LeaderView> DoCurrent() override;
  absl::StatusOr<bool> DoWaitForChange(Nanos timeout) override;
  absl::Status CheckTerm(uint64_t term) const;
  void Tell();

  MemoryLeaderRow* const row_;
  uint64_t seen_ = 0;  // of row_->changes
};

}  // namespace rackmark

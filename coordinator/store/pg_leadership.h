// Leadership as a row in PostgreSQL. Connects again by itself when its connection was lost: none of
// these calls is harmed by being made twice. Threads: as Leadership.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/store/leadership.h"
#include "coordinator/store/pg_connection.h"

namespace rackmark {

class PgLeadership : public Leadership {
 public:
  // Makes the tables if there are none. FAILED_PRECONDITION: the database is not ours, or newer;
  // UNAVAILABLE: nobody there.
  static absl::StatusOr<std::unique_ptr<PgLeadership>> Open(const PgOptions& options);

 private:
  explicit PgLeadership(PgOptions options) : options_(std::move(options)) {}
  absl::StatusOr<PgConnection*> Ready();
  // Once more on a new connection, if the old one turns out to be lost.
  absl::StatusOr<uint64_t> Change(const std::vector<PgStatement>& statements, Nanos timeout);
  absl::StatusOr<std::optional<uint64_t>> Take(PgConnection& connection, uint64_t seen, Nanos ttl);

  absl::StatusOr<std::optional<uint64_t>> DoTryLead(Nanos ttl) override;
  absl::Status DoRenew(uint64_t term, Nanos ttl) override;
  absl::Status DoAnnounce(uint64_t term, const std::string& address) override;
  absl::Status DoResign(uint64_t term) override;
  absl::StatusOr<LeaderView> DoCurrent() override;
  absl::StatusOr<bool> DoWaitForChange(Nanos timeout) override;

  const PgOptions options_;
  std::unique_ptr<PgConnection> connection_;
};

}  // namespace rackmark

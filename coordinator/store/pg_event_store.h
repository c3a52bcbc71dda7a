// The event log on PostgreSQL: events, snapshots and the tables of ended jobs, written by who
// leads. For OpenPgStores; belongs to the loop's thread, except history().
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "coordinator/store/pg_history.h"
#include "coordinator/store/pg_writer.h"
#include "coordinator/store/store.h"

namespace rackmark {

class PgEventStore : public EventStore {
 public:
  static absl::StatusOr<std::unique_ptr<PgEventStore>> Open(const PgOptions& options,
                                                            uint64_t term);

  const std::string& cluster_id() const override { return cluster_id_; }
  uint64_t last_seq() const override { return last_seq_; }
  History& history() override { return *history_; }
  bool history_complete() const override { return true; }  // there is no older log

 private:
  explicit PgEventStore(PgWriter writer) : writer_(std::move(writer)) {}
  absl::Status ReadMeta();

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

  PgWriter writer_;
  std::unique_ptr<PgHistory> history_;
  std::string cluster_id_;
  uint64_t last_seq_ = 0;
};

}  // namespace rackmark

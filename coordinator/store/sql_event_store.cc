#include "coordinator/store/sql_event_store.h"

#include <algorithm>

#include "common/ids.h"
#include "coordinator/store/schema.h"
#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

constexpr const char* kMigrations[] = {kEventsMigrate2};
constexpr const char* kCheckedTables[] = {"meta", "event", "snapshot"};
// The log is read whole at each start, so it is checked whole. The history may be a thousand times
// as large; its rows have checksums.
const Database::Kind kEventsKind = {"event log",   0x524d4b45 /* RMKE */, 2,
                                    kEventsSchema, kMigrations,           kCheckedTables};

}  // namespace

absl::StatusOr<std::unique_ptr<SqlEventStore>> SqlEventStore::Open(const std::string& path) {
  ASSIGN_OR_RETURN(auto db, Database::Open(path, kEventsKind, RandomHex(16)));
  auto store = std::unique_ptr<SqlEventStore>(new SqlEventStore(std::move(db)));
  RETURN_IF_ERROR(store->ReadMeta());
  ASSIGN_OR_RETURN(auto reader, Database::OpenAgain(path));
  store->history_ = std::make_unique<SqlHistory>(std::move(reader));
  return store;
}

absl::Status SqlEventStore::ReadMeta() {
  ASSIGN_OR_RETURN(cluster_id_, db_->ClusterId());
  ASSIGN_OR_RETURN(auto last, db_->Prepare("SELECT max(seq) FROM event"));
  RETURN_IF_ERROR(last.Step().status());
  last_seq_ = last.Integer(0);
  ASSIGN_OR_RETURN(auto complete, db_->Prepare("SELECT history_complete FROM meta"));
  RETURN_IF_ERROR(complete.Step().status());
  history_complete_ = complete.Integer(0) != 0;
  return absl::OkStatus();
}

absl::Status SqlEventStore::DoAppend(std::span<const v1::Event> events,
                                     std::span<const v1::EndedJob> ended) {
  ASSIGN_OR_RETURN(auto insert,
                   db_->Prepare("INSERT INTO event (seq, crc32, payload) VALUES (?, ?, ?)"));
  RETURN_IF_ERROR(db_->Execute("BEGIN IMMEDIATE"));
  std::string cluster_id = cluster_id_;
  for (const v1::Event& event : events) {
    const std::string bytes = event.SerializeAsString();
    RETURN_IF_ERROR(insert.Bind(event.seq()).Bind(Crc32(bytes)).BindBlob(bytes).Run());
    if (!event.has_cluster_restored()) continue;
    cluster_id = event.cluster_restored().cluster_id();
    RETURN_IF_ERROR(db_->SetClusterId(cluster_id));
  }
  for (const v1::EndedJob& job : ended) RETURN_IF_ERROR(InsertEnded(*db_, job));
  RETURN_IF_ERROR(db_->Execute("COMMIT"));
  last_seq_ = events.back().seq();
  cluster_id_ = cluster_id;
  return absl::OkStatus();
}

absl::Status SqlEventStore::DoLoad(uint64_t from_seq, const EventVisitor& visit) {
  ASSIGN_OR_RETURN(
      auto select,
      db_->Prepare("SELECT seq, crc32, payload FROM event WHERE seq >= ? ORDER BY seq"));
  select.Bind(from_seq);
  while (true) {
    ASSIGN_OR_RETURN(const bool more, select.Step());
    if (!more) return absl::OkStatus();
    const std::string_view bytes = select.Blob(2);
    v1::Event event;
    if (Crc32(bytes) != select.Integer(1) ||
        !event.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return absl::DataLossError(absl::StrCat("event ", select.Integer(0),
                                              " of the event log is damaged; restore events.db "
                                              "from a backup"));
    }
    RETURN_IF_ERROR(visit(event));
  }
}

absl::Status SqlEventStore::DoPutSnapshot(uint64_t seq, std::string_view bytes) {
  constexpr uint64_t kBeside = 64;  // the row's other columns and its header
  if (bytes.size() + kBeside > db_->RowBytesMax()) {
    return absl::OutOfRangeError(absl::StrCat("the snapshot has ", bytes.size(),
                                              " bytes, and the event log's file takes ",
                                              db_->RowBytesMax(), " at most"));
  }
  ASSIGN_OR_RETURN(auto insert, db_->Prepare("INSERT OR REPLACE INTO snapshot (seq, crc32, "
                                             "payload) VALUES (?, ?, ?)"));
  RETURN_IF_ERROR(db_->Execute("BEGIN IMMEDIATE"));
  RETURN_IF_ERROR(insert.Bind(seq).Bind(Crc32(bytes)).BindBlob(bytes).Run());
  RETURN_IF_ERROR(
      db_->Execute("DELETE FROM snapshot WHERE seq NOT IN "
                   "(SELECT seq FROM snapshot ORDER BY seq DESC LIMIT 2)"));
  return db_->Execute("COMMIT");
}

absl::StatusOr<std::vector<uint64_t>> SqlEventStore::DoSnapshots() {
  ASSIGN_OR_RETURN(auto select, db_->Prepare("SELECT seq FROM snapshot ORDER BY seq DESC"));
  std::vector<uint64_t> seqs;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, select.Step());
    if (!more) return seqs;
    seqs.push_back(select.Integer(0));
  }
}

absl::StatusOr<std::string> SqlEventStore::DoGetSnapshot(uint64_t seq) {
  ASSIGN_OR_RETURN(auto select, db_->Prepare("SELECT crc32, payload FROM snapshot WHERE seq = ?"));
  ASSIGN_OR_RETURN(const bool found, select.Bind(seq).Step());
  if (found && Crc32(select.Blob(1)) == select.Integer(0)) return std::string(select.Blob(1));
  return absl::DataLossError(absl::StrCat("snapshot ", seq, " of the event log is damaged"));
}

absl::Status SqlEventStore::DoDropSnapshot(uint64_t seq) {
  ASSIGN_OR_RETURN(auto drop, db_->Prepare("DELETE FROM snapshot WHERE seq = ?"));
  return drop.Bind(seq).Run();
}

absl::StatusOr<uint64_t> SqlEventStore::DoTrim(uint64_t max) {
  ASSIGN_OR_RETURN(const auto snapshots, DoSnapshots());
  if (snapshots.size() < 2) return 0;
  ASSIGN_OR_RETURN(auto first, db_->Prepare("SELECT min(seq) FROM event"));
  RETURN_IF_ERROR(first.Step().status());
  const uint64_t from = first.Integer(0);
  first.Reset();
  if (from == 0 || from > snapshots.back()) return 0;
  const uint64_t count = std::min(max, snapshots.back() - from + 1);
  ASSIGN_OR_RETURN(auto drop, db_->Prepare("DELETE FROM event WHERE seq < ?"));
  RETURN_IF_ERROR(drop.Bind(from + count).Run());
  return count;
}

absl::Status SqlEventStore::DoBackfill(std::span<const v1::EndedJob> ended, bool complete) {
  RETURN_IF_ERROR(db_->Execute("BEGIN IMMEDIATE"));
  for (const v1::EndedJob& job : ended) RETURN_IF_ERROR(InsertEnded(*db_, job));
  if (complete) RETURN_IF_ERROR(db_->Execute("UPDATE meta SET history_complete = 1"));
  RETURN_IF_ERROR(db_->Execute("COMMIT"));
  history_complete_ = history_complete_ || complete;
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> SqlEventStore::DoDropHistory(int64_t before, uint64_t max) {
  RETURN_IF_ERROR(db_->Execute("BEGIN IMMEDIATE"));
  ASSIGN_OR_RETURN(const uint64_t dropped, DropEnded(*db_, before, max));
  RETURN_IF_ERROR(db_->Execute("COMMIT"));
  return dropped;
}

}  // namespace rackmark

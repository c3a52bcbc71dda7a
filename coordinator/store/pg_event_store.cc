#include "coordinator/store/pg_event_store.h"

#include "coordinator/store/pg_schema.h"
#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

constexpr uint64_t kEventsPerRead = 256;
// A value may have 1 GiB less its header, and so may the message that brings it.
constexpr uint64_t kSnapshotBytesMax = (uint64_t{1} << 30) - (uint64_t{1} << 16);

// Serialised once, into the statement's own bytes.
PgStatement InsertEvents(std::span<const v1::Event> events) {
  std::vector<uint64_t> seqs, checksums;
  PgBytesArray payloads;
  for (const v1::Event& event : events) {
    const size_t size = event.ByteSizeLong();
    uint8_t* room = payloads.AddRoom(size);
    event.SerializeWithCachedSizesToArray(room);
    seqs.push_back(event.seq());
    checksums.push_back(Crc32({reinterpret_cast<const char*>(room), size}));
  }
  PgParams params;
  params.Ints(seqs).Ints(checksums).BytesArray(std::move(payloads));
  return {"INSERT INTO event (seq, crc32, payload) SELECT * FROM unnest($1, $2, $3)",
          std::move(params)};
}

absl::StatusOr<v1::Event> ReadEvent(const PgResult& rows, size_t row) {
  const std::string_view bytes = rows.Bytes(row, 2);
  v1::Event event;
  if (Crc32(bytes) == rows.Integer(row, 1) &&
      event.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return event;
  }
  return absl::DataLossError(absl::StrCat("event ", rows.Integer(row, 0),
                                          " of the event log is damaged; restore the database from "
                                          "a backup"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PgEventStore>> PgEventStore::Open(const PgOptions& options,
                                                                 uint64_t term) {
  ASSIGN_OR_RETURN(auto connection, PgConnection::Open(options, PgSessionName(term)));
  RETURN_IF_ERROR(MigratePgSchema(*connection, kPgKind, term));
  std::unique_ptr<PgEventStore> store(new PgEventStore(PgWriter(std::move(connection), term)));
  RETURN_IF_ERROR(store->ReadMeta());
  ASSIGN_OR_RETURN(auto reader, PgReader::Open(options, term));
  store->history_ = std::make_unique<PgHistory>(std::move(reader));
  return store;
}

// In a fenced transaction: what is read here stays true until we write, or we do not lead.
absl::Status PgEventStore::ReadMeta() {
  std::vector<PgStatement> statements;
  statements.push_back({"SELECT cluster_id FROM meta"});
  statements.push_back({"SELECT coalesce(max(seq), 0) FROM event"});
  ASSIGN_OR_RETURN(const auto results, writer_.Commit(std::move(statements)));
  if (results[0].rows() != 1) {
    return absl::DataLossError(absl::StrCat(writer_.where(), " names no cluster"));
  }
  cluster_id_ = std::string(results[0].Bytes(0, 0));
  last_seq_ = results[1].Integer(0, 0);
  return absl::OkStatus();
}

absl::Status PgEventStore::DoAppend(std::span<const v1::Event> events,
                                    std::span<const v1::EndedJob> ended) {
  std::vector<PgStatement> statements;
  statements.push_back(InsertEvents(events));
  std::string cluster_id = cluster_id_;
  for (const v1::Event& event : events) {
    if (event.has_cluster_restored()) cluster_id = event.cluster_restored().cluster_id();
  }
  if (cluster_id != cluster_id_) {
    PgParams params;
    params.Text(cluster_id);
    statements.push_back({"UPDATE meta SET cluster_id = $1", std::move(params)});
  }
  if (!ended.empty()) InsertEnded(ended, statements);
  ASSIGN_OR_RETURN(const auto results, writer_.Commit(std::move(statements)));
  RACKMARK_CHECK(results.front().changed() == events.size());
  last_seq_ = events.back().seq();
  cluster_id_ = cluster_id;
  return absl::OkStatus();
}

absl::Status PgEventStore::DoLoad(uint64_t from_seq, const EventVisitor& visit) {
  while (true) {
    PgParams params;
    params.Int(from_seq).Int(kEventsPerRead);
    ASSIGN_OR_RETURN(const PgResult rows,
                     writer_.Read("SELECT seq, crc32, payload FROM event WHERE seq >= $1 ORDER BY "
                                  "seq LIMIT $2",
                                  std::move(params)));
    for (size_t row = 0; row < rows.rows(); ++row) {
      ASSIGN_OR_RETURN(const v1::Event event, ReadEvent(rows, row));
      RETURN_IF_ERROR(visit(event));
    }
    if (rows.rows() < kEventsPerRead) return absl::OkStatus();
    from_seq = rows.Integer(rows.rows() - 1, 0) + 1;
  }
}

absl::Status PgEventStore::DoPutSnapshot(uint64_t seq, std::string_view bytes) {
  if (bytes.size() > kSnapshotBytesMax) {
    return absl::OutOfRangeError(absl::StrCat("the snapshot has ", bytes.size(),
                                              " bytes, and PostgreSQL takes ", kSnapshotBytesMax,
                                              " at most"));
  }
  PgParams params;
  params.Int(seq).Int(Crc32(bytes)).Bytes(bytes);
  std::vector<PgStatement> statements;
  statements.push_back(
      {"INSERT INTO snapshot (seq, crc32, payload) VALUES ($1, $2, $3) ON "
       "CONFLICT (seq) DO UPDATE SET crc32 = excluded.crc32, payload = "
       "excluded.payload",
       std::move(params)});
  statements.push_back(
      {"DELETE FROM snapshot WHERE seq NOT IN (SELECT seq FROM snapshot ORDER BY "
       "seq DESC LIMIT 2)"});
  return writer_.CommitLarge(std::move(statements), bytes.size()).status();
}

absl::StatusOr<std::vector<uint64_t>> PgEventStore::DoSnapshots() {
  ASSIGN_OR_RETURN(const PgResult rows, writer_.Read("SELECT seq FROM snapshot ORDER BY seq DESC"));
  std::vector<uint64_t> seqs;
  for (size_t row = 0; row < rows.rows(); ++row) seqs.push_back(rows.Integer(row, 0));
  return seqs;
}

absl::StatusOr<std::string> PgEventStore::DoGetSnapshot(uint64_t seq) {
  PgParams params, same;
  params.Int(seq);
  same.Int(seq);
  ASSIGN_OR_RETURN(
      const PgResult size,
      writer_.Read("SELECT coalesce(max(octet_length(payload)), 0)::bigint FROM snapshot WHERE "
                   "seq = $1",
                   std::move(params)));
  ASSIGN_OR_RETURN(
      const PgResult rows,
      writer_.ReadLarge({"SELECT crc32, payload FROM snapshot WHERE seq = $1", std::move(same)},
                        size.Integer(0, 0)));
  if (rows.rows() == 1 && Crc32(rows.Bytes(0, 1)) == rows.Integer(0, 0)) {
    return std::string(rows.Bytes(0, 1));
  }
  return absl::DataLossError(absl::StrCat("snapshot ", seq, " of the event log is damaged"));
}

absl::Status PgEventStore::DoDropSnapshot(uint64_t seq) {
  PgParams params;
  params.Int(seq);
  std::vector<PgStatement> statements;
  statements.push_back({"DELETE FROM snapshot WHERE seq = $1", std::move(params)});
  return writer_.Commit(std::move(statements)).status();
}

absl::StatusOr<uint64_t> PgEventStore::DoTrim(uint64_t max) {
  PgParams params;
  params.Int(max);
  std::vector<PgStatement> statements;
  // Without two snapshots the inner query has no row, and nothing is less than null.
  statements.push_back(
      {"DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE seq <= "
       "(SELECT min(seq) FROM snapshot HAVING count(*) > 1) ORDER BY seq LIMIT $1)",
       std::move(params)});
  ASSIGN_OR_RETURN(const auto results, writer_.Commit(std::move(statements)));
  return results.front().changed();
}

absl::Status PgEventStore::DoBackfill(std::span<const v1::EndedJob> ended, bool) {
  if (ended.empty()) return absl::OkStatus();
  std::vector<PgStatement> statements;
  InsertEnded(ended, statements);
  return writer_.Commit(std::move(statements)).status();
}

absl::StatusOr<uint64_t> PgEventStore::DoDropHistory(int64_t before, uint64_t max) {
  std::vector<PgStatement> statements;
  statements.push_back(DropEnded(before, max));
  ASSIGN_OR_RETURN(const auto results, writer_.Commit(std::move(statements)));
  return results.front().Integer(0, 0);
}

}  // namespace rackmark

#include "coordinator/store/sql_store.h"

#include <unistd.h>

#include <mutex>
#include <set>
#include <utility>

#include "common/ids.h"
#include "coordinator/store/schema.h"
#include "coordinator/store/sqlite_db.h"
#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

constexpr Database::Kind kEventsKind = {"event log", 0x524d4b45 /* RMKE */, 1, kEventsSchema, true};
// Samples may be many GiB; each chunk carries its own checksum.
constexpr Database::Kind kSamplesKind = {"sample store", 0x524d4b53 /* RMKS */, 1, kSamplesSchema,
                                         false};

class SqlEventStore : public EventStore {
 public:
  static absl::StatusOr<std::unique_ptr<SqlEventStore>> Open(const std::string& path) {
    ASSIGN_OR_RETURN(auto db, Database::Open(path, kEventsKind, RandomHex(16)));
    auto store = std::unique_ptr<SqlEventStore>(new SqlEventStore(std::move(db)));
    ASSIGN_OR_RETURN(store->cluster_id_, store->db_->ClusterId());
    ASSIGN_OR_RETURN(auto last, store->db_->Prepare("SELECT max(seq) FROM event"));
    RETURN_IF_ERROR(last.Step());
    store->last_seq_ = last.Integer(0);
    return store;
  }

  const std::string& cluster_id() const override { return cluster_id_; }
  uint64_t last_seq() const override { return last_seq_; }

 private:
  explicit SqlEventStore(std::unique_ptr<Database> db) : db_(std::move(db)) {}

  absl::Status DoAppend(std::span<const v1::Event> events) override {
    ASSIGN_OR_RETURN(auto insert,
                     db_->Prepare("INSERT INTO event (seq, crc32, payload) VALUES (?, ?, ?)"));
    RETURN_IF_ERROR(db_->Execute("BEGIN IMMEDIATE"));
    for (const v1::Event& event : events) {
      const std::string bytes = event.SerializeAsString();
      RETURN_IF_ERROR(insert.Bind(event.seq()).Bind(Crc32(bytes)).BindBlob(bytes).Run());
    }
    RETURN_IF_ERROR(db_->Execute("COMMIT"));
    last_seq_ = events.back().seq();
    return absl::OkStatus();
  }

  absl::Status DoLoad(uint64_t from_seq, const EventVisitor& visit) override {
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

  std::unique_ptr<Database> db_;
  std::string cluster_id_;
  uint64_t last_seq_ = 0;
};

Statement& BindKey(Statement& statement, const StreamKey& key) {
  return statement.Bind(key.run)
      .Bind(key.attempt)
      .Bind(static_cast<uint64_t>(key.kind))
      .Bind(key.stream);
}

class SqlSampleStore : public SampleStore {
 public:
  static absl::StatusOr<std::unique_ptr<SqlSampleStore>> Open(const std::string& path,
                                                              const std::string& cluster_id) {
    ASSIGN_OR_RETURN(auto writer, Database::Open(path, kSamplesKind, cluster_id));
    ASSIGN_OR_RETURN(const std::string theirs, writer->ClusterId());
    if (theirs != cluster_id) {
      return absl::FailedPreconditionError(absl::StrCat(
          path, " holds the samples of another cluster (", theirs.substr(0, 8), ", not ",
          cluster_id.substr(0, 8), "); put the right one beside events.db, or move it away"));
    }
    ASSIGN_OR_RETURN(auto reader, Database::Open(path, kSamplesKind, cluster_id));
    return std::unique_ptr<SqlSampleStore>(
        new SqlSampleStore(std::move(writer), std::move(reader)));
  }

 private:
  SqlSampleStore(std::unique_ptr<Database> writer, std::unique_ptr<Database> reader)
      : writer_(std::move(writer)), reader_(std::move(reader)) {}

  absl::StatusOr<std::vector<StreamMark>> DoPutChunks(std::span<const v1::Chunk> chunks) override {
    std::lock_guard lock(writer_mutex_);
    ASSIGN_OR_RETURN(auto insert, writer_->Prepare("INSERT OR IGNORE INTO chunk (run, attempt, "
                                                   "kind, stream, seq, payload) VALUES "
                                                   "(?, ?, ?, ?, ?, ?)"));
    RETURN_IF_ERROR(writer_->Execute("BEGIN IMMEDIATE"));
    std::set<StreamKey> touched;
    for (const v1::Chunk& chunk : chunks) {
      const StreamKey key = KeyOf(chunk.header());
      const std::string bytes = chunk.SerializeAsString();
      RETURN_IF_ERROR(BindKey(insert, key).Bind(chunk.header().seq()).BindBlob(bytes).Run());
      touched.insert(key);
    }
    std::vector<StreamMark> marks;
    for (const StreamKey& key : touched) {
      ASSIGN_OR_RETURN(const uint64_t seq, Advance(key));
      marks.push_back({key, seq});
    }
    RETURN_IF_ERROR(writer_->Execute("COMMIT"));
    return marks;
  }

  // Moves the watermark over all chunks that follow without a gap.
  absl::StatusOr<uint64_t> Advance(const StreamKey& key) {
    ASSIGN_OR_RETURN(const uint64_t before, ReadMark(*writer_, key));
    ASSIGN_OR_RETURN(auto select, writer_->Prepare("SELECT seq FROM chunk WHERE run = ? AND "
                                                   "attempt = ? AND kind = ? AND stream = ? AND "
                                                   "seq > ? ORDER BY seq"));
    BindKey(select, key).Bind(before);
    uint64_t mark = before;
    while (true) {
      ASSIGN_OR_RETURN(const bool more, select.Step());
      if (!more || select.Integer(0) != mark + 1) break;
      ++mark;
    }
    if (mark == before) return mark;
    ASSIGN_OR_RETURN(auto update, writer_->Prepare("INSERT OR REPLACE INTO watermark (run, "
                                                   "attempt, kind, stream, seq) VALUES "
                                                   "(?, ?, ?, ?, ?)"));
    RETURN_IF_ERROR(BindKey(update, key).Bind(mark).Run());
    return mark;
  }

  static absl::StatusOr<uint64_t> ReadMark(Database& db, const StreamKey& key) {
    ASSIGN_OR_RETURN(auto select, db.Prepare("SELECT seq FROM watermark WHERE run = ? AND attempt "
                                             "= ? AND kind = ? AND stream = ?"));
    ASSIGN_OR_RETURN(const bool found, BindKey(select, key).Step());
    return found ? select.Integer(0) : 0;
  }

  absl::StatusOr<uint64_t> DoWatermark(const StreamKey& key) override {
    std::lock_guard lock(reader_mutex_);
    return ReadMark(*reader_, key);
  }

  absl::StatusOr<uint64_t> DoBytesOf(uint64_t run, uint32_t attempt) override {
    std::lock_guard lock(writer_mutex_);  // ingest's own connection: no report holds it up
    ASSIGN_OR_RETURN(auto select,
                     writer_->Prepare("SELECT COALESCE(SUM(LENGTH(payload)), 0) FROM chunk "
                                      "WHERE run = ? AND attempt = ?"));
    RETURN_IF_ERROR(select.Bind(run).Bind(attempt).Step().status());
    return select.Integer(0);
  }

  absl::Status DoForEachChunk(uint64_t run, uint32_t attempt, const ChunkVisitor& visit) override {
    std::lock_guard lock(reader_mutex_);
    ASSIGN_OR_RETURN(auto select, reader_->Prepare("SELECT payload FROM chunk WHERE run = ? AND "
                                                   "attempt = ? ORDER BY kind, stream, seq"));
    select.Bind(run).Bind(attempt);
    while (true) {
      ASSIGN_OR_RETURN(const bool more, select.Step());
      if (!more) return absl::OkStatus();
      const std::string_view bytes = select.Blob(0);
      v1::Chunk chunk;
      if (!chunk.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
        return absl::DataLossError(
            absl::StrCat("a chunk of run ", run, " in samples.db is damaged"));
      }
      RETURN_IF_ERROR(visit(chunk));
    }
  }

  absl::Status DoPutReport(uint64_t run, std::string_view bytes) override {
    std::lock_guard lock(writer_mutex_);
    ASSIGN_OR_RETURN(
        auto insert,
        writer_->Prepare("INSERT OR REPLACE INTO report (run, payload) VALUES (?, ?)"));
    return insert.Bind(run).BindBlob(bytes).Run();
  }

  absl::StatusOr<std::optional<std::string>> DoGetReport(uint64_t run) override {
    std::lock_guard lock(reader_mutex_);
    ASSIGN_OR_RETURN(auto select, reader_->Prepare("SELECT payload FROM report WHERE run = ?"));
    ASSIGN_OR_RETURN(const bool found, select.Bind(run).Step());
    if (!found) return std::optional<std::string>();
    return std::optional<std::string>(select.Blob(0));
  }

  // Two connections, so that a long read by the reporter does not hold up ingest.
  std::mutex writer_mutex_;
  std::unique_ptr<Database> writer_;
  std::mutex reader_mutex_;
  std::unique_ptr<Database> reader_;
};

}  // namespace

absl::StatusOr<SqlStores> OpenSqlStores(const std::string& folder) {
  const std::string events_path = folder + "/events.db";
  const std::string samples_path = folder + "/samples.db";
  if (access(events_path.c_str(), F_OK) != 0 && access(samples_path.c_str(), F_OK) == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(samples_path, " is there, but the event log ", events_path,
                     " is not; restore it from a backup, or move the samples away"));
  }
  ASSIGN_OR_RETURN(auto events, SqlEventStore::Open(events_path));
  ASSIGN_OR_RETURN(auto samples, SqlSampleStore::Open(samples_path, events->cluster_id()));
  return SqlStores{std::move(events), std::move(samples)};
}

}  // namespace rackmark

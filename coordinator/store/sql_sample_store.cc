#include "coordinator/store/sql_sample_store.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "coordinator/store/schema.h"

namespace rackmark {
namespace {

constexpr const char* kSampleMigrations[] = {kSamplesMigrate2, kSamplesMigrate3};
// Samples may be many GiB; each chunk carries its own checksum, so that no page is checked here.
// A chunk of a busy rank has 160 KiB: large pages take it in few writes.
const Database::Kind kSamplesKind = {
    "sample store", 0x524d4b53 /* RMKS */, 3, kSamplesSchema, kSampleMigrations, {}, 32 << 10};

Statement& BindKey(Statement& statement, const StreamKey& key) {
  return statement.Bind(key.run)
      .Bind(key.attempt)
      .Bind(static_cast<uint64_t>(key.kind))
      .Bind(key.stream);
}

absl::StatusOr<uint64_t> ReadMark(Database& db, const StreamKey& key) {
  ASSIGN_OR_RETURN(auto select, db.Prepare("SELECT seq FROM watermark WHERE run = ? AND attempt "
                                           "= ? AND kind = ? AND stream = ?"));
  ASSIGN_OR_RETURN(const bool found, BindKey(select, key).Step());
  return found ? select.Integer(0) : 0;
}

// The least value above `after` in the column of a table that is indexed by it.
absl::StatusOr<std::optional<uint64_t>> NextIn(Database& db, std::string_view sql, uint64_t after) {
  ASSIGN_OR_RETURN(auto select, db.Prepare(sql));
  ASSIGN_OR_RETURN(const bool found, select.Bind(after).Step());
  if (!found || select.IsNull(0)) return std::optional<uint64_t>();
  return std::optional<uint64_t>(select.Integer(0));
}

absl::StatusOr<uint64_t> Pragma(Database& db, std::string_view sql) {
  ASSIGN_OR_RETURN(auto select, db.Prepare(sql));
  RETURN_IF_ERROR(select.Step().status());
  return select.Integer(0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqlSampleStore>> SqlSampleStore::Open(
    const std::string& path, const std::string& cluster_id) {
  ASSIGN_OR_RETURN(auto writer, Database::Open(path, kSamplesKind, cluster_id));
  ASSIGN_OR_RETURN(const std::string theirs, writer->ClusterId());
  if (theirs != cluster_id) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " holds the samples of another cluster (", theirs.substr(0, 8), ", not ",
        cluster_id.substr(0, 8), "); put the right one beside events.db, or move it away"));
  }
  ASSIGN_OR_RETURN(auto reader, Database::OpenAgain(path));
  ASSIGN_OR_RETURN(auto copier, Database::OpenAgain(path));
  RETURN_IF_ERROR(writer->CheckpointByHand());
  return std::unique_ptr<SqlSampleStore>(
      new SqlSampleStore(std::move(writer), std::move(reader), std::move(copier)));
}

absl::StatusOr<std::vector<StreamMark>> SqlSampleStore::DoPutChunks(
    std::span<const v1::Chunk> chunks) {
  std::lock_guard lock(writer_mutex_);
  ASSIGN_OR_RETURN(auto insert, writer_->Prepare("INSERT OR IGNORE INTO chunk (run, attempt, "
                                                 "kind, stream, seq, payload) VALUES "
                                                 "(?, ?, ?, ?, ?, ?)"));
  RETURN_IF_ERROR(writer_->Execute("BEGIN IMMEDIATE"));
  std::set<StreamKey> touched;
  std::map<std::pair<uint64_t, uint32_t>, uint64_t> grown;  // by run and attempt, in bytes
  std::string bytes;  // one buffer for all: a fresh one for each would be mapped and cleared
  for (const v1::Chunk& chunk : chunks) {
    const StreamKey key = KeyOf(chunk.header());
    bytes.resize(chunk.ByteSizeLong());
    chunk.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(bytes.data()));
    RETURN_IF_ERROR(BindKey(insert, key).Bind(chunk.header().seq()).BindBlob(bytes).Run());
    if (writer_->Changes() > 0) grown[{key.run, key.attempt}] += bytes.size();
    touched.insert(key);
  }
  for (const auto& [attempt, size] : grown) RETURN_IF_ERROR(Grow(attempt, size));
  std::vector<StreamMark> marks;
  for (const StreamKey& key : touched) {
    ASSIGN_OR_RETURN(const uint64_t seq, Advance(key));
    marks.push_back({key, seq});
  }
  RETURN_IF_ERROR(writer_->Execute("COMMIT"));
  RETURN_IF_ERROR(checkpointer_.AfterCommit());
  return marks;
}

absl::Status SqlSampleStore::Grow(std::pair<uint64_t, uint32_t> attempt, uint64_t bytes) {
  ASSIGN_OR_RETURN(auto add, writer_->Prepare("INSERT INTO chunk_bytes (run, attempt, bytes) "
                                              "VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET bytes = "
                                              "bytes + excluded.bytes"));
  return add.Bind(attempt.first).Bind(attempt.second).Bind(bytes).Run();
}

absl::StatusOr<uint64_t> SqlSampleStore::Advance(const StreamKey& key) {
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

absl::StatusOr<uint64_t> SqlSampleStore::DoWatermark(const StreamKey& key) {
  std::lock_guard lock(reader_mutex_);
  return ReadMark(*reader_, key);
}

absl::StatusOr<uint64_t> SqlSampleStore::DoBytesOf(uint64_t run, uint32_t attempt) {
  std::lock_guard lock(writer_mutex_);  // ingest's own connection: no report holds it up
  ASSIGN_OR_RETURN(auto select, writer_->Prepare("SELECT bytes FROM chunk_bytes WHERE run = ? AND "
                                                 "attempt = ?"));
  ASSIGN_OR_RETURN(const bool found, select.Bind(run).Bind(attempt).Step());
  return found ? select.Integer(0) : 0;
}

absl::Status SqlSampleStore::DoForEachChunk(uint64_t run, uint32_t attempt,
                                            const ChunkVisitor& visit) {
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
      return absl::DataLossError(absl::StrCat("a chunk of run ", run, " in samples.db is damaged"));
    }
    RETURN_IF_ERROR(visit(std::move(chunk)));
  }
}

absl::StatusOr<std::vector<uint64_t>> SqlSampleStore::DoNextRuns(uint64_t after, uint64_t max,
                                                                 RunsWith what) {
  std::vector<std::string_view> questions = {
      "SELECT DISTINCT run FROM chunk_bytes WHERE run > ? ORDER BY run LIMIT ?"};
  if (what == RunsWith::kChunksOrReport) {
    questions.push_back("SELECT run FROM report WHERE run > ? ORDER BY run LIMIT ?");
  }
  std::lock_guard lock(reader_mutex_);
  std::set<uint64_t> runs;
  for (const std::string_view question : questions) {
    ASSIGN_OR_RETURN(auto select, reader_->Prepare(question));
    select.Bind(after).Bind(max);
    while (true) {
      ASSIGN_OR_RETURN(const bool more, select.Step());
      if (!more) break;
      runs.insert(select.Integer(0));
    }
  }
  std::vector<uint64_t> first(runs.begin(), runs.end());
  first.resize(std::min<size_t>(first.size(), max));
  return first;
}

absl::StatusOr<uint64_t> SqlSampleStore::DoDropChunks(uint64_t run, uint64_t max) {
  std::lock_guard lock(writer_mutex_);
  ASSIGN_OR_RETURN(auto drop, writer_->Prepare("DELETE FROM chunk WHERE rowid IN (SELECT rowid "
                                               "FROM chunk WHERE run = ? LIMIT ?)"));
  RETURN_IF_ERROR(drop.Bind(run).Bind(max).Run());
  const uint64_t dropped = writer_->Changes();
  RETURN_IF_ERROR(checkpointer_.AfterCommit());
  return dropped;
}

absl::Status SqlSampleStore::DoDropReport(uint64_t run) {
  std::lock_guard lock(writer_mutex_);
  ASSIGN_OR_RETURN(auto marks, writer_->Prepare("DELETE FROM watermark WHERE run = ?"));
  ASSIGN_OR_RETURN(auto report, writer_->Prepare("DELETE FROM report WHERE run = ?"));
  RETURN_IF_ERROR(writer_->Execute("BEGIN IMMEDIATE"));
  RETURN_IF_ERROR(marks.Bind(run).Run());
  RETURN_IF_ERROR(report.Bind(run).Run());
  RETURN_IF_ERROR(writer_->Execute("COMMIT"));
  return checkpointer_.AfterCommit();
}

absl::StatusOr<uint64_t> SqlSampleStore::DoUsedBytes() {
  std::lock_guard lock(writer_mutex_);
  ASSIGN_OR_RETURN(const uint64_t pages, Pragma(*writer_, "PRAGMA page_count"));
  ASSIGN_OR_RETURN(const uint64_t free, Pragma(*writer_, "PRAGMA freelist_count"));
  ASSIGN_OR_RETURN(const uint64_t size, Pragma(*writer_, "PRAGMA page_size"));
  return (pages - free) * size;
}

absl::StatusOr<uint64_t> SqlSampleStore::DoShrink(uint64_t max) {
  std::lock_guard lock(writer_mutex_);
  ASSIGN_OR_RETURN(const uint64_t before, Pragma(*writer_, "PRAGMA page_count"));
  ASSIGN_OR_RETURN(const uint64_t size, Pragma(*writer_, "PRAGMA page_size"));
  const uint64_t pages = std::max<uint64_t>(1, max / size);
  RETURN_IF_ERROR(writer_->Execute(absl::StrCat("PRAGMA incremental_vacuum(", pages, ")").c_str()));
  RETURN_IF_ERROR(checkpointer_.AfterCommit());
  ASSIGN_OR_RETURN(const uint64_t after, Pragma(*writer_, "PRAGMA page_count"));
  return (before - after) * size;
}

absl::Status SqlSampleStore::AdoptChunks(const Wanted& wanted) {
  std::vector<std::pair<uint64_t, uint32_t>> attempts;
  ASSIGN_OR_RETURN(auto select, writer_->Prepare("SELECT DISTINCT run, attempt FROM chunk UNION "
                                                 "SELECT DISTINCT run, attempt FROM watermark"));
  while (true) {
    ASSIGN_OR_RETURN(const bool more, select.Step());
    if (!more) break;
    attempts.emplace_back(select.Integer(0), static_cast<uint32_t>(select.Integer(1)));
  }
  for (const auto& [run, attempt] : attempts) {
    ASSIGN_OR_RETURN(const bool keep, wanted.chunks(run, attempt));
    if (keep) continue;
    for (const char* sql : {"DELETE FROM chunk WHERE run = ? AND attempt = ?",
                            "DELETE FROM watermark WHERE run = ? AND attempt = ?"}) {
      ASSIGN_OR_RETURN(auto drop, writer_->Prepare(sql));
      RETURN_IF_ERROR(drop.Bind(run).Bind(attempt).Run());
    }
  }
  return absl::OkStatus();
}

absl::Status SqlSampleStore::AdoptReports(const Wanted& wanted) {
  std::optional<uint64_t> run = 0;
  while (true) {
    ASSIGN_OR_RETURN(run, NextIn(*writer_, "SELECT min(run) FROM report WHERE run > ?", *run));
    if (!run) return absl::OkStatus();
    ASSIGN_OR_RETURN(const bool keep, wanted.report(*run));
    if (keep) continue;
    ASSIGN_OR_RETURN(auto drop, writer_->Prepare("DELETE FROM report WHERE run = ?"));
    RETURN_IF_ERROR(drop.Bind(*run).Run());
  }
}

absl::Status SqlSampleStore::DoAdopt(std::string_view cluster_id, const Wanted& wanted) {
  std::lock_guard lock(writer_mutex_);
  RETURN_IF_ERROR(writer_->Execute("BEGIN IMMEDIATE"));
  RETURN_IF_ERROR(AdoptChunks(wanted));
  RETURN_IF_ERROR(AdoptReports(wanted));
  RETURN_IF_ERROR(writer_->SetClusterId(cluster_id));
  RETURN_IF_ERROR(writer_->Execute("COMMIT"));
  return checkpointer_.AfterCommit();
}

absl::Status SqlSampleStore::DoPutReport(uint64_t run, std::string_view bytes) {
  std::lock_guard lock(writer_mutex_);
  ASSIGN_OR_RETURN(auto insert,
                   writer_->Prepare("INSERT OR REPLACE INTO report (run, payload) VALUES (?, ?)"));
  RETURN_IF_ERROR(insert.Bind(run).BindBlob(bytes).Run());
  return checkpointer_.AfterCommit();
}

absl::StatusOr<std::optional<std::string>> SqlSampleStore::DoGetReport(uint64_t run) {
  std::lock_guard lock(reader_mutex_);
  ASSIGN_OR_RETURN(auto select, reader_->Prepare("SELECT payload FROM report WHERE run = ?"));
  ASSIGN_OR_RETURN(const bool found, select.Bind(run).Step());
  if (!found) return std::optional<std::string>();
  return std::optional<std::string>(select.Blob(0));
}

}  // namespace rackmark

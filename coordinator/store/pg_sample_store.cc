#include "coordinator/store/pg_sample_store.h"

#include <set>
#include <vector>

namespace rackmark {
namespace {

constexpr uint64_t kChunksPerRead = 16;  // of up to 256 KiB, as they are sealed

// Four arrays, one element of each per stream.
struct Keys {
  void Add(const StreamKey& key) {
    runs.push_back(key.run);
    attempts.push_back(key.attempt);
    kinds.push_back(static_cast<uint64_t>(key.kind));
    streams.push_back(key.stream);
  }
  PgParams Params() const {
    PgParams params;
    params.Ints(runs).Ints(attempts).Ints(kinds).Ints(streams);
    return params;
  }
  std::vector<uint64_t> runs, attempts, kinds, streams;
};

PgStatement InsertChunks(std::span<const v1::Chunk> chunks) {
  Keys keys;
  std::vector<uint64_t> seqs;
  PgBytesArray payloads;
  for (const v1::Chunk& chunk : chunks) {
    keys.Add(KeyOf(chunk.header()));
    seqs.push_back(chunk.header().seq());
    chunk.SerializeWithCachedSizesToArray(payloads.AddRoom(chunk.ByteSizeLong()));
  }
  PgParams params = keys.Params();
  params.Ints(seqs).BytesArray(std::move(payloads));
  return {
      "WITH put AS (INSERT INTO chunk (run, attempt, kind, stream, seq, payload) SELECT * FROM "
      "unnest($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING run, attempt, "
      "octet_length(payload) AS size), "
      "grown AS (INSERT INTO chunk_bytes AS old (run, attempt, bytes) SELECT run, attempt, "
      "sum(size) FROM put GROUP BY run, attempt ON CONFLICT (run, attempt) DO UPDATE SET bytes = "
      "old.bytes + excluded.bytes) "
      "UPDATE used_bytes SET bytes = bytes + (SELECT coalesce(sum(size), 0) FROM put)",
      std::move(params)};
}

// Moves the watermark of each stream over all chunks that follow without a gap: those whose seq is
// as far from the old mark as their row among them.
constexpr std::string_view kAdvance =
    "INSERT INTO watermark AS old (run, attempt, kind, stream, seq) "
    "SELECT key.run, key.attempt, key.kind, key.stream, moved.seq "
    "FROM unnest($1, $2, $3, $4) AS key (run, attempt, kind, stream) "
    "LEFT JOIN watermark AS mark USING (run, attempt, kind, stream) "
    "CROSS JOIN LATERAL (SELECT max(seq) AS seq FROM ("
    "  SELECT chunk.seq, chunk.seq - row_number() OVER (ORDER BY chunk.seq) AS distance FROM chunk "
    "  WHERE chunk.run = key.run AND chunk.attempt = key.attempt AND chunk.kind = key.kind AND "
    "  chunk.stream = key.stream AND chunk.seq > coalesce(mark.seq, 0)) AS following "
    "  WHERE distance = coalesce(mark.seq, 0)) AS moved "
    "WHERE moved.seq IS NOT NULL "
    "ON CONFLICT (run, attempt, kind, stream) DO UPDATE SET seq = excluded.seq";

constexpr std::string_view kMarks =
    "SELECT coalesce(mark.seq, 0) FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS key (run, "
    "attempt, "
    "kind, stream, at) LEFT JOIN watermark AS mark USING (run, attempt, kind, stream) ORDER BY at";

PgParams One(uint64_t value) {
  PgParams params;
  params.Int(value);
  return params;
}

PgParams Two(uint64_t first, uint64_t second) {
  PgParams params;
  params.Int(first).Int(second);
  return params;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PgSampleStore>> PgSampleStore::Open(const PgOptions& options,
                                                                   uint64_t term) {
  ASSIGN_OR_RETURN(auto writer, PgConnection::Open(options, PgSessionName(term)));
  ASSIGN_OR_RETURN(auto reader, PgReader::Open(options, term));
  return std::unique_ptr<PgSampleStore>(
      new PgSampleStore(PgWriter(std::move(writer), term), std::move(reader)));
}

absl::StatusOr<std::vector<StreamMark>> PgSampleStore::DoPutChunks(
    std::span<const v1::Chunk> chunks) {
  std::set<StreamKey> touched;
  for (const v1::Chunk& chunk : chunks) touched.insert(KeyOf(chunk.header()));
  Keys keys;
  for (const StreamKey& key : touched) keys.Add(key);
  std::vector<PgStatement> statements;
  statements.push_back(InsertChunks(chunks));
  statements.push_back({kAdvance, keys.Params()});
  statements.push_back({kMarks, keys.Params()});
  std::lock_guard lock(writer_mutex_);
  ASSIGN_OR_RETURN(const auto results, writer_.Commit(std::move(statements)));
  const PgResult& rows = results.back();
  RACKMARK_CHECK(rows.rows() == touched.size());
  std::vector<StreamMark> marks;
  for (const StreamKey& key : touched) marks.push_back({key, rows.Integer(marks.size(), 0)});
  return marks;
}

absl::StatusOr<uint64_t> PgSampleStore::DoWatermark(const StreamKey& key) {
  Keys keys;
  keys.Add(key);
  std::lock_guard lock(reader_mutex_);
  ASSIGN_OR_RETURN(const PgResult rows, reader_.Query(kMarks, keys.Params()));
  return rows.Integer(0, 0);
}

absl::StatusOr<uint64_t> PgSampleStore::DoBytesOf(uint64_t run, uint32_t attempt) {
  std::lock_guard lock(writer_mutex_);  // ingest's own connection: no report holds it up
  ASSIGN_OR_RETURN(
      const PgResult rows,
      writer_.Read("SELECT coalesce(sum(bytes), 0)::bigint FROM chunk_bytes WHERE run = $1 "
                   "AND attempt = $2",
                   Two(run, attempt)));
  return rows.Integer(0, 0);
}

absl::Status PgSampleStore::DoForEachChunk(uint64_t run, uint32_t attempt,
                                           const ChunkVisitor& visit) {
  std::lock_guard lock(reader_mutex_);
  uint64_t kind = 0, stream = 0, seq = 0;  // of the last one read; seqs begin with 1
  while (true) {
    PgParams params = Two(run, attempt);
    params.Int(kind).Int(stream).Int(seq).Int(kChunksPerRead);
    ASSIGN_OR_RETURN(const PgResult rows,
                     reader_.Query("SELECT kind, stream, seq, payload FROM chunk WHERE run = $1 "
                                   "AND attempt = $2 AND (kind, stream, seq) > ($3, $4, $5) ORDER "
                                   "BY kind, stream, seq LIMIT $6",
                                   params));
    for (size_t row = 0; row < rows.rows(); ++row) {
      const std::string_view bytes = rows.Bytes(row, 3);
      v1::Chunk chunk;
      if (!chunk.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
        return absl::DataLossError(
            absl::StrCat("a chunk of run ", run, " in the database is damaged"));
      }
      RETURN_IF_ERROR(visit(std::move(chunk)));
    }
    if (rows.rows() < kChunksPerRead) return absl::OkStatus();
    const size_t last = rows.rows() - 1;
    kind = rows.Integer(last, 0);
    stream = rows.Integer(last, 1);
    seq = rows.Integer(last, 2);
  }
}

absl::StatusOr<std::vector<uint64_t>> PgSampleStore::DoNextRuns(uint64_t after, uint64_t max,
                                                                RunsWith what) {
  constexpr std::string_view kWithChunks =
      "SELECT DISTINCT run FROM chunk_bytes WHERE run > $1 AND bytes > 0 ORDER BY run LIMIT $2";
  constexpr std::string_view kWithEither =
      "(SELECT DISTINCT run FROM chunk_bytes WHERE run > $1 AND bytes > 0 ORDER BY run LIMIT $2) "
      "UNION (SELECT run FROM report WHERE run > $1 ORDER BY run LIMIT $2) ORDER BY run LIMIT $2";
  std::lock_guard lock(reader_mutex_);
  ASSIGN_OR_RETURN(
      const PgResult rows,
      reader_.Query(what == RunsWith::kChunks ? kWithChunks : kWithEither, Two(after, max)));
  std::vector<uint64_t> runs;
  for (size_t row = 0; row < rows.rows(); ++row) runs.push_back(rows.Integer(row, 0));
  return runs;
}

absl::StatusOr<uint64_t> PgSampleStore::DoDropChunks(uint64_t run, uint64_t max) {
  std::vector<PgStatement> statements;
  statements.push_back(
      {"WITH gone AS (DELETE FROM chunk WHERE ctid = ANY (ARRAY(SELECT ctid FROM chunk WHERE run "
       "= $1 LIMIT $2)) RETURNING attempt, octet_length(payload) AS size), "
       "less AS (SELECT attempt, sum(size) AS size FROM gone GROUP BY attempt), "
       "shrunk AS (UPDATE chunk_bytes SET bytes = chunk_bytes.bytes - less.size FROM less WHERE "
       "chunk_bytes.run = $1 AND chunk_bytes.attempt = less.attempt) "
       "UPDATE used_bytes SET bytes = bytes - (SELECT coalesce(sum(size), 0) FROM gone) RETURNING "
       "(SELECT count(*) FROM gone)",
       Two(run, max)});
  std::lock_guard lock(writer_mutex_);
  ASSIGN_OR_RETURN(const auto results, writer_.Commit(std::move(statements)));
  return results.front().Integer(0, 0);
}

absl::Status PgSampleStore::DoDropReport(uint64_t run) {
  std::vector<PgStatement> statements;
  statements.push_back({"DELETE FROM watermark WHERE run = $1", One(run)});
  // A chunk that came in since its run's were dropped is counted still.
  statements.push_back({"DELETE FROM chunk_bytes WHERE run = $1 AND bytes = 0", One(run)});
  statements.push_back(
      {"WITH gone AS (DELETE FROM report WHERE run = $1 RETURNING octet_length(payload) AS size) "
       "UPDATE used_bytes SET bytes = bytes - (SELECT coalesce(sum(size), 0) FROM gone)",
       One(run)});
  std::lock_guard lock(writer_mutex_);
  return writer_.Commit(std::move(statements)).status();
}

// Of what the rows hold: the size of the tables says nothing, because the server keeps what deleted
// rows have left for later ones.
absl::StatusOr<uint64_t> PgSampleStore::DoUsedBytes() {
  std::lock_guard lock(writer_mutex_);
  ASSIGN_OR_RETURN(const PgResult rows, writer_.Read("SELECT bytes FROM used_bytes"));
  if (rows.rows() != 1) {
    return absl::DataLossError(absl::StrCat(writer_.where(), " has lost the row of used_bytes"));
  }
  return rows.Integer(0, 0);
}

// The server's autovacuum frees the room of deleted rows for later ones.
absl::StatusOr<uint64_t> PgSampleStore::DoShrink(uint64_t) { return 0; }

absl::Status PgSampleStore::DoAdopt(std::string_view cluster_id, const Wanted& wanted) {
  std::lock_guard lock(writer_mutex_);
  ASSIGN_OR_RETURN(const PgResult rows,
                   writer_.Read("SELECT run, attempt FROM chunk UNION SELECT run, attempt FROM "
                                "watermark"));
  std::vector<uint64_t> runs, attempts, reports;
  for (size_t row = 0; row < rows.rows(); ++row) {
    const uint64_t run = rows.Integer(row, 0), attempt = rows.Integer(row, 1);
    ASSIGN_OR_RETURN(const bool keep, wanted.chunks(run, static_cast<uint32_t>(attempt)));
    if (keep) continue;
    runs.push_back(run);
    attempts.push_back(attempt);
  }
  ASSIGN_OR_RETURN(const PgResult kept, writer_.Read("SELECT run FROM report"));
  for (size_t row = 0; row < kept.rows(); ++row) {
    ASSIGN_OR_RETURN(const bool keep, wanted.report(kept.Integer(row, 0)));
    if (!keep) reports.push_back(kept.Integer(row, 0));
  }
  PgParams chunks, sums, marks, dropped, id;
  chunks.Ints(runs).Ints(attempts);
  sums.Ints(runs).Ints(attempts);
  marks.Ints(runs).Ints(attempts);
  dropped.Ints(reports);
  id.Text(cluster_id);
  std::vector<PgStatement> statements;
  statements.push_back(
      {"WITH dropped AS (DELETE FROM chunk USING unnest($1, $2) AS gone (run, attempt) WHERE "
       "chunk.run = gone.run AND chunk.attempt = gone.attempt RETURNING octet_length(payload) AS "
       "size) UPDATE used_bytes SET bytes = bytes - (SELECT coalesce(sum(size), 0) FROM dropped)",
       std::move(chunks)});
  statements.push_back(
      {"DELETE FROM chunk_bytes USING unnest($1, $2) AS gone (run, attempt) WHERE "
       "chunk_bytes.run = gone.run AND chunk_bytes.attempt = gone.attempt",
       std::move(sums)});
  statements.push_back(
      {"DELETE FROM watermark USING unnest($1, $2) AS gone (run, attempt) WHERE "
       "watermark.run = gone.run AND watermark.attempt = gone.attempt",
       std::move(marks)});
  statements.push_back(
      {"WITH dropped AS (DELETE FROM report WHERE run = ANY ($1) RETURNING octet_length(payload) "
       "AS size) UPDATE used_bytes SET bytes = bytes - (SELECT coalesce(sum(size), 0) FROM "
       "dropped)",
       std::move(dropped)});
  statements.push_back({"UPDATE meta SET cluster_id = $1", std::move(id)});
  return writer_.Commit(std::move(statements)).status();
}

absl::Status PgSampleStore::DoPutReport(uint64_t run, std::string_view bytes) {
  PgParams params;
  params.Int(run).Bytes(bytes);
  std::vector<PgStatement> statements;
  statements.push_back(
      {"WITH old AS (SELECT octet_length(payload) AS size FROM report WHERE run = $1), "
       "put AS (INSERT INTO report (run, payload) VALUES ($1, $2) ON CONFLICT (run) DO UPDATE SET "
       "payload = excluded.payload) "
       "UPDATE used_bytes SET bytes = bytes + octet_length($2) - coalesce((SELECT size FROM old), "
       "0)",
       std::move(params)});
  std::lock_guard lock(writer_mutex_);
  return writer_.Commit(std::move(statements)).status();
}

absl::StatusOr<std::optional<std::string>> PgSampleStore::DoGetReport(uint64_t run) {
  std::lock_guard lock(reader_mutex_);
  ASSIGN_OR_RETURN(const PgResult rows,
                   reader_.Query("SELECT payload FROM report WHERE run = $1", One(run)));
  if (rows.rows() == 0) return std::optional<std::string>();
  return std::optional<std::string>(rows.Bytes(0, 0));
}

}  // namespace rackmark

#include "coordinator/store/pg_history.h"

#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

// Columns id, crc32 and payload come first.
template <typename Record>
absl::StatusOr<Record> ReadRecord(const PgResult& rows, size_t row, std::string_view what) {
  const std::string_view bytes = rows.Bytes(row, 2);
  Record record;
  if (Crc32(bytes) == rows.Integer(row, 1) &&
      record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return record;
  }
  return absl::DataLossError(absl::StrCat("the row of ", ToAbsl(what), " ", rows.Integer(row, 0),
                                          " in the database is damaged; restore it from a backup"));
}

template <typename Record>
absl::StatusOr<std::vector<Record>> ReadRecords(const PgResult& rows, std::string_view what) {
  std::vector<Record> records;
  for (size_t row = 0; row < rows.rows(); ++row) {
    ASSIGN_OR_RETURN(records.emplace_back(), ReadRecord<Record>(rows, row, what));
  }
  return records;
}

PgParams One(uint64_t value) {
  PgParams params;
  params.Int(value);
  return params;
}

}  // namespace

absl::StatusOr<std::vector<v1::JobRecord>> PgHistory::Jobs(size_t limit) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(
      const PgResult rows,
      reader_.Query("SELECT id, crc32, payload FROM job ORDER BY id DESC LIMIT $1", One(limit)));
  return ReadRecords<v1::JobRecord>(rows, "job");
}

absl::StatusOr<std::vector<v1::RunRecord>> PgHistory::Runs(size_t limit) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(
      const PgResult rows,
      reader_.Query("SELECT id, crc32, payload FROM run ORDER BY id DESC LIMIT $1", One(limit)));
  return ReadRecords<v1::RunRecord>(rows, "run");
}

absl::StatusOr<History::Totals> PgHistory::Count() {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(
      const PgResult rows,
      reader_.Query("SELECT COUNT(*), COALESCE(SUM(runs), 0)::BIGINT FROM job", PgParams()));
  return Totals{rows.Integer(0, 0), rows.Integer(0, 1)};
}

absl::StatusOr<std::optional<v1::EndedJob>> PgHistory::Job(uint64_t job) {
  std::lock_guard lock(mutex_);
  // The runs belong to the same instant: nobody may drop them in between.
  std::vector<PgStatement> statements;
  statements.push_back({"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"});
  statements.push_back({"SELECT id, crc32, payload, source FROM job WHERE id = $1", One(job)});
  statements.push_back(
      {"SELECT run.id, run.crc32, run.payload FROM run JOIN job ON run.id >= "
       "job.first_run AND run.id < job.first_run + job.runs WHERE job.id = $1 "
       "ORDER BY run.id",
       One(job)});
  ASSIGN_OR_RETURN(const auto results, reader_.Transact(statements));
  if (results[1].rows() == 0) return std::optional<v1::EndedJob>();
  v1::EndedJob ended;
  ASSIGN_OR_RETURN(*ended.mutable_job(), ReadRecord<v1::JobRecord>(results[1], 0, "job"));
  ended.mutable_job()->mutable_job()->set_source(std::string(results[1].Bytes(0, 3)));
  ASSIGN_OR_RETURN(auto records, ReadRecords<v1::RunRecord>(results[2], "run"));
  for (v1::RunRecord& record : records) *ended.add_runs() = std::move(record);
  return std::optional<v1::EndedJob>(std::move(ended));
}

absl::StatusOr<std::optional<v1::RunRecord>> PgHistory::Run(uint64_t run) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const PgResult rows,
                   reader_.Query("SELECT id, crc32, payload FROM run WHERE id = $1", One(run)));
  if (rows.rows() == 0) return std::optional<v1::RunRecord>();
  ASSIGN_OR_RETURN(auto record, ReadRecord<v1::RunRecord>(rows, 0, "run"));
  return std::optional<v1::RunRecord>(std::move(record));
}

absl::StatusOr<std::optional<int64_t>> PgHistory::EndedAt(uint64_t run) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const PgResult rows,
                   reader_.Query("SELECT job.ended_unix_ns FROM run JOIN job ON job.id = run.job "
                                 "WHERE run.id = $1",
                                 One(run)));
  if (rows.rows() == 0) return std::optional<int64_t>();
  return std::optional<int64_t>(static_cast<int64_t>(rows.Integer(0, 0)));
}

absl::StatusOr<std::vector<std::optional<int64_t>>> PgHistory::EndedAt(
    std::span<const uint64_t> runs) {
  PgParams params;
  params.Ints(runs);
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const PgResult rows,
                   reader_.Query("SELECT job.ended_unix_ns FROM unnest($1) WITH ORDINALITY AS "
                                 "asked (id, at) LEFT JOIN run ON run.id = asked.id LEFT JOIN job "
                                 "ON job.id = run.job ORDER BY asked.at",
                                 params));
  std::vector<std::optional<int64_t>> ended(rows.rows());
  for (size_t row = 0; row < rows.rows(); ++row) {
    if (!rows.IsNull(row, 0)) ended[row] = static_cast<int64_t>(rows.Integer(row, 0));
  }
  return ended;
}

absl::StatusOr<std::vector<History::RunRange>> PgHistory::EndedBetween(int64_t from,
                                                                       int64_t before) {
  PgParams params;
  params.Int(static_cast<uint64_t>(from)).Int(static_cast<uint64_t>(before));
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const PgResult rows,
                   reader_.Query("SELECT first_run, runs FROM job WHERE ended_unix_ns >= $1 AND "
                                 "ended_unix_ns < $2 ORDER BY ended_unix_ns, id",
                                 params));
  std::vector<RunRange> ranges;
  for (size_t row = 0; row < rows.rows(); ++row) {
    ranges.push_back({rows.Integer(row, 0), rows.Integer(row, 1)});
  }
  return ranges;
}

void InsertEnded(std::span<const v1::EndedJob> ended, std::vector<PgStatement>& statements) {
  std::vector<uint64_t> ids, ends, firsts, totals, checksums, run_ids, run_jobs, run_checksums;
  PgBytesArray payloads, sources, run_payloads;
  for (const v1::EndedJob& one : ended) {
    v1::JobRecord job = one.job();
    sources.Add(job.job().source());
    job.mutable_job()->clear_source();
    const std::string bytes = job.SerializeAsString();
    payloads.Add(bytes);
    checksums.push_back(Crc32(bytes));
    ids.push_back(job.job_id());
    ends.push_back(static_cast<uint64_t>(job.ended_unix_ns()));
    firsts.push_back(job.first_run_id());
    totals.push_back(job.runs_total());
    for (const v1::RunRecord& run : one.runs()) {
      const std::string payload = run.SerializeAsString();
      run_payloads.Add(payload);
      run_checksums.push_back(Crc32(payload));
      run_ids.push_back(run.run_id());
      run_jobs.push_back(run.job_id());
    }
  }
  PgParams jobs, runs;
  jobs.Ints(ids).Ints(ends).Ints(firsts).Ints(totals).Ints(checksums);
  jobs.BytesArray(std::move(payloads)).BytesArray(std::move(sources));
  runs.Ints(run_ids).Ints(run_jobs).Ints(run_checksums).BytesArray(std::move(run_payloads));
  statements.push_back(
      {"INSERT INTO job (id, ended_unix_ns, first_run, runs, crc32, payload, "
       "source) SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO "
       "NOTHING",
       std::move(jobs)});
  statements.push_back(
      {"INSERT INTO run (id, job, crc32, payload) SELECT * FROM unnest($1, $2, $3, "
       "$4) ON CONFLICT DO NOTHING",
       std::move(runs)});
}

PgStatement DropEnded(int64_t before, uint64_t max) {
  PgParams params;
  params.Int(static_cast<uint64_t>(before)).Int(max);
  return {
      "WITH old AS (SELECT id, first_run, runs, ended_unix_ns FROM job WHERE ended_unix_ns < $1 "
      "ORDER BY ended_unix_ns, id LIMIT $2), "
      "counted AS (SELECT *, sum(1 + runs) OVER (ORDER BY ended_unix_ns, id) - (1 + runs) AS "
      "rows_before FROM old), "
      "chosen AS (SELECT * FROM counted WHERE rows_before < $2), "
      "gone_runs AS (DELETE FROM run USING chosen WHERE run.id >= chosen.first_run AND run.id < "
      "chosen.first_run + chosen.runs), "
      "gone_jobs AS (DELETE FROM job USING chosen WHERE job.id = chosen.id) "
      "SELECT coalesce(sum(1 + runs), 0)::bigint FROM chosen",
      std::move(params)};
}

}  // namespace rackmark

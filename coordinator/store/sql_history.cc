#include "coordinator/store/sql_history.h"

#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

// Columns crc32 and payload of the row that stands ready.
template <typename Record>
absl::StatusOr<Record> ReadRecord(const Statement& row, std::string_view what, int crc_column) {
  const std::string_view bytes = row.Blob(crc_column + 1);
  Record record;
  if (Crc32(bytes) == row.Integer(crc_column) &&
      record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return record;
  }
  return absl::DataLossError(absl::StrCat("the row of ", ToAbsl(what), " ", row.Integer(0),
                                          " in events.db is damaged; restore it from a backup"));
}

template <typename Record>
absl::StatusOr<std::vector<Record>> ReadRecords(Statement& select, std::string_view what) {
  std::vector<Record> records;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, select.Step());
    if (!more) return records;
    ASSIGN_OR_RETURN(records.emplace_back(), ReadRecord<Record>(select, what, 1));
  }
}

}  // namespace

absl::StatusOr<std::vector<v1::JobRecord>> SqlHistory::Jobs(size_t limit) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto select,
                   reader_->Prepare("SELECT id, crc32, payload FROM job ORDER BY id DESC LIMIT ?"));
  return ReadRecords<v1::JobRecord>(select.Bind(limit), "job");
}

absl::StatusOr<std::vector<v1::RunRecord>> SqlHistory::Runs(size_t limit) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto select,
                   reader_->Prepare("SELECT id, crc32, payload FROM run ORDER BY id DESC LIMIT ?"));
  return ReadRecords<v1::RunRecord>(select.Bind(limit), "run");
}

// By the jobs alone: of a million runs the table of runs would be read from end to end.
absl::StatusOr<History::Totals> SqlHistory::Count() {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto select,
                   reader_->Prepare("SELECT COUNT(*), COALESCE(SUM(runs), 0) FROM job"));
  RETURN_IF_ERROR(select.Step().status());
  return Totals{select.Integer(0), select.Integer(1)};
}

absl::StatusOr<std::optional<v1::EndedJob>> SqlHistory::Job(uint64_t job) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(
      auto select,
      reader_->Prepare("SELECT id, crc32, payload, source, first_run, runs FROM job WHERE id = ?"));
  ASSIGN_OR_RETURN(const bool found, select.Bind(job).Step());
  if (!found) return std::optional<v1::EndedJob>();
  v1::EndedJob ended;
  ASSIGN_OR_RETURN(*ended.mutable_job(), ReadRecord<v1::JobRecord>(select, "job", 1));
  ended.mutable_job()->mutable_job()->set_source(std::string(select.Blob(3)));
  const uint64_t first = select.Integer(4), runs = select.Integer(5);
  ASSIGN_OR_RETURN(auto rows, reader_->Prepare("SELECT id, crc32, payload FROM run WHERE id >= ? "
                                               "AND id < ? ORDER BY id"));
  ASSIGN_OR_RETURN(auto records,
                   ReadRecords<v1::RunRecord>(rows.Bind(first).Bind(first + runs), "run"));
  for (v1::RunRecord& record : records) *ended.add_runs() = std::move(record);
  return std::optional<v1::EndedJob>(std::move(ended));
}

absl::StatusOr<std::optional<v1::RunRecord>> SqlHistory::Run(uint64_t run) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto select,
                   reader_->Prepare("SELECT id, crc32, payload FROM run WHERE id = ?"));
  ASSIGN_OR_RETURN(const bool found, select.Bind(run).Step());
  if (!found) return std::optional<v1::RunRecord>();
  ASSIGN_OR_RETURN(auto record, ReadRecord<v1::RunRecord>(select, "run", 1));
  return std::optional<v1::RunRecord>(std::move(record));
}

absl::StatusOr<std::optional<int64_t>> SqlHistory::EndedAt(uint64_t run) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto select,
                   reader_->Prepare("SELECT job.ended_unix_ns FROM run JOIN job ON job.id = "
                                    "run.job WHERE run.id = ?"));
  ASSIGN_OR_RETURN(const bool found, select.Bind(run).Step());
  if (!found) return std::optional<int64_t>();
  return std::optional<int64_t>(static_cast<int64_t>(select.Integer(0)));
}

absl::StatusOr<std::vector<std::optional<int64_t>>> SqlHistory::EndedAt(
    std::span<const uint64_t> runs) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto select,
                   reader_->Prepare("SELECT job.ended_unix_ns FROM run JOIN job ON job.id = "
                                    "run.job WHERE run.id = ?"));
  std::vector<std::optional<int64_t>> ended;
  for (const uint64_t run : runs) {
    ASSIGN_OR_RETURN(const bool found, select.Bind(run).Step());
    ended.emplace_back();
    if (found) ended.back() = static_cast<int64_t>(select.Integer(0));
    select.Reset();
  }
  return ended;
}

absl::StatusOr<std::vector<History::RunRange>> SqlHistory::EndedBetween(int64_t from,
                                                                        int64_t before) {
  std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(auto select,
                   reader_->Prepare("SELECT first_run, runs FROM job WHERE ended_unix_ns >= ? AND "
                                    "ended_unix_ns < ? ORDER BY ended_unix_ns, id"));
  select.Bind(static_cast<uint64_t>(from)).Bind(static_cast<uint64_t>(before));
  std::vector<RunRange> ranges;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, select.Step());
    if (!more) return ranges;
    ranges.push_back({select.Integer(0), select.Integer(1)});
  }
}

absl::Status InsertEnded(Database& db, const v1::EndedJob& ended) {
  v1::JobRecord job = ended.job();
  const std::string source = job.job().source();
  job.mutable_job()->clear_source();
  const std::string bytes = job.SerializeAsString();
  ASSIGN_OR_RETURN(auto insert,
                   db.Prepare("INSERT OR IGNORE INTO job (id, ended_unix_ns, first_run, runs, "
                              "crc32, payload, source) VALUES (?, ?, ?, ?, ?, ?, ?)"));
  insert.Bind(job.job_id()).Bind(static_cast<uint64_t>(job.ended_unix_ns()));
  insert.Bind(job.first_run_id()).Bind(job.runs_total());
  RETURN_IF_ERROR(insert.Bind(Crc32(bytes)).BindBlob(bytes).BindText(source).Run());
  ASSIGN_OR_RETURN(auto row,
                   db.Prepare("INSERT OR IGNORE INTO run (id, job, crc32, payload) VALUES "
                              "(?, ?, ?, ?)"));
  for (const v1::RunRecord& run : ended.runs()) {
    const std::string payload = run.SerializeAsString();
    row.Bind(run.run_id()).Bind(run.job_id()).Bind(Crc32(payload));
    RETURN_IF_ERROR(row.BindBlob(payload).Run());
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> DropEnded(Database& db, int64_t before, uint64_t max) {
  ASSIGN_OR_RETURN(auto select,
                   db.Prepare("SELECT id, first_run, runs FROM job WHERE ended_unix_ns < ? ORDER "
                              "BY ended_unix_ns LIMIT ?"));
  ASSIGN_OR_RETURN(auto drop_runs, db.Prepare("DELETE FROM run WHERE id >= ? AND id < ?"));
  ASSIGN_OR_RETURN(auto drop_job, db.Prepare("DELETE FROM job WHERE id = ?"));
  select.Bind(static_cast<uint64_t>(before)).Bind(max);
  struct Row {
    uint64_t job, first_run, runs;
  };
  std::vector<Row> rows;
  uint64_t dropped = 0;
  while (dropped < max) {
    ASSIGN_OR_RETURN(const bool more, select.Step());
    if (!more) break;
    rows.push_back({select.Integer(0), select.Integer(1), select.Integer(2)});
    dropped += 1 + rows.back().runs;
  }
  select.Reset();
  for (const Row& row : rows) {
    RETURN_IF_ERROR(drop_runs.Bind(row.first_run).Bind(row.first_run + row.runs).Run());
    RETURN_IF_ERROR(drop_job.Bind(row.job).Run());
  }
  return dropped;
}

}  // namespace rackmark

#include "coordinator/store/sqlite_db.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "common/text.h"

namespace rackmark {
namespace {

absl::Status SqlError(sqlite3* db, std::string_view path, std::string_view what) {
  const int code = db == nullptr ? SQLITE_NOMEM : sqlite3_extended_errcode(db);
  const std::string text = absl::StrCat(ToAbsl(path), ": ", ToAbsl(what), ": ", sqlite3_errmsg(db),
                                        " (SQLite code ", code, ")");
  // What could not be read now may be there the next time; what could not be written is another
  // matter.
  if (code == SQLITE_IOERR_READ || code == SQLITE_IOERR_SHORT_READ) {
    return absl::UnavailableError(text);
  }
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return absl::DataLossError(text);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_NOMEM: return absl::UnavailableError(text);
    case SQLITE_TOOBIG: return absl::OutOfRangeError(text);
    case SQLITE_FULL: return absl::ResourceExhaustedError(text);
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_READONLY: return absl::PermissionDeniedError(text);
    default: return absl::InternalError(text);
  }
}

uint32_t BigEndian32(const unsigned char* p) {
  return static_cast<uint32_t>(p[0]) << 24 | static_cast<uint32_t>(p[1]) << 16 |
         static_cast<uint32_t>(p[2]) << 8 | static_cast<uint32_t>(p[3]);
}

constexpr char kRemedy[] = "; give another --data folder, or move the file away";

absl::Status CheckVersion(const std::string& path, const Database::Kind& kind, uint64_t version) {
  if (version >= 1 && version <= kind.version) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      path, " has format version ", version, " of the ", ToAbsl(kind.what), ", this build reads ",
      kind.version == 1 ? "" : "versions 1 to ", kind.version, "; use the rackmark that wrote it"));
}

// Reads the 100-byte header without SQLite, so that a foreign file is not touched in any way: no
// journal replayed, no -wal made. Creation sets both numbers before WAL mode, so they stand here.
absl::Status CheckHeader(const std::string& path, const Database::Kind& kind) {
  std::FILE* file = std::fopen(path.c_str(), "rbe");
  if (file == nullptr) return ErrnoStatus(errno, absl::StrCat("opening ", path));
  std::array<unsigned char, 100> header{};
  const size_t got = std::fread(header.data(), 1, header.size(), file);
  std::fclose(file);
  constexpr std::string_view kMagic("SQLite format 3\0", 16);
  if (got < header.size() ||
      std::string_view(reinterpret_cast<const char*>(header.data()), 16) != kMagic) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is not a database (no SQLite header)", kRemedy));
  }
  if (BigEndian32(&header[68]) != kind.application_id) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is a database of another application, not a rackmark ",
                     ToAbsl(kind.what), kRemedy));
  }
  return CheckVersion(path, kind, BigEndian32(&header[60]));
}

absl::Status SyncFolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("opening ", folder));
  const int rc = fsync(fd);
  const int error = errno;
  close(fd);
  return rc == 0 ? absl::OkStatus() : ErrnoStatus(error, absl::StrCat("syncing ", folder));
}

}  // namespace

Statement::Statement(sqlite3* db, sqlite3_stmt* statement, std::string path)
    : db_(db), statement_(statement), path_(std::move(path)) {}

Statement::Statement(Statement&& other) noexcept
    : db_(other.db_),
      statement_(std::exchange(other.statement_, nullptr)),
      path_(std::move(other.path_)),
      next_(other.next_),
      bound_(other.bound_) {}

Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::Bind(uint64_t value) {
  return NoteBound(sqlite3_bind_int64(statement_, next_++, static_cast<sqlite3_int64>(value)));
}

Statement& Statement::BindBlob(std::string_view bytes) {
  return NoteBound(
      sqlite3_bind_blob64(statement_, next_++, bytes.data(), bytes.size(), SQLITE_STATIC));
}

Statement& Statement::BindText(std::string_view text) {
  return NoteBound(sqlite3_bind_text64(statement_, next_++, text.data(), text.size(), SQLITE_STATIC,
                                       SQLITE_UTF8));
}

// MISUSE and RANGE are our bugs; TOOBIG and NOMEM may come of what is bound.
Statement& Statement::NoteBound(int rc) {
  RACKMARK_CHECK(rc != SQLITE_MISUSE && rc != SQLITE_RANGE);
  if (bound_ == SQLITE_OK) bound_ = rc;
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  if (bound_ != SQLITE_OK) {
    const std::string text =
        absl::StrCat(path_, ": a value cannot be bound: ", sqlite3_errstr(bound_));
    if (bound_ == SQLITE_TOOBIG) return absl::OutOfRangeError(text);
    return absl::InternalError(text);
  }
  switch (sqlite3_step(statement_)) {
    case SQLITE_ROW: return true;
    case SQLITE_DONE: return false;
    default: return SqlError(db_, path_, "statement failed");
  }
}

absl::Status Statement::Run() {
  const absl::Status status = Step().status();
  Reset();
  return status;
}

uint64_t Statement::Integer(int column) const {
  return static_cast<uint64_t>(sqlite3_column_int64(statement_, column));
}

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

std::string_view Statement::Blob(int column) const {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
  return {data, static_cast<size_t>(sqlite3_column_bytes(statement_, column))};
}

void Statement::Reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
  next_ = 1;
  bound_ = SQLITE_OK;
}

absl::StatusOr<std::unique_ptr<Database>> Database::OpenFile(const std::string& path, int flags) {
  sqlite3* db = nullptr;
  const int rc = sqlite3_open_v2(path.c_str(), &db, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<Database> database(new Database(db, path));
  if (rc != SQLITE_OK) return SqlError(db, path, "cannot open");
  // The lock on the data folder keeps others out; this is for our own second connection.
  sqlite3_busy_timeout(db, 5000);
  // A commit over two attached WAL files is not atomic, so nothing can attach one.
  sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
  return database;
}

Database::~Database() { sqlite3_close(db_); }

// Made under another name and renamed, so that a crash leaves no half database behind.
absl::Status Database::Create(const std::string& path, const Kind& kind,
                              std::string_view cluster_id) {
  const std::string fresh = path + ".new";
  if (unlink(fresh.c_str()) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, absl::StrCat("removing ", fresh));
  }
  {
    ASSIGN_OR_RETURN(auto db, OpenFile(fresh, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE));
    RETURN_IF_ERROR(db->Execute(absl::StrCat("PRAGMA page_size = ", kind.page_bytes).c_str()));
    // Before the first table, or the file could never shrink.
    RETURN_IF_ERROR(db->Execute("PRAGMA auto_vacuum = INCREMENTAL"));
    RETURN_IF_ERROR(db->Execute("PRAGMA synchronous = FULL; BEGIN;"));
    RETURN_IF_ERROR(
        db->Execute(absl::StrCat("PRAGMA application_id = ", kind.application_id).c_str()));
    RETURN_IF_ERROR(db->Execute(absl::StrCat("PRAGMA user_version = ", kind.version).c_str()));
    RETURN_IF_ERROR(db->Execute(kind.schema));
    ASSIGN_OR_RETURN(auto insert, db->Prepare("INSERT INTO meta (cluster_id) VALUES (?)"));
    RETURN_IF_ERROR(insert.BindText(cluster_id).Run());
    RETURN_IF_ERROR(db->Execute("COMMIT"));
  }
  if (rename(fresh.c_str(), path.c_str()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("renaming ", fresh));
  }
  return SyncFolderOf(path);
}

absl::Status Database::CheckPages(const Kind& kind) {
  // A file that fails this check must stay as it is: no checkpoint at closing.
  sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  const auto damaged = [&](std::string_view why) {
    return absl::DataLossError(absl::StrCat(path_, " is a damaged ", ToAbsl(kind.what), " (",
                                            EscapeControl(why), "); restore it from a backup"));
  };
  for (const char* table : kind.checked_tables) {
    auto exists = Prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?");
    if (!exists.ok()) return damaged(FromAbsl(exists.status().message()));
    const auto found = exists->BindText(table).Step();
    if (!found.ok()) return damaged(FromAbsl(found.status().message()));
    if (!*found) continue;  // a version that has no such table yet
    auto check = Prepare(absl::StrCat("PRAGMA quick_check(", table, ")"));
    if (!check.ok()) return damaged(FromAbsl(check.status().message()));
    const auto row = check->Step();
    if (!row.ok()) return damaged(FromAbsl(row.status().message()));
    if (!*row || check->Blob(0) != "ok") return damaged(check->Blob(0));
  }
  sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path, const Kind& kind,
                                                         std::string_view cluster_id_if_new) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) {
    RETURN_IF_ERROR(CheckHeader(path, kind));
  } else if (errno == ENOENT) {
    RETURN_IF_ERROR(Create(path, kind, cluster_id_if_new));
  } else {
    return ErrnoStatus(errno, path);
  }
  ASSIGN_OR_RETURN(auto db, OpenFile(path, SQLITE_OPEN_READWRITE));
  RETURN_IF_ERROR(db->CheckPages(kind));
  RETURN_IF_ERROR(db->SetDurable());
  RETURN_IF_ERROR(db->Migrate(kind));
  return db;
}

absl::StatusOr<std::unique_ptr<Database>> Database::OpenAgain(const std::string& path) {
  ASSIGN_OR_RETURN(auto db, OpenFile(path, SQLITE_OPEN_READWRITE));
  RETURN_IF_ERROR(db->SetDurable());
  return db;
}

absl::Status Database::SetDurable() {
  return Execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;");
}

// The header in the file itself must tell the version, because CheckHeader reads nothing else: so a
// checkpoint follows.
absl::Status Database::Migrate(const Kind& kind) {
  uint64_t version = 0;
  {
    ASSIGN_OR_RETURN(auto select, Prepare("PRAGMA user_version"));
    RETURN_IF_ERROR(select.Step().status());
    version = select.Integer(0);
  }
  RETURN_IF_ERROR(CheckVersion(path_, kind, version));
  if (version == kind.version) return absl::OkStatus();
  RETURN_IF_ERROR(Execute("BEGIN IMMEDIATE"));
  for (uint64_t step = version - 1; step < kind.migrations.size(); ++step) {
    RETURN_IF_ERROR(Execute(kind.migrations[step]));
  }
  RETURN_IF_ERROR(Execute(absl::StrCat("PRAGMA user_version = ", kind.version).c_str()));
  return Execute("COMMIT; PRAGMA wal_checkpoint(TRUNCATE);");
}

absl::StatusOr<Statement> Database::Prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v3(db_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                         &statement, nullptr) != SQLITE_OK) {
    return SqlError(db_, path_, sql);
  }
  return Statement(db_, statement, path_);
}

absl::Status Database::Execute(const char* sql) {
  if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    return SqlError(db_, path_, sql);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Database::ClusterId() {
  ASSIGN_OR_RETURN(auto select, Prepare("SELECT cluster_id FROM meta"));
  ASSIGN_OR_RETURN(const bool found, select.Step());
  if (!found) return absl::DataLossError(absl::StrCat(path_, " names no cluster"));
  return std::string(select.Blob(0));
}

absl::Status Database::SetClusterId(std::string_view cluster_id) {
  ASSIGN_OR_RETURN(auto update, Prepare("UPDATE meta SET cluster_id = ?"));
  return update.BindText(cluster_id).Run();
}

absl::Status Database::CheckpointByHand() {
  ASSIGN_OR_RETURN(auto select, Prepare("PRAGMA page_size"));
  RETURN_IF_ERROR(select.Step().status());
  page_bytes_ = select.Integer(0);
  const auto note_pages = [](void* self, sqlite3*, const char*, int pages) {
    static_cast<Database*>(self)->wal_pages_ = static_cast<uint64_t>(pages);
    return SQLITE_OK;
  };
  sqlite3_wal_hook(db_, note_pages, this);  // in place of SQLite's own checkpoints
  return absl::OkStatus();
}

absl::Status Database::Checkpoint() {
  const int rc =
      sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
  if (rc == SQLITE_OK || rc == SQLITE_BUSY) return absl::OkStatus();
  return SqlError(db_, path_, "checkpoint failed");
}

uint64_t Database::RowBytesMax() const {
  return static_cast<uint64_t>(sqlite3_limit(db_, SQLITE_LIMIT_LENGTH, -1));
}

uint64_t Database::Changes() const { return static_cast<uint64_t>(sqlite3_changes64(db_)); }

}  // namespace rackmark

#include "coordinator/store/sqlite_copy.h"

#include <sqlite3.h>

#include <memory>

namespace rackmark {
namespace {

struct Closer {
  void operator()(sqlite3* db) const { sqlite3_close(db); }
};
using Handle = std::unique_ptr<sqlite3, Closer>;

absl::Status Failed(const std::string& path, sqlite3* db, std::string_view what) {
  const int code = db == nullptr ? SQLITE_NOMEM : sqlite3_extended_errcode(db);
  const std::string text =
      absl::StrCat(path, ": ", ToAbsl(what), ": ", sqlite3_errmsg(db), " (SQLite code ", code, ")");
  const int kind = code & 0xff;
  const bool damaged = kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB;
  return damaged ? absl::DataLossError(text) : absl::InternalError(text);
}

absl::StatusOr<Handle> OpenHandle(const std::string& path, int flags) {
  sqlite3* db = nullptr;
  const int rc = sqlite3_open_v2(path.c_str(), &db, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  Handle handle(db);
  if (rc != SQLITE_OK) return Failed(path, db, "cannot open");
  sqlite3_busy_timeout(db, 5000);
  return handle;
}

}  // namespace

absl::Status CopyDatabase(const std::string& from, const std::string& to) {
  ASSIGN_OR_RETURN(const Handle source, OpenHandle(from, SQLITE_OPEN_READWRITE));
  // It may be nobody's now, and then its log is not ours to fold in.
  sqlite3_db_config(source.get(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  // One read transaction over all steps: one instant.
  if (sqlite3_exec(source.get(), "BEGIN; SELECT count(*) FROM sqlite_schema", nullptr, nullptr,
                   nullptr) != SQLITE_OK) {
    return Failed(from, source.get(), "cannot read");
  }
  ASSIGN_OR_RETURN(const Handle target, OpenHandle(to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                                                           SQLITE_OPEN_EXCLUSIVE));
  sqlite3_backup* copy = sqlite3_backup_init(target.get(), "main", source.get(), "main");
  if (copy == nullptr) return Failed(to, target.get(), "cannot begin the copy");
  const int rc = sqlite3_backup_step(copy, -1);
  const int end = sqlite3_backup_finish(copy);
  if (rc == SQLITE_DONE && end == SQLITE_OK) return absl::OkStatus();
  return Failed(to, target.get(), absl::StrCat("copying ", from));
}

absl::Status FoldLog(const std::string& path) {
  ASSIGN_OR_RETURN(const Handle db, OpenHandle(path, SQLITE_OPEN_READWRITE));
  sqlite3_busy_timeout(db.get(), 0);
  // Without a first look SQLite does not know yet that there is a log.
  if (sqlite3_exec(db.get(), "SELECT count(*) FROM sqlite_schema", nullptr, nullptr, nullptr) !=
      SQLITE_OK) {
    return Failed(path, db.get(), "cannot read");
  }
  int left = 0;
  if (sqlite3_wal_checkpoint_v2(db.get(), nullptr, SQLITE_CHECKPOINT_TRUNCATE, &left, nullptr) !=
      SQLITE_OK) {
    return Failed(path, db.get(), "its log cannot be folded in");
  }
  if (left <= 0) return absl::OkStatus();  // -1: it keeps no log
  return absl::InternalError(absl::StrCat(path, ": its log still has ", left, " pages"));
}

}  // namespace rackmark

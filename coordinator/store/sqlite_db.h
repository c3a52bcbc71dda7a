// The thinnest layer over SQLite: opens one file with the checks of PROTOCOL 1, runs statements,
// turns errors into sentences. One Database belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "common/status.h"

struct sqlite3;
struct sqlite3_stmt;

namespace rackmark {

// A prepared statement with its values bound in order. Reset() before it is used again.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  // What could not be bound is an error of the next Step or Run; OUT_OF_RANGE: longer than a row
  // may be, and nothing was written.
  Statement& Bind(uint64_t value);
  // The bytes must live until Reset().
  Statement& BindBlob(std::string_view bytes);
  Statement& BindText(std::string_view text);
  // True: a row stands ready. False: done.
  absl::StatusOr<bool> Step();
  // For statements that return no rows.
  absl::Status Run();
  uint64_t Integer(int column) const;
  bool IsNull(int column) const;
  std::string_view Blob(int column) const;  // until the next Step or Reset
  void Reset();

 private:
  friend class Database;
  Statement(sqlite3* db, sqlite3_stmt* statement, std::string path);
  Statement& NoteBound(int rc);
  sqlite3* db_;
  sqlite3_stmt* statement_;
  std::string path_;
  int next_ = 1;
  int bound_ = 0;  // SQLite's word for the first value that could not be bound
};

class Database {
 public:
  struct Kind {
    std::string_view what;  // "event log": for messages
    uint32_t application_id;
    uint32_t version;
    const char* schema;
    // One for each step from version 1 to `version`.
    std::span<const char* const> migrations;
    // Read whole at opening; a damaged one is refused.
    std::span<const char* const> checked_tables;
    // Of a new file; an older one keeps what it has.
    uint32_t page_bytes = 4096;
  };

  // Opens the file; where there is none, makes one of this kind for the cluster. Then its commits
  // are durable (WAL, synchronous=FULL). An older version is brought to this one, whole or not at
  // all. FAILED_PRECONDITION or DATA_LOSS, one sentence with the path, and nothing written: not
  // SQLite, another application's, a newer version, damaged.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path, const Kind& kind,
                                                        std::string_view cluster_id_if_new);
  // One more connection to a file that Open has opened.
  static absl::StatusOr<std::unique_ptr<Database>> OpenAgain(const std::string& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  absl::StatusOr<Statement> Prepare(std::string_view sql);
  absl::Status Execute(const char* sql);
  absl::StatusOr<std::string> ClusterId();
  absl::Status SetClusterId(std::string_view cluster_id);
  // What one row may hold.
  uint64_t RowBytesMax() const;
  uint64_t Changes() const;  // rows that the last statement changed

  // From now on this connection's commits leave checkpoints to the caller.
  absl::Status CheckpointByHand();
  // Of the WAL's part in use, as of the last commit of this connection after CheckpointByHand.
  uint64_t WalBytes() const { return wal_pages_ * page_bytes_; }
  // Copies from the WAL what no reader holds back and no other checkpoint has in work. Once all of
  // it is copied and nobody reads from it, the next commit begins the WAL anew.
  absl::Status Checkpoint();

 private:
  Database(sqlite3* db, std::string path) : db_(db), path_(std::move(path)) {}
  static absl::StatusOr<std::unique_ptr<Database>> OpenFile(const std::string& path, int flags);
  static absl::Status Create(const std::string& path, const Kind& kind,
                             std::string_view cluster_id);
  absl::Status CheckPages(const Kind& kind);
  absl::Status Migrate(const Kind& kind);
  absl::Status SetDurable();

  sqlite3* db_;
  std::string path_;
  uint64_t wal_pages_ = 0;
  uint64_t page_bytes_ = 0;
};

}  // namespace rackmark

// The stores that --store names. With SQLite the lock on the data folder says who writes; with
// PostgreSQL the lead must be taken first, is renewed while this lives, and is given up after the
// last write. Owned by main; CheckLead and Announce from any thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/time.h"
#include "coordinator/store/lease_keeper.h"
#include "coordinator/store/pg_store.h"

namespace rackmark {

class LedStores {
 public:
  struct Options {
    std::string data;                   // of SQLite
    std::optional<PgOptions> postgres;  // missing: SQLite
    Nanos ttl = 0;                      // of the lead
    const Clock* clock = nullptr;
    // While we stand by: waits that long, less if we are to stop; whether we are.
    std::function<bool(Nanos)> stopped_within;
    // Told when we begin to stand by and whenever the leader's address changes; empty: nobody leads
    // just now, or nobody can say. An error ends the standing by. May be empty.
    std::function<absl::Status(const std::string& leader)> stands_by;
    // Told once, when the lead is taken and the stores are not open yet. May be empty.
    std::function<void()> leads;
    // Another leads, or may: must end the process.
    std::function<void(const absl::Status&)> lost;
  };

  // Returns when we lead, which may take for ever. Null: told to stop before. An error at the first
  // try is one; while standing by, a database that is away is waited for.
  static absl::StatusOr<std::unique_ptr<LedStores>> Open(Options options);
  // What a process ends with that has an error of Open or of the stores. Once it led, what may pass
  // is kExitFenced, so that a supervisor starts it again, as the standby.
  static int ExitOf(const absl::Status& status, bool led);
  // Nothing writes any more.
  ~LedStores();
  LedStores(const LedStores&) = delete;
  LedStores& operator=(const LedStores&) = delete;

  EventStore* events() { return stores_.events.get(); }
  SampleStore* samples() { return stores_.samples.get(); }
  // Not OK: our time is over, so nobody may be answered (PROTOCOL 9).
  absl::Status CheckLead() const;
  // Where we serve, for those who ask the standbys.
  void Announce(const std::string& address);
  // Somebody says that another leads. With PostgreSQL the lead is renewed at once: if it is true,
  // `lost` is told. With SQLite the folder's lock says that nobody else writes here.
  void Doubted(const absl::Status& why);

 private:
  explicit LedStores(Options options) : options_(std::move(options)) {}
  absl::StatusOr<uint64_t> StandBy();  // the term; 0: told to stop
  absl::Status Tell(const LeaderView& leader);
  absl::Status TellAddress(const std::string& address);

  const Options options_;
  std::unique_ptr<Leadership> leadership_;  // null with SQLite
  std::string told_;                        // in the log, of whom we stand by for
  std::optional<std::string> address_;      // told to stands_by
  std::unique_ptr<LeaseKeeper> keeper_;
  std::atomic<uint64_t> doubts_ = 0;
  SqlStores stores_;
};

}  // namespace rackmark

// Who of several coordinators on one database leads (PROTOCOL 9). A row says in which term, until
// when by the database's clock, and where the leader is reached. Taking the lead begins a new term,
// and from then on no write of an older term is committed. A term is not the core's epoch: that one
// is in the log and grows only when a leader has written. One thread at a time; LeadsUntil and term
// from any.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "common/status.h"
#include "common/time.h"

namespace rackmark {

struct LeaderView {
  uint64_t term = 0;    // 0: nobody ever led
  std::string address;  // of the leader of this term; empty: not told yet
  // How long it still holds, by the database's clock, as of the answer. Missing: not any more.
  std::optional<Nanos> left;
};

class Leadership {
 public:
  virtual ~Leadership() = default;

  // Takes the lead if its holder's time is over, for `ttl` from `now` (CLOCK_BOOTTIME, read before
  // the call). Missing: another holds it (Current says who). On an error it is unknown whether we
  // lead; ask again.
  absl::StatusOr<std::optional<uint64_t>> TryLead(Nanos now, Nanos ttl);
  // For another ttl from `now`. FAILED_PRECONDITION: another has taken the lead, and this process
  // must answer nobody any more. Other errors may pass, before LeadsUntil.
  absl::Status Renew(Nanos now);
  // Where we are reached, for those who ask the standbys.
  absl::Status Announce(const std::string& address);
  // Lets the next one lead at once. After the last write of this process.
  absl::Status Resign();

  absl::StatusOr<LeaderView> Current() { return DoCurrent(); }
  // Waits until somebody took, announced or gave up the lead, at most `timeout`; a standby should
  // not wait longer than LeaderView::left. True: something happened.
  absl::StatusOr<bool> WaitForChange(Nanos timeout) { return DoWaitForChange(timeout); }

  // CLOCK_BOOTTIME: no reply, reads included, at or after it. 0: we do not lead.
  Nanos leads_until() const { return until_; }
  uint64_t term() const { return term_; }  // ours; 0 = none

 private:
  virtual absl::StatusOr<std::optional<uint64_t>> DoTryLead(Nanos ttl) = 0;
  virtual absl::Status DoRenew(uint64_t term, Nanos ttl) = 0;
  virtual absl::Status DoAnnounce(uint64_t term, const std::string& address) = 0;
  virtual absl::Status DoResign(uint64_t term) = 0;
  virtual absl::StatusOr<LeaderView> DoCurrent() = 0;
  virtual absl::StatusOr<bool> DoWaitForChange(Nanos timeout) = 0;

  std::atomic<uint64_t> term_ = 0;
  std::atomic<Nanos> until_ = 0;
  Nanos ttl_ = 0;
};

}  // namespace rackmark

#include "coordinator/store/memory_leadership.h"

#include <chrono>

namespace rackmark {

absl::Status MemoryLeadership::CheckTerm(uint64_t term) const {
  if (row_->term == term) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("another coordinator has taken the lead: term ", term, " is over"));
}

void MemoryLeadership::Tell() {
  ++row_->changes;
  row_->changed.notify_all();
}

absl::StatusOr<std::optional<uint64_t>> MemoryLeadership::DoTryLead(Nanos ttl) {
  std::lock_guard lock(row_->mutex);
  const Nanos now = row_->clock->Monotonic();
  if (row_->term != 0 && row_->expires > now) return std::optional<uint64_t>();
  ++row_->term;
  row_->address.clear();
  row_->expires = now + ttl;
  Tell();
  return std::optional<uint64_t>(row_->term);
}

absl::Status MemoryLeadership::DoRenew(uint64_t term, Nanos ttl) {
  std::lock_guard lock(row_->mutex);
  RETURN_IF_ERROR(CheckTerm(term));
  row_->expires = row_->clock->Monotonic() + ttl;
  return absl::OkStatus();
}

absl::Status MemoryLeadership::DoAnnounce(uint64_t term, const std::string& address) {
  std::lock_guard lock(row_->mutex);
  RETURN_IF_ERROR(CheckTerm(term));
  row_->address = address;
  Tell();
  return absl::OkStatus();
}

absl::Status MemoryLeadership::DoResign(uint64_t term) {
  std::lock_guard lock(row_->mutex);
  RETURN_IF_ERROR(CheckTerm(term));
  row_->expires = row_->clock->Monotonic();
  Tell();
  return absl::OkStatus();
}

absl::StatusOr<LeaderView> MemoryLeadership::DoCurrent() {
  std::lock_guard lock(row_->mutex);
  LeaderView view;
  view.term = row_->term;
  view.address = row_->address;
  const Nanos left = row_->expires - row_->clock->Monotonic();
  if (row_->term != 0 && left > 0) view.left = left;
  return view;
}

absl::StatusOr<bool> MemoryLeadership::DoWaitForChange(Nanos timeout) {
  std::unique_lock lock(row_->mutex);
  const bool came = row_->changed.wait_for(lock, std::chrono::nanoseconds(timeout),
                                           [&] { return row_->changes != seen_; });
  seen_ = row_->changes;
  return came;
}

}  // namespace rackmark

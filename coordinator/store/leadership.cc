#include "coordinator/store/leadership.h"

namespace rackmark {
namespace {

absl::Status NotOurs() { return absl::FailedPreconditionError("this coordinator does not lead"); }

}  // namespace

absl::StatusOr<std::optional<uint64_t>> Leadership::TryLead(Nanos now, Nanos ttl) {
  RACKMARK_CHECK(term_ == 0 && ttl > 0);
  ASSIGN_OR_RETURN(const auto term, DoTryLead(ttl));
  if (!term) return term;
  ttl_ = ttl;
  until_ = now + ttl;
  term_ = *term;
  return term;
}

absl::Status Leadership::Renew(Nanos now) {
  if (term_ == 0) return NotOurs();
  RETURN_IF_ERROR(DoRenew(term_, ttl_));
  until_ = now + ttl_;
  return absl::OkStatus();
}

absl::Status Leadership::Announce(const std::string& address) {
  if (term_ == 0) return NotOurs();
  return DoAnnounce(term_, address);
}

absl::Status Leadership::Resign() {
  if (term_ == 0) return NotOurs();
  until_ = 0;
  const uint64_t term = term_.exchange(0);
  return DoResign(term);
}

}  // namespace rackmark

#include "coordinator/led_stores.h"

#include <algorithm>
#include <utility>

#include "common/exit_codes.h"
#include "common/log.h"
#include "coordinator/store/pg_leadership.h"
#include "coordinator/store/sql_store.h"

namespace rackmark {
namespace {

constexpr Nanos kStopLatency = 250 * kMillisecond;  // how long a stop may go unnoticed
constexpr Nanos kRenewalsPerTtl = 5;

}  // namespace

absl::StatusOr<std::unique_ptr<LedStores>> LedStores::Open(Options options) {
  std::unique_ptr<LedStores> led(new LedStores(std::move(options)));
  if (!led->options_.postgres) {
    ASSIGN_OR_RETURN(led->stores_, OpenSqlStores(led->options_.data));
    return led;
  }
  const PgOptions& postgres = *led->options_.postgres;
  ASSIGN_OR_RETURN(led->leadership_, PgLeadership::Open(postgres));
  ASSIGN_OR_RETURN(const uint64_t term, led->StandBy());
  if (term == 0) return std::unique_ptr<LedStores>();
  if (led->options_.leads) led->options_.leads();
  if (led->address_) RETURN_IF_ERROR(led->TellAddress(""));  // the one told is over, we are not yet
  LeaseKeeper::Options keeper;
  keeper.leadership = led->leadership_.get();
  keeper.clock = led->options_.clock;
  keeper.interval = led->options_.ttl / kRenewalsPerTtl;
  keeper.lost = led->options_.lost;
  led->keeper_ = std::make_unique<LeaseKeeper>(std::move(keeper));
  ASSIGN_OR_RETURN(led->stores_, OpenPgStores(postgres, term));
  Log(LogLevel::kInfo, absl::StrCat("leads in term ", term));
  return led;
}

int LedStores::ExitOf(const absl::Status& status, bool led) {
  return led && MayPass(status) ? kExitFenced : kExitBadDatabase;
}

absl::StatusOr<uint64_t> LedStores::StandBy() {
  while (!options_.stopped_within(0)) {
    const auto term = leadership_->TryLead(options_.clock->Boottime(), options_.ttl);
    if (term.ok() && *term) return **term;
    absl::Status trouble = term.status();
    if (trouble.ok()) {
      const auto leader = leadership_->Current();
      trouble = leader.status();
      if (leader.ok()) {
        RETURN_IF_ERROR(Tell(*leader));
        trouble = leadership_
                      ->WaitForChange(
                          std::clamp<Nanos>(leader->left.value_or(0), kMillisecond, kStopLatency))
                      .status();
      }
    }
    if (trouble.ok()) continue;
    if (!MayPass(trouble)) return trouble;
    Log(LogLevel::kWarning, absl::StrCat("standing by: ", trouble.message()));
    RETURN_IF_ERROR(TellAddress(""));
    (void)options_.stopped_within(kStopLatency);
  }
  return 0;
}

absl::Status LedStores::Tell(const LeaderView& leader) {
  const std::string text = absl::StrCat(
      "standing by: term ", leader.term, " is led ",
      leader.address.empty() ? "from an address not told yet" : "from ", leader.address);
  if (text != told_) Log(LogLevel::kInfo, text);
  told_ = text;
  return TellAddress(leader.left ? leader.address : "");
}

absl::Status LedStores::TellAddress(const std::string& address) {
  if (!options_.stands_by || address_ == address) return absl::OkStatus();
  address_ = address;
  return options_.stands_by(address);
}

LedStores::~LedStores() {
  stores_ = {};
  if (keeper_) keeper_->Stop();
  if (!leadership_ || leadership_->term() == 0) return;
  const absl::Status status = leadership_->Resign();
  if (!status.ok()) {
    Log(LogLevel::kWarning, absl::StrCat("giving up the lead: ", status.message()));
  }
}

absl::Status LedStores::CheckLead() const {
  if (!leadership_ || options_.clock->Boottime() < leadership_->leads_until()) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      "the time of this coordinator's lead is over, so that another may lead");
}

void LedStores::Announce(const std::string& address) {
  if (keeper_) keeper_->Announce(address);
}

void LedStores::Doubted(const absl::Status& why) {
  if (keeper_) keeper_->RenewNow();
  const uint64_t doubts = ++doubts_;
  if ((doubts & (doubts - 1)) != 0) return;
  Log(LogLevel::kWarning,
      absl::StrCat("refused, ", doubts, " times since the start: ", why.message(),
                   keeper_ ? "; the database is asked whether that is so"
                           : "; nobody else writes to this folder, so either that worker's word is "
                             "wrong or this folder is an older copy"));
}

}  // namespace rackmark

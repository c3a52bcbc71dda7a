#include "worker/daemon/session.h"

#include <algorithm>

#include "rpc/identity.h"

namespace rackmark {

v1::Identity Session::Identity() const {
  v1::Identity identity =
      MakeIdentity(anonymous_ ? "" : cluster_id_, anonymous_ ? 0 : epoch_, options_.incarnation);
  if (options_.protocol) {
    identity.set_protocol_min(*options_.protocol);
    identity.set_protocol_max(*options_.protocol);
  }
  return identity;
}

void Session::StreamOpened() {
  report_number_ = 0;
  sent_.clear();
}

void Session::StampReport(const Moment& now, v1::Report* report) {
  *report->mutable_identity() = Identity();
  report->set_reflects_version(desired_.version());
  report->set_report_number(++report_number_);
  report->set_worker_send_ns(now.monotonic);
  if (exchange_) *report->mutable_exchange() = *exchange_;
  sent_[report_number_] = now;
}

absl::Status Session::Check(const v1::Identity& theirs, bool any_process) const {
  if (!options_.protocol) {
    RETURN_IF_ERROR(CheckProtocol(theirs));
  } else if (theirs.protocol_min() > *options_.protocol ||
             theirs.protocol_max() < *options_.protocol) {
    return absl::FailedPreconditionError(absl::StrCat(
        ToAbsl(kProtocolMismatch), ": the coordinator speaks ", theirs.protocol_min(), " to ",
        theirs.protocol_max(), ", this worker was told to speak ", *options_.protocol));
  }
  if (theirs.cluster_id().empty()) {
    return absl::PermissionDeniedError("the coordinator names no cluster");
  }
  if (theirs.cluster_id() == cluster_id_) {
    if (theirs.epoch() >= epoch_) return absl::OkStatus();
    return absl::OutOfRangeError(absl::StrCat("a coordinator of epoch ", theirs.epoch(),
                                              " answered; this worker follows epoch ", epoch_));
  }
  if (any_process) {
    return absl::PermissionDeniedError(absl::StrCat("cluster ", theirs.cluster_id().substr(0, 8),
                                                    " answered while ranks of cluster ",
                                                    cluster_id_.substr(0, 8), " run here"));
  }
  return absl::OkStatus();
}

bool Session::TakeDesired(const v1::SyncReply& reply, bool new_term) {
  // Versions count within (cluster, epoch): a late copy of an older one is not what is desired.
  if (!reply.has_desired()) return false;
  if (!new_term && reply.desired().version() < desired_.version()) return false;
  const bool changed = new_term || reply.desired().version() != desired_.version();
  // Taken even with an equal version: cards are soft state and may fill in without a new one.
  desired_ = reply.desired();
  return changed;
}

void Session::TakeAnswer(const v1::SyncReply& reply, Nanos received) {
  const auto sent = sent_.find(reply.answers_report());
  if (sent == sent_.end() || sent->second.monotonic != reply.worker_send_ns()) return;
  answered_sent_ = std::max(answered_sent_.value_or(sent->second.boottime), sent->second.boottime);
  v1::ClockExchange exchange;
  exchange.set_worker_send_ns(reply.worker_send_ns());
  exchange.set_coordinator_receive_ns(reply.coordinator_receive_ns());
  exchange.set_coordinator_send_ns(reply.coordinator_send_ns());
  exchange.set_worker_receive_ns(received);
  exchange.set_worker_boot_id(options_.boot_id);
  exchange.set_coordinator_boot_id(reply.coordinator_boot_id());
  exchange_ = std::move(exchange);
  sent_.erase(sent_.begin(), std::next(sent));
}

absl::StatusOr<Session::Outcome> Session::OnReply(const v1::SyncReply& reply, Nanos received,
                                                  bool any_process) {
  RETURN_IF_ERROR(Check(reply.identity(), any_process));
  Outcome outcome;
  outcome.new_cluster = reply.identity().cluster_id() != cluster_id_;
  const bool new_term = outcome.new_cluster || reply.identity().epoch() != epoch_;
  cluster_id_ = reply.identity().cluster_id();
  epoch_ = reply.identity().epoch();
  anonymous_ = false;
  node_id_ = reply.node_id();
  if (reply.has_timing()) {
    if (reply.timing().sync_interval_ns() > 0) sync_interval_ = reply.timing().sync_interval_ns();
    if (reply.timing().fence_ns() > 0) fence_ = reply.timing().fence_ns();
  }
  outcome.new_desired = TakeDesired(reply, new_term);
  if (reply.answers_report() != 0) {
    const std::optional<Nanos> before = answered_sent_;
    const size_t waiting = sent_.size();
    TakeAnswer(reply, received);
    outcome.answered = answered_sent_ != before || sent_.size() != waiting;
  }
  return outcome;
}

std::optional<Nanos> Session::FenceAt() const {
  if (!answered_sent_) return std::nullopt;
  return *answered_sent_ + fence_;
}

bool Session::Fenced(Nanos boottime) const {
  const std::optional<Nanos> at = FenceAt();
  return !at || boottime >= *at;
}

}  // namespace rackmark

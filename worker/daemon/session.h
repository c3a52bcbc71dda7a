// What this worker has agreed on with its coordinator: cluster, epoch, version of the desired
// state, clock exchanges, and when it must fence itself. Pure: times are arguments. Loop thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "common/status.h"
#include "common/time.h"
#include "rackmark/v1/worker_api.pb.h"

namespace rackmark {

class Session {
 public:
  struct Options {
    std::string incarnation;
    std::string boot_id;
    std::optional<uint32_t> protocol;   // speak only this version; tests
    Nanos sync_interval = 5 * kSecond;  // until the coordinator says
    Nanos fence = 30 * kSecond;
  };
  struct Outcome {
    bool answered = false;     // one of our Reports
    bool new_desired = false;  // look at desired() again
    bool new_cluster = false;  // another one than before, or the first
  };
  // CLOCK_MONOTONIC and CLOCK_BOOTTIME of one moment.
  struct Moment {
    Nanos monotonic = 0;
    Nanos boottime = 0;
  };

  explicit Session(Options options) : options_(std::move(options)) {}

  v1::Identity Identity() const;
  // Report numbers count per stream.
  void StreamOpened();
  // Everything in a Report that is not about leases, devices and samples.
  void StampReport(const Moment& now, v1::Report* report);
  // FAILED_PRECONDITION: no common protocol (the message begins with kProtocolMismatch).
  // PERMISSION_DENIED: another cluster, while ranks of ours live. OUT_OF_RANGE: an older epoch.
  // Nothing is taken from the reply then.
  absl::StatusOr<Outcome> OnReply(const v1::SyncReply& reply, Nanos received, bool any_process);
  // The coordinator refused our cluster id and nothing binds us to it: the next Report carries
  // none.
  void ForgetCluster() { anonymous_ = true; }

  const std::string& cluster_id() const { return cluster_id_; }
  uint64_t epoch() const { return epoch_; }
  uint64_t node_id() const { return node_id_; }
  const v1::DesiredState& desired() const { return desired_; }
  Nanos sync_interval() const { return sync_interval_; }
  Nanos fence() const { return fence_; }
  size_t unanswered() const { return sent_.size(); }
  // CLOCK_MONOTONIC: since when the oldest unanswered Report of this stream waits.
  std::optional<Nanos> WaitsSince() const {
    if (sent_.empty()) return std::nullopt;
    return sent_.begin()->second.monotonic;
  }
  // CLOCK_BOOTTIME: that long after *sending* the last answered Report. Missing before the first.
  std::optional<Nanos> FenceAt() const;
  bool Fenced(Nanos boottime) const;

 private:
  absl::Status Check(const v1::Identity& theirs, bool any_process) const;
  bool TakeDesired(const v1::SyncReply& reply, bool new_term);
  void TakeAnswer(const v1::SyncReply& reply, Nanos received);

  const Options options_;
  std::string cluster_id_;
  bool anonymous_ = false;
  uint64_t epoch_ = 0;
  uint64_t node_id_ = 0;
  v1::DesiredState desired_;
  Nanos sync_interval_ = options_.sync_interval;
  Nanos fence_ = options_.fence;
  uint64_t report_number_ = 0;
  std::map<uint64_t, Moment> sent_;     // unanswered Reports of this stream
  std::optional<Nanos> answered_sent_;  // CLOCK_BOOTTIME of sending the last answered one
  std::optional<v1::ClockExchange> exchange_;
};

}  // namespace rackmark

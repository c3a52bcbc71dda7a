// The coordinators that a client was told of, and which of them it asks now. Of several one leads;
// the others answer with v1::NotLeader (not_leader.h), and one that is stopped does not answer at
// all. They are asked in order, except that a standby's hint goes first if it names one of them:
// nobody else gets our credentials. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"
#include "grpcpp/channel.h"
#include "rpc/endpoint.h"
#include "rpc/security.h"

namespace rackmark {

// "host:1,unix:/b": at least one, none twice, at most kCoordinatorsMax.
absl::StatusOr<std::vector<Endpoint>> ParseEndpoints(std::string_view text);
constexpr size_t kCoordinatorsMax = 16;

class Coordinators {
 public:
  // One way to one of them. `number` grows with each MoveOn. Two connections, each made by its
  // first call: a window of HTTP/2 that is full of samples must not hold up what is short.
  struct Way {
    uint64_t number = 0;
    std::string address;
    std::shared_ptr<grpc::Channel> channel;
    std::shared_ptr<grpc::Channel> bulk;  // samples, and files for workers
  };

  // From ParseEndpoints. Does not wait for a connection. PERMISSION_DENIED if a token would travel
  // to one of them in clear text.
  static absl::StatusOr<std::shared_ptr<Coordinators>> Create(std::vector<Endpoint> endpoints,
                                                              Security security);
  Coordinators(const Coordinators&) = delete;
  Coordinators& operator=(const Coordinators&) = delete;

  // Whom to ask now.
  Way Ask() const;
  // The leader has answered on this way.
  void Answered(const Way& way);
  // On this way came `why` and no answer of a leader, so another one is asked, on a connection and
  // a resolution of its name that are new; of one alone the channel stays, and connects again by
  // itself. True: ask it at once. False: all were asked since the last answer, so wait first.
  bool MoveOn(const Way& way, const absl::Status& why);
  bool several() const { return endpoints_.size() > 1; }

 private:
  Coordinators(std::vector<Endpoint> endpoints, Security security)
      : endpoints_(std::move(endpoints)), security_(std::move(security)) {}
  absl::StatusOr<Way> DialAt(size_t index, uint64_t number) const;
  size_t NextAfter(const absl::Status& why) const;

  const std::vector<Endpoint> endpoints_;
  const Security security_;
  mutable std::mutex mutex_;
  Way way_;            // guarded by mutex_
  size_t index_ = 0;   // of way_; guarded by mutex_
  size_t failed_ = 0;  // since the last answer; guarded by mutex_
};

}  // namespace rackmark

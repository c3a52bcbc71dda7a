// Serves a coordinator that stands by: every call, also one that this build does not know, is
// answered "not the leader, ask X" (v1::NotLeader), after the same check of who calls as the
// leader's. Owned by main, which takes it down before the leader's own listener starts on the same
// address. Follow from any thread.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "common/status.h"
#include "grpcpp/generic/async_generic_service.h"
#include "rpc/endpoint.h"
#include "rpc/listener.h"
#include "rpc/peer.h"
#include "rpc/security.h"

namespace rackmark {

class Standby : public grpc::CallbackGenericService {
 public:
  // Errors as of Listener::Start.
  static absl::StatusOr<std::unique_ptr<Standby>> Start(const Endpoint& endpoint,
                                                        const Security& security,
                                                        std::shared_ptr<const PeerPolicy> policy);
  ~Standby() override;
  Standby(const Standby&) = delete;
  Standby& operator=(const Standby&) = delete;

  // Whom callers are to ask from now on; empty: nobody leads just now.
  void Follow(const std::string& leader);
  // As a client would dial it.
  const std::string& address() const { return listener_->address(); }

 private:
  explicit Standby(std::shared_ptr<const PeerPolicy> policy) : policy_(std::move(policy)) {}
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override;

  const std::shared_ptr<const PeerPolicy> policy_;
  std::mutex mutex_;
  std::string leader_;  // guarded by mutex_
  std::unique_ptr<Listener> listener_;
};

}  // namespace rackmark

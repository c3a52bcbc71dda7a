#include "coordinator/serve/standby.h"

#include <utility>

#include "rpc/not_leader.h"
#include "rpc/status_bridge.h"

namespace rackmark {
namespace {

// Reads nothing of what the caller sends.
class Refusal : public grpc::ServerGenericBidiReactor {
 public:
  explicit Refusal(grpc::Status status) { Finish(std::move(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

absl::StatusOr<std::unique_ptr<Standby>> Standby::Start(const Endpoint& endpoint,
                                                        const Security& security,
                                                        std::shared_ptr<const PeerPolicy> policy) {
  std::unique_ptr<Standby> standby(new Standby(std::move(policy)));
  Listener::Extras extras;
  extras.others = standby.get();
  ASSIGN_OR_RETURN(standby->listener_, Listener::Start({}, endpoint, security, std::move(extras)));
  return standby;
}

Standby::~Standby() { listener_.reset(); }

void Standby::Follow(const std::string& leader) {
  std::lock_guard lock(mutex_);
  leader_ = leader;
}

grpc::ServerGenericBidiReactor* Standby::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  const auto caller = policy_->Identify(*context);
  if (!caller.ok()) return new Refusal(ToGrpc(caller.status()));
  std::lock_guard lock(mutex_);
  return new Refusal(NotLeaderStatus(leader_));
}

}  // namespace rackmark

// A gRPC server on one endpoint with all bounds set. A unix socket is accepted here and not by
// gRPC, because only so can SO_PEERCRED be read: mode 0600, and no connection of another user gets
// in. Owned by main; Shutdown from any thread, once.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/status.h"
#include "common/time.h"
#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/impl/codegen/service_type.h"
#include "rpc/endpoint.h"
#include "rpc/security.h"

namespace rackmark {

struct ListenerExtras {
  // Takes every call that no service does. May be null.
  grpc::CallbackGenericService* others = nullptr;
  // Called before each message and each status that goes out, on gRPC's threads; a process that
  // may answer nobody any more ends here. May be empty.
  std::function<void()> before_answer;
};

class Listener {
 public:
  using Extras = ListenerExtras;
  // The services must outlive the listener. PERMISSION_DENIED: CheckListenSafety. ALREADY_EXISTS:
  // somebody listens there.
  static absl::StatusOr<std::unique_ptr<Listener>> Start(
      const std::vector<grpc::Service*>& services, const Endpoint& endpoint,
      const Security& security, Extras extras = {});
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // As a client would dial it; with the real port where 0 was asked for.
  const std::string& address() const;
  // No new calls; those in flight get this long, then they are cancelled.
  void Shutdown(Nanos grace);

 private:
  struct Parts;
  explicit Listener(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace rackmark

// Who is calling: turns a connection into a Principal. Made once by the server's main, immutable
// afterwards, shared by all services; any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/status.h"
#include "grpcpp/server_context.h"
#include "rackmark/v1/cluster.pb.h"
#include "rpc/credentials.h"
#include "rpc/security.h"

namespace rackmark {

class PeerPolicy {
 public:
  static absl::StatusOr<std::shared_ptr<const PeerPolicy>> Create(const Security& security);

  // A unix socket's peer has our uid (the listener lets no other in): ADMIN. A token gives its
  // line's role. A certificate without a token is a worker's, named by its SAN. Else
  // UNAUTHENTICATED, with the remedy.
  absl::StatusOr<v1::Principal> Identify(const grpc::ServerContextBase& context) const;
  // All subject alternative names of the peer's certificate; none without mTLS. A common name does
  // not count (PROTOCOL 8).
  static std::vector<std::string> CertificateNames(const grpc::ServerContextBase& context);

 private:
  PeerPolicy() = default;
  std::vector<Token> tokens_;
  std::string own_user_;
};

}  // namespace rackmark

// The one credentials factory (PROTOCOL 8): insecure for a unix socket or loopback with tokens,
// mTLS for everything else. Reads the files each time it is called. Any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/status.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"
#include "rackmark/v1/cluster.pb.h"
#include "rpc/endpoint.h"
#include "rpc/security.h"

namespace rackmark {

struct Token {
  v1::Role role;
  std::string name;
  std::string secret;
};

// PERMISSION_DENIED with the remedy if listening there like that would be open to others: beyond
// loopback without TLS, or loopback TCP without a token file.
absl::Status CheckListenSafety(const Endpoint& endpoint, const Security& security);

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerCredentialsFor(const Security&);
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> ChannelCredentialsFor(const Security&);

// Lines "role name token"; a file that others may read is refused. Empty path = no tokens.
absl::StatusOr<std::vector<Token>> ReadTokens(const std::string& path);
// The client's own secret of such a file: the last word of its first line.
absl::StatusOr<std::string> ReadOwnToken(const std::string& path);

}  // namespace rackmark

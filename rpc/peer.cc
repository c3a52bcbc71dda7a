#include "rpc/peer.h"

#include <grpc/grpc_security_constants.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <string_view>

#include "common/utf8.h"

namespace rackmark {
namespace {

std::string UserName(uid_t uid) {
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> buffer{};
  if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr ||
      !IsUtf8(entry.pw_name)) {
    return absl::StrCat("uid ", uid);
  }
  return entry.pw_name;
}

v1::Principal MakePrincipal(std::string name, v1::Role role, std::string how) {
  v1::Principal principal;
  principal.set_name(std::move(name));
  principal.set_role(role);
  principal.set_how(std::move(how));
  return principal;
}

// Takes the same time wherever the first difference is.
bool SameSecret(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned difference = 0;
  for (size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned>(a[i] ^ b[i]);
  return difference == 0;
}

std::string_view BearerOf(const grpc::ServerContextBase& context) {
  constexpr std::string_view kPrefix = "Bearer ";
  const auto it = context.client_metadata().find("authorization");
  if (it == context.client_metadata().end()) return {};
  const std::string_view value(it->second.data(), it->second.size());
  return value.substr(0, kPrefix.size()) == kPrefix ? value.substr(kPrefix.size())
                                                    : std::string_view();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const PeerPolicy>> PeerPolicy::Create(const Security& security) {
  auto policy = std::shared_ptr<PeerPolicy>(new PeerPolicy);
  ASSIGN_OR_RETURN(policy->tokens_, ReadTokens(security.token_file));
  policy->own_user_ = UserName(geteuid());
  return std::shared_ptr<const PeerPolicy>(std::move(policy));
}

std::vector<std::string> PeerPolicy::CertificateNames(const grpc::ServerContextBase& context) {
  std::vector<std::string> names;
  const auto auth = context.auth_context();
  if (auth == nullptr || !auth->IsPeerAuthenticated()) return names;
  for (const auto& name : auth->FindPropertyValues(GRPC_X509_SAN_PROPERTY_NAME)) {
    names.emplace_back(name.data(), name.size());
  }
  return names;
}

absl::StatusOr<v1::Principal> PeerPolicy::Identify(const grpc::ServerContextBase& context) const {
  // Only our own acceptor hands descriptors to gRPC, after SO_PEERCRED said that it is our user.
  if (context.peer().rfind("fd:", 0) == 0) {
    return MakePrincipal(own_user_, v1::ROLE_ADMIN, "unix-peercred");
  }
  if (const std::string_view secret = BearerOf(context); !secret.empty()) {
    for (const Token& token : tokens_) {
      if (SameSecret(secret, token.secret)) return MakePrincipal(token.name, token.role, "token");
    }
    return absl::UnauthenticatedError("the token is not in the coordinator's token file");
  }
  if (const auto names = CertificateNames(context); !names.empty()) {
    if (!IsUtf8(names[0])) {
      return absl::UnauthenticatedError(
          "the certificate's subject alternative name is not UTF-8; sign one with a DNS name");
    }
    return MakePrincipal(names[0], v1::ROLE_WORKER, "mtls");
  }
  if (const auto auth = context.auth_context(); auth != nullptr && auth->IsPeerAuthenticated()) {
    return absl::UnauthenticatedError(
        "the certificate has no subject alternative name; sign one with a DNS name for this "
        "worker, or give --token-file");
  }
  return absl::UnauthenticatedError("no token and no certificate; give --token-file");
}

}  // namespace rackmark

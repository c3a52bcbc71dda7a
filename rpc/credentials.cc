#include "rpc/credentials.h"

#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <sstream>

#include "common/utf8.h"

namespace rackmark {
namespace {

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  return text.str();
}

absl::StatusOr<std::string> ReadSecretFile(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, path);
  if ((info.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(path, " can be read by other users; run: chmod 600 ", path));
  }
  return ReadFile(path);
}

absl::StatusOr<v1::Role> RoleByName(const std::string& name) {
  if (name == "viewer") return v1::ROLE_VIEWER;
  if (name == "operator") return v1::ROLE_OPERATOR;
  if (name == "admin") return v1::ROLE_ADMIN;
  if (name == "worker") return v1::ROLE_WORKER;
  return absl::InvalidArgumentError(
      absl::StrCat("role '", name, "' is unknown; use viewer, operator, admin or worker"));
}

struct Pem {
  std::string certificate, key, authority;
};

absl::StatusOr<Pem> ReadPem(const TlsFiles& files) {
  Pem pem;
  ASSIGN_OR_RETURN(pem.certificate, ReadFile(files.certificate));
  ASSIGN_OR_RETURN(pem.key, ReadSecretFile(files.key));
  ASSIGN_OR_RETURN(pem.authority, ReadFile(files.authority));
  return pem;
}

}  // namespace

absl::Status CheckListenSafety(const Endpoint& endpoint, const Security& security) {
  if (security.tls.has_value() || endpoint.kind == Endpoint::Kind::kUnix) return absl::OkStatus();
  if (!endpoint.IsLocal()) {
    return absl::PermissionDeniedError(
        absl::StrCat("refusing to listen on ", endpoint.ToString(),
                     " without TLS: other machines could submit "
                     "jobs; give --tls-cert, --tls-key and --tls-ca, or listen on a unix socket"));
  }
  if (security.token_file.empty()) {
    return absl::PermissionDeniedError(
        absl::StrCat("refusing to listen on ", endpoint.ToString(),
                     " without tokens: every user of this machine "
                     "could submit jobs; give --token-file, or listen on a unix socket"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> ServerCredentialsFor(
    const Security& security) {
  if (!security.tls.has_value()) return grpc::InsecureServerCredentials();
  ASSIGN_OR_RETURN(Pem pem, ReadPem(*security.tls));
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  options.pem_root_certs = pem.authority;
  options.pem_key_cert_pairs.push_back({pem.key, pem.certificate});
  return grpc::SslServerCredentials(options);
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> ChannelCredentialsFor(
    const Security& security) {
  if (!security.tls.has_value()) return grpc::InsecureChannelCredentials();
  ASSIGN_OR_RETURN(Pem pem, ReadPem(*security.tls));
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = pem.authority;
  options.pem_private_key = pem.key;
  options.pem_cert_chain = pem.certificate;
  return grpc::SslCredentials(options);
}

absl::StatusOr<std::vector<Token>> ReadTokens(const std::string& path) {
  std::vector<Token> tokens;
  if (path.empty()) return tokens;
  ASSIGN_OR_RETURN(const std::string text, ReadSecretFile(path));
  std::istringstream lines(text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    std::istringstream words(line);
    std::string role, name, secret, rest;
    if (!(words >> role)) continue;
    if (!(words >> name >> secret) || words >> rest || secret.size() < 16) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ":", number, ": want 'role name token' with a token of 16+ characters"));
    }
    if (!IsUtf8(name)) {  // it comes into every event that it is the cause of
      return absl::InvalidArgumentError(
          absl::StrCat(path, ":", number, ": the name is not UTF-8; save the file as UTF-8 text"));
    }
    absl::StatusOr<v1::Role> known = RoleByName(role);
    if (!known.ok()) return Annotate(known.status(), absl::StrCat(path, ":", number));
    tokens.push_back({*known, name, secret});
  }
  return tokens;
}

absl::StatusOr<std::string> ReadOwnToken(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadSecretFile(path));
  std::istringstream words(text.substr(0, text.find('\n')));
  std::string word, last;
  while (words >> word) last = word;
  if (last.empty()) return absl::InvalidArgumentError(absl::StrCat(path, " holds no token"));
  return last;
}

}  // namespace rackmark

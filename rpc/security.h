// What protects a connection, from flags. The files are read by the credentials factory alone.
#pragma once

#include <optional>
#include <string>

namespace rackmark {

struct TlsFiles {
  std::string certificate;  // PEM, this side's chain
  std::string key;          // PEM, mode 0600
  std::string authority;    // PEM, who may sign the other side
};

struct Security {
  std::optional<TlsFiles> tls;  // mTLS: both sides show a certificate
  // Server: lines "role name token" (viewer, operator, admin, worker). Client: one such line, or
  // just the token. Mode 0600. Empty = none.
  std::string token_file;
};

}  // namespace rackmark

// Certificates for a measurement over mTLS: an authority of its own, and one P-256 certificate per
// name, all with one key, because thousands are needed and nobody must be kept out. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "common/status.h"
#include "rpc/security.h"

namespace rackmark {

class CertificateMaker {
 public:
  // Writes ca.pem and key.pem into the folder.
  static absl::StatusOr<std::unique_ptr<CertificateMaker>> Create(const std::string& folder);
  ~CertificateMaker();

  // Writes <folder>/<name>.pem. `san` as OpenSSL writes it: "DNS:n1", "IP:127.0.0.1".
  absl::StatusOr<TlsFiles> Issue(const std::string& name, const std::string& san);

 private:
  struct Parts;
  explicit CertificateMaker(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace rackmark

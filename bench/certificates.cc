#include "bench/certificates.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <cstdio>

namespace rackmark {
namespace {

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using File = std::unique_ptr<FILE, decltype(&fclose)>;

absl::Status Failed(const std::string& what) {
  return absl::InternalError(absl::StrCat("OpenSSL: cannot make ", what));
}

bool AddExtension(X509* of, X509* issuer, int what, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, of, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str());
  const bool added = extension != nullptr && X509_add_ext(of, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

absl::Status WriteCertificate(const std::string& path, X509* certificate) {
  const File file(fopen(path.c_str(), "we"), fclose);
  if (file != nullptr && PEM_write_X509(file.get(), certificate) == 1) return absl::OkStatus();
  return Failed(path);
}

}  // namespace

struct CertificateMaker::Parts {
  std::string folder;
  Key key{nullptr, EVP_PKEY_free};
  Certificate authority{nullptr, X509_free};
  int64_t serial = 0;

  // Signed by `issuer`; null: by itself.
  absl::StatusOr<Certificate> Make(const std::string& name, X509* issuer, int extension,
                                   const std::string& value) {
    Certificate made(X509_new(), X509_free);
    X509_set_version(made.get(), 2);
    ASN1_INTEGER_set_int64(X509_get_serialNumber(made.get()), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), 24L * 3600);
    X509_NAME* subject = X509_get_subject_name(made.get());
    const auto* text = reinterpret_cast<const unsigned char*>(name.c_str());
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, text, -1, -1, 0);
    X509* signer = issuer == nullptr ? made.get() : issuer;
    X509_set_issuer_name(made.get(), X509_get_subject_name(signer));
    X509_set_pubkey(made.get(), key.get());
    if (!AddExtension(made.get(), signer, extension, value) ||
        X509_sign(made.get(), key.get(), EVP_sha256()) == 0) {
      return Failed(absl::StrCat("a certificate for ", name));
    }
    return made;
  }
};

CertificateMaker::CertificateMaker(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
CertificateMaker::~CertificateMaker() = default;

absl::StatusOr<std::unique_ptr<CertificateMaker>> CertificateMaker::Create(
    const std::string& folder) {
  auto parts = std::make_unique<Parts>();
  parts->folder = folder;
  parts->key.reset(EVP_EC_gen("P-256"));
  if (parts->key == nullptr) return Failed("a key");
  const std::string path = folder + "/key.pem";
  const File file(fopen(path.c_str(), "we"), fclose);
  if (file == nullptr || chmod(path.c_str(), 0600) != 0 ||
      PEM_write_PrivateKey(file.get(), parts->key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
          1) {
    return Failed(path);
  }
  auto authority =
      parts->Make("bench authority", nullptr, NID_basic_constraints, "critical,CA:TRUE");
  RETURN_IF_ERROR(authority.status());
  parts->authority = *std::move(authority);
  RETURN_IF_ERROR(WriteCertificate(folder + "/ca.pem", parts->authority.get()));
  return std::unique_ptr<CertificateMaker>(new CertificateMaker(std::move(parts)));
}

absl::StatusOr<TlsFiles> CertificateMaker::Issue(const std::string& name, const std::string& san) {
  ASSIGN_OR_RETURN(const Certificate made,
                   parts_->Make(name, parts_->authority.get(), NID_subject_alt_name, san));
  const std::string path = absl::StrCat(parts_->folder, "/", name, ".pem");
  RETURN_IF_ERROR(WriteCertificate(path, made.get()));
  return TlsFiles{path, parts_->folder + "/key.pem", parts_->folder + "/ca.pem"};
}

}  // namespace rackmark

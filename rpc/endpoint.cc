#include "rpc/endpoint.h"

#include <arpa/inet.h>

#include <charconv>

namespace rackmark {
namespace {

constexpr size_t kSocketPathMax = 107;  // sizeof(sockaddr_un::sun_path) - 1

absl::StatusOr<Endpoint> ParseUnix(std::string_view path) {
  if (path.empty() || path.size() > kSocketPathMax) {
    return absl::InvalidArgumentError(absl::StrCat("unix socket path '", ToAbsl(path), "' has ",
                                                   path.size(), " bytes; the kernel takes 1 to ",
                                                   kSocketPathMax, ": use a shorter folder"));
  }
  return Endpoint{Endpoint::Kind::kUnix, std::string(path)};
}

}  // namespace

std::string Endpoint::ToString() const {
  return kind == Kind::kUnix ? absl::StrCat("unix:", address) : address;
}

bool Endpoint::IsLocal() const {
  if (kind == Kind::kUnix) return true;
  const std::string_view host = std::string_view(address).substr(0, address.rfind(':'));
  if (host == "localhost" || host == "[::1]") return true;
  // As a number: "127.example.com" is a name, and whose is for the network to say.
  in_addr ip{};
  return inet_pton(AF_INET, std::string(host).c_str(), &ip) == 1 && ntohl(ip.s_addr) >> 24 == 127;
}

absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text) {
  constexpr std::string_view kUnixScheme = "unix:";
  if (text.substr(0, kUnixScheme.size()) == kUnixScheme) {
    return ParseUnix(text.substr(kUnixScheme.size()));
  }
  const size_t colon = text.rfind(':');
  int port = -1;
  if (colon != std::string_view::npos && colon > 0) {
    const char* end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data() + colon + 1, end, port);
    if (parsed.ec != std::errc() || parsed.ptr != end) port = -1;
  }
  if (port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat(
        "endpoint '", ToAbsl(text), "' is neither unix:/path nor host:port; try unix:/run/x.sock"));
  }
  return Endpoint{Endpoint::Kind::kTcp, std::string(text)};
}

}  // namespace rackmark

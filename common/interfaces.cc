#include "common/interfaces.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <map>
#include <memory>

#include "absl/strings/str_join.h"
#include "common/text.h"

namespace rackmark {
namespace {

bool CanBeListenedOn(const sockaddr* address) {
  if (address == nullptr) return false;
  if (address->sa_family == AF_INET) return true;
  if (address->sa_family != AF_INET6) return false;
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(*address);
  return !IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr);
}

}  // namespace

absl::StatusOr<std::vector<NetworkInterface>> NetworkInterfaces() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return ErrnoStatus(errno, "getifaddrs");
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owned(list, &freeifaddrs);
  std::map<std::string, NetworkInterface> by_name;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    NetworkInterface& found = by_name[entry->ifa_name];
    found.name = entry->ifa_name;
    found.up = found.up || (entry->ifa_flags & IFF_UP) != 0;
    found.has_address = found.has_address || CanBeListenedOn(entry->ifa_addr);
  }
  std::vector<NetworkInterface> all;
  for (auto& [name, interface] : by_name) all.push_back(std::move(interface));
  return all;
}

absl::Status CheckInterfaceAmong(std::string_view name,
                                 const std::vector<NetworkInterface>& there) {
  std::string wrong = "there is no such network interface here";
  std::vector<std::string> usable;
  for (const NetworkInterface& interface : there) {
    if (interface.up && interface.has_address) usable.push_back(EscapeControl(interface.name));
    if (interface.name != name) continue;
    if (interface.up && interface.has_address) return absl::OkStatus();
    wrong =
        interface.up ? "this network interface has no address" : "this network interface is down";
  }
  const std::string remedy = usable.empty()
                                 ? "no other one is up and has an address"
                                 : absl::StrCat("use one of ", absl::StrJoin(usable, ", "));
  return absl::NotFoundError(absl::StrCat(EscapeControl(name), ": ", wrong, "; ", remedy));
}

absl::Status CheckInterface(std::string_view name) {
  ASSIGN_OR_RETURN(const auto there, NetworkInterfaces());
  return CheckInterfaceAmong(name, there);
}

}  // namespace rackmark

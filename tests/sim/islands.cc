#include "tests/sim/islands.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace rackmark::sim {
namespace {

const v1::Device* FindDevice(const v1::NodeInfo& node, uint32_t index) {
  for (const v1::Device& device : node.devices()) {
    if (device.index() == index) return &device;
  }
  return nullptr;
}

}  // namespace

std::string DomainName(const v1::NodeInfo& node) {
  return node.devices_size() == 0 ? "" : node.devices(0).nvlink_domain();
}

std::string DomainKey(const v1::NodeInfo& node) {
  const std::string domain = DomainName(node);
  return domain.empty() ? absl::StrCat("node ", node.name()) : absl::StrCat("domain ", domain);
}

std::string RackKey(const v1::NodeInfo& node) {
  return node.rack().empty() ? DomainKey(node) : absl::StrCat("rack ", node.rack());
}

std::string WhyNotServes(const v1::Gang& gang, const v1::NodeInfo& node, uint32_t device) {
  const v1::Device* found = FindDevice(node, device);
  if (found == nullptr) return absl::StrCat(node.name(), " has no device ", device);
  if (found->kind() != gang.kind()) return absl::StrCat("a device of ", node.name(), " is no such");
  const std::string model = absl::AsciiStrToLower(found->model());
  const bool any =
      std::any_of(gang.models().begin(), gang.models().end(), [&](const std::string& wanted) {
        return absl::StrContains(model, absl::AsciiStrToLower(wanted));
      });
  if (gang.models_size() > 0 && !any) {
    return absl::StrCat("the model of ", node.name(), " is ", found->model());
  }
  for (const auto& [key, value] : gang.labels()) {
    const auto label = node.labels().find(key);
    if (label == node.labels().end() || label->second != value) {
      return absl::StrCat("the label ", key, " of ", node.name(), " is not ", value);
    }
  }
  const auto& nodes = gang.nodes();
  if (nodes.empty() || std::count(nodes.begin(), nodes.end(), node.name()) > 0) return "";
  return absl::StrCat(node.name(), " is not among the nodes that it names");
}

}  // namespace rackmark::sim

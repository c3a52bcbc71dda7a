#include "coordinator/core/expect_slots.h"

#include <map>
#include <set>
#include <string>
#include <utility>

#include "common/status.h"

namespace rackmark::expect {
namespace {

struct Place {
  std::string node, slot;
  auto operator<=>(const Place&) const = default;
};

class SlotMap {
 public:
  SlotMap(const v1::Expectation& expectation, const std::vector<const v1::NodeInfo*>& nodes)
      : expectation_(expectation) {
    for (const v1::NodeInfo* node : nodes) {
      nodes_.insert(node->name());
      for (const v1::Device& device : node->devices()) {
        const Place place{node->name(), device.slot()};
        // CPU slots are no parts: they have neither.
        if (!device.slot().empty() || device.kind() != v1::DEVICE_KIND_CPU) {
          at_[place].push_back(&device);
        }
        if (!device.serial().empty()) where_.emplace(device.serial(), place);
      }
    }
    for (const v1::ExpectedPart& part : expectation.slots()) {
      mapped_.insert(part.node());
      expected_at_[{part.node(), part.slot()}].insert(part.serial());
      expected_serials_.insert(part.serial());
    }
  }

  void Compare(std::vector<v1::Finding>& findings) {
    for (const v1::ExpectedPart& part : expectation_.slots()) {
      if (nodes_.count(part.node()) != 0) ComparePart(part, findings);
    }
    // What no part was compared with.
    for (const auto& [place, devices] : at_) {
      if (mapped_.count(place.node) == 0) continue;
      for (const v1::Device* device : devices) {
        // What should be here is right; what should be elsewhere is found missing, or swapped,
        // there.
        if (told_.count(device) != 0 || expected_serials_.count(device->serial()) != 0) continue;
        v1::Finding& finding = Add(v1::FINDING_KIND_EXTRA, place, findings);
        SetDevice(*device, finding);
        finding.set_found(device->serial().empty() ? "one without serial" : device->serial());
      }
    }
  }

 private:
  static v1::Finding& Add(v1::FindingKind kind, const Place& place,
                          std::vector<v1::Finding>& findings) {
    v1::Finding& finding = findings.emplace_back();
    finding.set_kind(kind);
    finding.set_what("serial");
    finding.set_node(place.node);
    finding.set_slot(place.slot);
    return finding;
  }

  static void SetDevice(const v1::Device& device, v1::Finding& finding) {
    finding.set_device(device.index());
    finding.set_serial(device.serial());
  }

  // What is in the part's place instead of it, and was not told of another part of the same place:
  // a driver may count several devices as one slot. Null if nothing is.
  const v1::Device* InsteadOf(const Place& place) {
    const std::set<std::string>& right = expected_at_.at(place);
    for (const v1::Device* device : at_[place]) {
      const bool foreign = right.count(device->serial()) == 0;
      if (foreign && told_.insert(device).second) return device;
    }
    return nullptr;
  }

  void ComparePart(const v1::ExpectedPart& part, std::vector<v1::Finding>& findings) {
    const Place place{part.node(), part.slot()};
    for (const v1::Device* device : at_[place]) {
      if (device->serial() == part.serial()) return;
    }
    const v1::Device* device = InsteadOf(place);
    const auto elsewhere = where_.find(part.serial());
    const bool swapped = elsewhere != where_.end();
    const bool unread = device != nullptr && device->serial().empty() && !swapped;
    v1::Finding& finding = Add(swapped  ? v1::FINDING_KIND_SWAPPED
                               : unread ? v1::FINDING_KIND_ODD_ONE_OUT
                                        : v1::FINDING_KIND_MISSING,
                               place, findings);
    finding.set_expected(part.serial());
    if (device != nullptr) SetDevice(*device, finding);
    std::string found = device == nullptr          ? "an empty slot"
                        : device->serial().empty() ? "unknown"
                                                   : device->serial();
    if (swapped) {
      absl::StrAppend(&found, " (it is in ", elsewhere->second.node);
      if (!elsewhere->second.slot.empty()) {
        absl::StrAppend(&found, " slot ", elsewhere->second.slot);
      }
      absl::StrAppend(&found, ")");
    }
    finding.set_found(std::move(found));
  }

  const v1::Expectation& expectation_;
  std::set<std::string> nodes_, mapped_, expected_serials_;
  std::map<Place, std::set<std::string>> expected_at_;
  std::map<Place, std::vector<const v1::Device*>> at_;
  std::set<const v1::Device*> told_;  // as what is there instead of a part
  std::map<std::string, Place> where_;
};

}  // namespace

void CompareSlots(const v1::Expectation& expectation, const std::vector<const v1::NodeInfo*>& nodes,
                  std::vector<v1::Finding>& findings) {
  SlotMap(expectation, nodes).Compare(findings);
}

}  // namespace rackmark::expect

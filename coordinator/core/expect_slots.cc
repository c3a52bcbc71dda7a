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
        if (!device.slot().empty()) at_[place] = &device;
        if (!device.serial().empty()) where_.emplace(device.serial(), place);
      }
    }
    for (const v1::ExpectedPart& part : expectation.slots()) {
      mapped_.insert(part.node());
      expected_places_.insert({part.node(), part.slot()});
      expected_serials_.insert(part.serial());
    }
  }

  void Compare(std::vector<v1::Finding>& findings) const {
    for (const v1::ExpectedPart& part : expectation_.slots()) {
      if (nodes_.count(part.node()) != 0) ComparePart(part, findings);
    }
    for (const auto& [place, device] : at_) {
      if (mapped_.count(place.node) == 0 || expected_places_.count(place) != 0) continue;
      // What should be elsewhere is found missing, or swapped, there.
      if (expected_serials_.count(device->serial()) != 0) continue;
      v1::Finding& finding = Add(v1::FINDING_KIND_EXTRA, place, findings);
      SetDevice(*device, finding);
      finding.set_found(device->serial().empty() ? "one without serial" : device->serial());
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

  void ComparePart(const v1::ExpectedPart& part, std::vector<v1::Finding>& findings) const {
    const Place place{part.node(), part.slot()};
    const auto there = at_.find(place);
    const v1::Device* device = there == at_.end() ? nullptr : there->second;
    if (device != nullptr && device->serial() == part.serial()) return;
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
  std::set<Place> expected_places_;
  std::map<Place, const v1::Device*> at_;
  std::map<std::string, Place> where_;
};

}  // namespace

void CompareSlots(const v1::Expectation& expectation, const std::vector<const v1::NodeInfo*>& nodes,
                  std::vector<v1::Finding>& findings) {
  SlotMap(expectation, nodes).Compare(findings);
}

}  // namespace rackmark::expect

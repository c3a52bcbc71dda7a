#include "coordinator/core/expect.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "common/status.h"
#include "coordinator/core/expect_slots.h"
#include "coordinator/plan/gang.h"

namespace rackmark {
namespace expect {
namespace {

constexpr size_t kTextMax = 253;        // as a node's name
constexpr char kUnknown[] = "unknown";  // what a node does not say is no evidence
// Of memory, to that of the majority: what a kernel keeps for itself differs a little.
constexpr double kMemoryTolerance = 0.01;

bool HasLabels(const v1::NodeInfo& info, const v1::Expectation& expectation) {
  for (const auto& [name, value] : expectation.labels()) {
    const auto found = info.labels().find(name);
    if (found == info.labels().end() || found->second != value) return false;
  }
  return true;
}

std::string LinksOf(const v1::Device& device) {
  return device.has_links() ? absl::StrCat(device.links()) : kUnknown;
}

std::string DomainOf(const v1::Device& device) {
  return device.nvlink_domain().empty() ? "none" : device.nvlink_domain();
}

// To whole characters: what is stored must stay UTF-8.
void Shorten(std::string& text) {
  if (text.size() <= kTextMax) return;
  size_t end = kTextMax;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  text.resize(end);
  text += "...";
}

// The value that most have; of equals the one that was seen first. What is not said has no vote.
class Majority {
 public:
  void Add(const std::string& value) {
    if (value.empty() || value == kUnknown) return;
    auto [at, is_new] = seen_.try_emplace(value, Count{0, seen_.size()});
    ++at->second.count;
  }
  std::optional<std::string> Get() const {
    const auto most =
        std::min_element(seen_.begin(), seen_.end(), [](const auto& a, const auto& b) {
          if (a.second.count != b.second.count) return a.second.count > b.second.count;
          return a.second.first < b.second.first;
        });
    return most == seen_.end() ? std::nullopt : std::optional<std::string>(most->first);
  }

 private:
  struct Count {
    size_t count = 0, first = 0;
  };
  std::map<std::string, Count> seen_;
};

bool SameMemory(uint64_t bytes, uint64_t other) {
  if (bytes == other) return true;
  const double share = static_cast<double>(bytes) / static_cast<double>(other);
  return share > 1 - kMemoryTolerance && share < 1 + kMemoryTolerance;
}

// The size that most agree with, each by the tolerance; the middle one of these stands for them.
// `sizes` ascends and is not empty.
uint64_t MostMemory(const std::vector<uint64_t>& sizes) {
  size_t from = 0, best = 0, best_from = 0;
  for (size_t to = 0; to < sizes.size(); ++to) {
    while (!SameMemory(sizes[to], sizes[from])) ++from;
    if (to + 1 - from <= best) continue;
    best = to + 1 - from;
    best_from = from;
  }
  return sizes[best_from + best / 2];
}

// What was expected of a device and what it is, where these differ.
struct Differs {
  std::string expected, found;
  bool operator==(const Differs&) const = default;
};

class Comparison {
 public:
  Comparison(const v1::Expectation& expectation, const std::vector<Seen>& nodes)
      : expected_(expectation), nodes_(nodes) {}

  std::vector<v1::Finding> All() {
    SortNodes();
    CountNodes();
    CheckNodes();
    CheckDevices();
    if (expected_.one_domain()) CheckOneDomain();
    if (expected_.alike()) CheckAlike();
    CompareSlots(expected_, there_, findings_);
    Bound();
    return std::move(findings_);
  }

  std::vector<v1::Finding> OnlyExcluded() {
    SortNodes();
    CountNodes();
    std::erase_if(findings_, [](const v1::Finding& finding) {
      return finding.kind() != v1::FINDING_KIND_EXCLUDED;
    });
    Bound();
    return std::move(findings_);
  }

 private:
  using Question = std::function<std::optional<Differs>(const v1::Device&)>;

  v1::Finding& Add(v1::FindingKind kind, const std::string& node, std::string_view what,
                   std::string expected, std::string found) {
    v1::Finding& finding = findings_.emplace_back();
    finding.set_kind(kind);
    finding.set_node(node);
    finding.set_what(std::string(what));
    finding.set_expected(std::move(expected));
    finding.set_found(std::move(found));
    return finding;
  }

  bool Counts() const { return expected_.has_node_count() && expected_.nodes_size() == 0; }

  // Who is there and meant, who is excluded, who is too many, who has never been heard of.
  void SortNodes() {
    const Meant meant(expected_);
    std::set<std::string> unheard = meant.named();
    const bool by_name = expected_.nodes_size() > 0;
    for (const Seen& seen : nodes_) {
      const std::string& name = seen.info->name();
      unheard.erase(name);
      if (!meant.Includes(*seen.info)) continue;
      const bool gone = seen.presence == Presence::kAbsent || seen.presence == Presence::kSilent;
      if (by_name && !meant.IsNamed(name)) {
        if (!gone) Add(v1::FINDING_KIND_EXTRA, name, "node", "", name);
        continue;
      }
      if (gone && Counts() && !meant.IsNamed(name)) {
        gone_.push_back(&seen);  // another one may have come in its place
        continue;
      }
      ++(gone ? named_gone_ : present_);
      if (seen.presence == Presence::kThere) {
        there_.push_back(seen.info);
        AddUnusable(seen);
      } else {
        Add(v1::FINDING_KIND_EXCLUDED, name, "node", "", seen.why);
      }
    }
    for (const std::string& name : unheard) {
      Add(v1::FINDING_KIND_MISSING, name, "node", name, "");
    }
  }

  // Devices of a node that is there, and that nothing is ever placed on.
  void AddUnusable(const Seen& seen) {
    for (const v1::Device* device : DevicesOf(*seen.info)) {
      const auto why = seen.unusable.find(device->index());
      if (why == seen.unusable.end()) continue;
      v1::Finding& finding =
          Add(v1::FINDING_KIND_EXCLUDED, seen.info->name(), "device", "", why->second);
      finding.set_device(device->index());
      finding.set_slot(device->slot());
      finding.set_serial(device->serial());
    }
  }

  // Those that are gone are excluded only as far as others are not there in their place: of these
  // first who may yet report, then who came last.
  void CountNodes() {
    if (!Counts()) return;
    const size_t wanted = expected_.node_count();
    const size_t known = present_ + named_gone_;
    std::stable_sort(gone_.begin(), gone_.end(), [](const Seen* a, const Seen* b) {
      return a->presence == Presence::kAbsent && b->presence == Presence::kSilent;
    });
    std::reverse(gone_.begin(), gone_.end());
    for (size_t i = 0; i < gone_.size() && known + i < wanted; ++i) {
      Add(v1::FINDING_KIND_EXCLUDED, gone_[i]->info->name(), "node", "", gone_[i]->why);
    }
    const auto differs = [&](v1::FindingKind kind, size_t found) {
      Add(kind, "", "nodes", absl::StrCat(wanted), absl::StrCat(found));
    };
    if (present_ > wanted) differs(v1::FINDING_KIND_EXTRA, present_);
    if (known + gone_.size() < wanted) differs(v1::FINDING_KIND_MISSING, known + gone_.size());
  }

  std::vector<const v1::Device*> DevicesOf(const v1::NodeInfo& node) const {
    std::vector<const v1::Device*> devices;
    for (const v1::Device& device : node.devices()) {
      const bool any = expected_.kind() == v1::DEVICE_KIND_UNKNOWN;
      if (any || device.kind() == expected_.kind()) devices.push_back(&device);
    }
    return devices;
  }

  void CheckNodes() {
    for (const v1::NodeInfo* node : there_) {
      if (!expected_.driver().empty() && node->driver() != expected_.driver() &&
          node->driver().rfind(expected_.driver() + ".", 0) != 0) {
        Add(v1::FINDING_KIND_ODD_ONE_OUT, node->name(), "driver", expected_.driver(),
            node->driver().empty() ? kUnknown : node->driver());
      }
      const size_t count = DevicesOf(*node).size();
      if (!expected_.has_devices_per_node() || count == expected_.devices_per_node()) continue;
      const bool fewer = count < expected_.devices_per_node();
      v1::Finding& finding =
          Add(fewer ? v1::FINDING_KIND_MISSING : v1::FINDING_KIND_EXTRA, node->name(), "devices",
              absl::StrCat(expected_.devices_per_node()), absl::StrCat(count));
      if (fewer) finding.set_slot(EmptySlots(*node, expected_.devices_per_node() - count));
    }
  }

  // The slots that most nodes have and this one lacks, if they are as many as are missing.
  std::string EmptySlots(const v1::NodeInfo& node, size_t missing) const {
    std::map<std::string, size_t> nodes_with;
    for (const v1::NodeInfo* other : there_) {
      for (const v1::Device* device : DevicesOf(*other)) {
        if (!device->slot().empty()) ++nodes_with[device->slot()];
      }
    }
    for (const v1::Device* device : DevicesOf(node)) nodes_with.erase(device->slot());
    std::string slots;
    size_t empty = 0;
    for (const auto& [slot, count] : nodes_with) {
      if (2 * count <= there_.size()) continue;
      absl::StrAppend(&slots, empty++ == 0 ? "" : ", ", slot);
    }
    return empty == missing ? slots : "";
  }

  // One finding for a node whose devices all differ alike, else one for each.
  void Ask(std::string_view what, const Question& question) {
    for (const v1::NodeInfo* node : there_) {
      const std::vector<const v1::Device*> devices = DevicesOf(*node);
      std::vector<std::pair<const v1::Device*, Differs>> odd;
      for (const v1::Device* device : devices) {
        if (auto differs = question(*device)) odd.emplace_back(device, *std::move(differs));
      }
      const bool all = odd.size() == devices.size() && odd.size() > 1 &&
                       std::all_of(odd.begin(), odd.end(), [&](const auto& each) {
                         return each.second == odd.front().second;
                       });
      if (all) odd.resize(1);
      for (const auto& [device, differs] : odd) {
        v1::Finding& finding =
            Add(v1::FINDING_KIND_ODD_ONE_OUT, node->name(), what, differs.expected, differs.found);
        if (all) continue;
        finding.set_device(device->index());
        finding.set_slot(device->slot());
        finding.set_serial(device->serial());
      }
    }
  }

  void CheckDevices() {
    if (!expected_.model().empty()) {
      Ask("model", [&](const v1::Device& device) -> std::optional<Differs> {
        if (plan::ModelMatches(expected_.model(), device.model())) return std::nullopt;
        return Differs{expected_.model(), device.model().empty() ? kUnknown : device.model()};
      });
    }
    if (expected_.has_links_per_device()) {
      const std::string links = absl::StrCat(expected_.links_per_device());
      Ask("links", [&](const v1::Device& device) -> std::optional<Differs> {
        if (LinksOf(device) == links) return std::nullopt;
        return Differs{links, LinksOf(device)};
      });
    }
  }

  // Those that are not as most are; what a device does not say differs, if others say something.
  void AskMajority(std::string_view what,
                   const std::function<std::string(const v1::Device&)>& value_of) {
    Majority majority;
    for (const v1::NodeInfo* node : there_) {
      for (const v1::Device* device : DevicesOf(*node)) majority.Add(value_of(*device));
    }
    const std::optional<std::string> most = majority.Get();
    if (!most.has_value()) return;
    Ask(what, [&](const v1::Device& device) -> std::optional<Differs> {
      std::string value = value_of(device);
      if (value == *most) return std::nullopt;
      return Differs{*most, value.empty() ? kUnknown : std::move(value)};
    });
  }

  void CheckOneDomain() {
    Majority majority;
    for (const v1::NodeInfo* node : there_) {
      for (const v1::Device* device : DevicesOf(*node)) majority.Add(device->nvlink_domain());
    }
    const std::string most = majority.Get().value_or("an NVLink domain");
    Ask("domain", [&](const v1::Device& device) -> std::optional<Differs> {
      if (device.nvlink_domain() == most) return std::nullopt;
      return Differs{most, DomainOf(device)};
    });
  }

  void CheckAlike() {
    AskMajority("model", [](const v1::Device& device) { return device.model(); });
    AskMajority("links", LinksOf);
    CheckMemory();
    Majority majority;
    for (const v1::NodeInfo* node : there_) majority.Add(node->driver());
    const std::optional<std::string> most = majority.Get();
    for (const v1::NodeInfo* node : there_) {
      if (!most.has_value() || node->driver() == *most) continue;
      Add(v1::FINDING_KIND_ODD_ONE_OUT, node->name(), "driver", *most,
          node->driver().empty() ? kUnknown : node->driver());
    }
  }

  void CheckMemory() {
    std::vector<uint64_t> sizes;
    for (const v1::NodeInfo* node : there_) {
      for (const v1::Device* device : DevicesOf(*node)) {
        if (device->has_memory_bytes()) sizes.push_back(device->memory_bytes());
      }
    }
    if (sizes.empty()) return;
    std::sort(sizes.begin(), sizes.end());
    const uint64_t most = MostMemory(sizes);
    const std::string expected = absl::StrCat(most, " bytes");
    Ask("memory", [&](const v1::Device& device) -> std::optional<Differs> {
      if (!device.has_memory_bytes()) return Differs{expected, kUnknown};
      if (SameMemory(device.memory_bytes(), most)) return std::nullopt;
      return Differs{expected, absl::StrCat(device.memory_bytes(), " bytes")};
    });
  }

  // Faults before what is excluded, so that a cut never hides that something is wrong. Nodes say
  // what they like, at any length.
  void Bound() {
    for (v1::Finding& finding : findings_) {
      Shorten(*finding.mutable_node());
      Shorten(*finding.mutable_slot());
      Shorten(*finding.mutable_serial());
      Shorten(*finding.mutable_expected());
      Shorten(*finding.mutable_found());
    }
    std::stable_partition(findings_.begin(), findings_.end(), [](const v1::Finding& finding) {
      return finding.kind() != v1::FINDING_KIND_EXCLUDED;
    });
    if (findings_.size() <= kFindingsMax) return;
    const size_t more = findings_.size() - (kFindingsMax - 1);
    const v1::FindingKind kind = findings_[kFindingsMax - 1].kind();
    findings_.resize(kFindingsMax - 1);
    Add(kind, "", "findings", "", absl::StrCat(more, " more"));
  }

  const v1::Expectation& expected_;
  const std::vector<Seen>& nodes_;
  std::vector<const v1::NodeInfo*> there_;  // meant, and can be asked
  // Of those that are meant: there, whether to be used or not; gone, and named; gone, and counted.
  size_t present_ = 0, named_gone_ = 0;
  std::vector<const Seen*> gone_;
  std::vector<v1::Finding> findings_;
};

}  // namespace

Meant::Meant(const v1::Expectation& expectation)
    : expectation_(expectation), named_(expectation.nodes().begin(), expectation.nodes().end()) {
  for (const v1::ExpectedPart& part : expectation.slots()) named_.insert(part.node());
}

bool Meant::Includes(const v1::NodeInfo& node) const {
  return IsNamed(node.name()) || HasLabels(node, expectation_);
}

bool Meant::Complete(const std::set<std::string>& heard, uint32_t present) const {
  if (!std::includes(heard.begin(), heard.end(), named_.begin(), named_.end())) return false;
  const bool counts = expectation_.has_node_count() && expectation_.nodes_size() == 0;
  return !counts || present >= expectation_.node_count();
}

std::vector<v1::Finding> Compare(const v1::Expectation& expectation,
                                 const std::vector<Seen>& nodes) {
  return Comparison(expectation, nodes).All();
}

std::vector<v1::Finding> Excluded(const v1::Expectation& expectation,
                                  const std::vector<Seen>& nodes) {
  return Comparison(expectation, nodes).OnlyExcluded();
}

}  // namespace expect

std::string SentenceOf(const v1::Finding& f) {
  std::string text = f.node().empty() ? "the fleet" : absl::StrCat("node ", f.node());
  if (!f.slot().empty()) {
    absl::StrAppend(&text, " slot ", f.slot());
  } else if (f.has_device()) {
    absl::StrAppend(&text, " device ", f.device());
  }
  if (!f.serial().empty()) absl::StrAppend(&text, " (serial ", f.serial(), ")");
  const std::string expected =
      f.expected().empty() ? "" : absl::StrCat(", expected ", f.expected());
  switch (f.kind()) {
    case v1::FINDING_KIND_MISSING:
      if (f.what() == "node") return absl::StrCat(text, " is missing");
      return absl::StrCat(text, ": ", f.what(), " missing", expected,
                          f.found().empty() ? "" : ", found ", f.found());
    case v1::FINDING_KIND_EXTRA:
      if (f.what() == "node" || f.what() == "serial") {
        return absl::StrCat(text, " is not expected");
      }
      return absl::StrCat(text, ": too many ", f.what(), expected, ", found ", f.found());
    case v1::FINDING_KIND_SWAPPED:
      return absl::StrCat(text, ": swapped", expected, ", found ", f.found());
    case v1::FINDING_KIND_EXCLUDED: return absl::StrCat(text, " is excluded: ", f.found());
    default: return absl::StrCat(text, ": ", f.what(), " is ", f.found(), expected);
  }
}

}  // namespace rackmark

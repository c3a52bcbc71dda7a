// The `expect` map of a suite: what must be there before anything runs.
#include <algorithm>
#include <set>
#include <utility>

#include "common/text.h"
#include "jobs/bounds.h"
#include "jobs/job_reader.h"
#include "jobs/suite_reader.h"

namespace rackmark {
namespace {

using namespace bounds;

std::string ShortText(const Fields& fields, std::string_view key) {
  std::string text = fields.Text(key, std::nullopt);
  if (!fields.Has(key)) return text;
  if (text.empty()) fields.Problem(key, "is empty; write a text or remove the key");
  if (text.size() > kWordBytesMax) {
    fields.Problem(key, absl::StrCat("is longer than ", kWordBytesMax, " bytes; shorten it"));
  }
  return text;
}

void ReadSlots(const Fields& expect, v1::Expectation& out) {
  if (!expect.Has("slots")) return;
  std::set<std::pair<std::string, std::string>> places;
  std::set<std::string> serials;
  for (const Fields& entry : expect.Maps("slots", {"node", "slot", "serial"}, 0, kSlotsMax)) {
    v1::ExpectedPart& part = *out.add_slots();
    part.set_node(ShortText(entry, "node"));
    part.set_slot(ShortText(entry, "slot"));
    part.set_serial(ShortText(entry, "serial"));
    if (!places.emplace(part.node(), part.slot()).second) {
      entry.Problem("slot", "is here twice, on the same node; keep one of them");
    }
    if (!serials.insert(part.serial()).second) {
      entry.Problem("serial", "sits in two slots; correct one of them");
    }
    const auto& nodes = out.nodes();
    if (!nodes.empty() && std::find(nodes.begin(), nodes.end(), part.node()) == nodes.end()) {
      entry.Problem("node", absl::StrCat("\"", EscapeControl(part.node().substr(0, 64)),
                                         "\" is none of expect.nodes; add it there"));
    }
  }
}

void ReadDevices(const Fields& expect, v1::Expectation& out) {
  if (expect.Has("device")) {
    out.set_kind(expect.Word("device", {"cpu", "gpu"}, std::nullopt) == "cpu"
                     ? v1::DEVICE_KIND_CPU
                     : v1::DEVICE_KIND_GPU);
  }
  if (expect.Has("devices_per_node")) {
    out.set_devices_per_node(expect.Small("devices_per_node", {1, kPerNodeMax, std::nullopt}));
  }
  if (expect.Has("model")) out.set_model(ShortText(expect, "model"));
  if (expect.Has("links_per_device")) {
    out.set_links_per_device(expect.Small("links_per_device", {0, kLinksMax, std::nullopt}));
  }
  if (expect.Bool("one_domain", false)) out.set_one_domain(true);
  out.set_alike(expect.Bool("alike", false));
  ReadSlots(expect, out);
  if (expect.Has("driver")) out.set_driver(ShortText(expect, "driver"));
}

bool ExpectsAnything(const v1::Expectation& out) {
  return out.nodes_size() > 0 || out.has_node_count() || out.has_devices_per_node() ||
         !out.model().empty() || out.has_links_per_device() || out.one_domain() || out.alike() ||
         out.slots_size() > 0 || !out.driver().empty();
}

}  // namespace

void ReadExpectation(const Fields& spec, v1::Expectation& out) {
  const size_t before = spec.problems().all().size();
  const Fields expect =
      spec.Map("expect", {"nodes", "node_count", "labels", "device", "devices_per_node", "model",
                          "links_per_device", "one_domain", "alike", "slots", "driver", "wait"});
  for (std::string& node : expect.Texts("nodes", kNodesMax)) out.add_nodes(std::move(node));
  if (expect.Has("node_count")) {
    out.set_node_count(expect.Small("node_count", {1, kNodesMax, std::nullopt}));
    if (out.nodes_size() > 0) {
      expect.Problem("node_count", "stands beside nodes, which are counted; keep one of them");
    }
  }
  for (const auto& [name, value] : expect.Labels("labels", kWordBytesMax)) {
    (*out.mutable_labels())[name] = value;
  }
  ReadDevices(expect, out);
  out.set_wait_ns(expect.Duration("wait", {0, kExpectWaitMax, kExpectWaitDefault}));
  if (spec.problems().all().size() == before && !ExpectsAnything(out)) {
    spec.Problem("expect",
                 "expects nothing; write node_count, model, alike or another, or remove it");
  }
}

}  // namespace rackmark

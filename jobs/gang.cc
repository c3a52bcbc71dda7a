// The `gang` map: how many devices, which ones, and how far apart.
#include <algorithm>

#include "jobs/bounds.h"
#include "jobs/run_spec.h"

namespace rackmark {
namespace {

using namespace bounds;

// In the order of v1::Within, which begins at 1.
const std::vector<std::string>& IslandWords() {
  static const std::vector<std::string> words = {"node", "nvlink-domain", "rack", "cluster"};
  return words;
}

v1::Within IslandOf(const Fields& gang, std::string_view key) {
  const std::string word = gang.Word(key, IslandWords(), std::nullopt);
  const auto at = std::find(IslandWords().begin(), IslandWords().end(), word);
  return static_cast<v1::Within>(at - IslandWords().begin() + 1);
}

// `within: rack` is a law, `prefer: rack` a wish; a gang has one of them at most.
void ReadIsland(const Fields& gang, v1::Gang& out) {
  out.set_within(v1::WITHIN_CLUSTER);
  if (gang.Has("within") && gang.Has("prefer")) {
    return gang.Problem("prefer",
                        "stands beside within; keep within where nothing wider will do, prefer "
                        "where it may be wider");
  }
  if (gang.Has("within")) {
    out.set_within(IslandOf(gang, "within"));
  } else if (gang.Has("prefer")) {
    out.set_within(IslandOf(gang, "prefer"));
    out.set_preferred(true);
  }
}

void ReadPerNode(const Fields& gang, v1::Gang& out) {
  if (!gang.Has("per_node")) return;
  out.set_per_node(gang.Small("per_node", {1, kPerNodeMax, std::nullopt}));
  if (out.devices() % out.per_node() != 0) {
    gang.Problem("per_node", absl::StrCat(out.devices(), " devices do not divide into nodes of ",
                                          out.per_node(), "; write a divisor of gang.devices"));
  }
}

void CheckTogether(const Fields& gang, const v1::Gang& out) {
  const uint32_t nodes =
      out.has_per_node() && out.per_node() > 0 ? out.devices() / out.per_node() : 1;  // at least
  if (nodes > 1 && out.within() == v1::WITHIN_NODE && !out.preferred()) {
    gang.Problem("within", absl::StrCat("one node cannot hold what per_node spreads over ", nodes,
                                        "; remove per_node, or write rack or cluster"));
  }
  if (out.nodes_size() > 0 && static_cast<uint32_t>(out.nodes_size()) < nodes) {
    gang.Problem("nodes", absl::StrCat("names ", out.nodes_size(), " nodes, and per_node spreads ",
                                       "the gang over ", nodes, "; name more"));
  }
}

}  // namespace

v1::Gang ReadGang(const Fields& spec) {
  const Fields gang = spec.Map("gang", {"devices", "per_node", "device", "within", "prefer",
                                        "exclusive", "models", "labels", "nodes", "quarantined"});
  v1::Gang out;
  out.set_devices(gang.Small("devices", {1, kDevicesMax, std::nullopt}));
  out.set_kind(gang.Word("device", {"cpu", "gpu"}, std::nullopt) == "cpu" ? v1::DEVICE_KIND_CPU
                                                                          : v1::DEVICE_KIND_GPU);
  ReadPerNode(gang, out);
  ReadIsland(gang, out);
  out.set_exclusive(gang.Bool("exclusive", false));
  for (std::string& model : gang.Texts("models", kModelsMax)) out.add_models(std::move(model));
  for (const auto& [key, value] : gang.Labels("labels", kWordBytesMax))
    (*out.mutable_labels())[key] = value;
  for (std::string& node : gang.Texts("nodes", kNodesMax)) out.add_nodes(std::move(node));
  out.set_quarantined(gang.Bool("quarantined", false));
  CheckTogether(gang, out);
  return out;
}

}  // namespace rackmark

#include "jobs/expand.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/random.h"
#include "common/text.h"
#include "jobs/bounds.h"
#include "jobs/run_spec.h"
#include "jobs/yaml_reader.h"

namespace rackmark {
namespace {

// The stream of the spec's seed that orders a repetition's points.
constexpr uint64_t kOrderStream = 0x6f72646572;

std::vector<std::string> SplitPath(std::string_view path) {
  constexpr std::string_view kSweep = "sweep.";
  if (path.substr(0, kSweep.size()) == kSweep) {
    return {"sweep", std::string(path.substr(kSweep.size()))};
  }
  std::vector<std::string> parts;
  size_t start = 0;
  for (size_t dot = path.find('.'); dot != std::string_view::npos; dot = path.find('.', start)) {
    parts.emplace_back(path.substr(start, dot - start));
    start = dot + 1;
  }
  parts.emplace_back(path.substr(start));
  return parts;
}

// A deeper tree than a file can hold would be too deep for whoever walks it. Linear, and the
// message does not repeat all of such a path.
absl::Status CheckDepth(std::string_view path) {
  const auto dots = static_cast<size_t>(std::count(path.begin(), path.end(), '.'));
  if (dots < kYamlDepthMax) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("\"", EscapeControl(path.substr(0, 64)),
                                                 "...\" has ", dots + 1, " parts, ", kYamlDepthMax,
                                                 " at most; name a field that exists"));
}

// Which paths may differ from run to run; the rest belongs to the whole job.
bool Sweepable(std::string_view path) {
  return path == "seed" || path.substr(0, 9) == "workload." || path.substr(0, 5) == "load.";
}

void SetOrigin(YamlNode& node, const std::string& origin) {
  node.origin = origin;
  for (YamlNode& item : node.items) SetOrigin(item, origin);
}

// One swept field: its list of values, in the text's order.
void CheckAxis(const YamlNode& axis, const SpecAt& spec, Problems& problems) {
  if (const absl::Status deep = CheckDepth(axis.key); !deep.ok()) {
    return problems.AtKey(axis, absl::StrCat(spec.path, ".sweep"), FromAbsl(deep.message()));
  }
  const std::string path = absl::StrCat(spec.path, ".sweep.", axis.key);
  if (!Sweepable(axis.key)) {
    return problems.AtKey(axis, path,
                          "cannot be swept; name a field under workload. or load., or seed, as in "
                          "load.rate");
  }
  if (axis.kind != YamlNode::Kind::kList || axis.items.empty()) {
    return problems.At(axis, path, "needs a list of values; write [value, value]");
  }
  std::set<std::string> seen;
  for (const YamlNode& value : axis.items) {
    if (seen.insert(FlowText(value)).second) continue;
    problems.At(value, path,
                absl::StrCat("value \"", EscapeControl(FlowText(value).substr(0, 64)),
                             "\" is here twice; use repeats to run a point again"));
  }
  const YamlNode* at = &spec.node;
  for (const std::string& part : SplitPath(axis.key)) {
    at = at == nullptr ? nullptr : FindKey(*at, part);
  }
  if (at != nullptr) {
    problems.AtKey(
        *at, absl::StrCat(spec.path, ".", axis.key),
        absl::StrCat("is also swept (line ", axis.key_line, "); keep the value or the sweep"));
  }
}

std::vector<const YamlNode*> ReadAxes(const Fields& fields, const SpecAt& spec, uint64_t repeats) {
  std::vector<const YamlNode*> axes;
  const YamlNode* sweep = fields.Find("sweep");
  if (sweep == nullptr) return axes;
  if (sweep->kind != YamlNode::Kind::kMap || sweep->items.empty()) {
    fields.Problem("sweep", "needs fields with lists; write \"load.rate\": [4/s, 8/s]");
    return axes;
  }
  uint64_t product = repeats;
  for (const YamlNode& axis : sweep->items) {
    CheckAxis(axis, spec, fields.problems());
    axes.push_back(&axis);
    // Neither factor exceeds 100,000 here, so that the product cannot wrap before it is refused.
    product *= std::max<uint64_t>(1, axis.items.size());
    if (product <= bounds::kRunsMax) continue;
    fields.Problem("sweep", absl::StrCat("sweep and repeats make more than ", bounds::kRunsMax,
                                         " runs; use fewer values"));
    break;
  }
  return axes;
}

std::string PointText(const v1::RunSpec& run) {
  std::string text;
  for (const auto& [path, value] : run.point()) {
    absl::StrAppend(&text, text.empty() ? "" : ", ", path, "=", EscapeControl(value));
  }
  return text;
}

// Problems of the point that are not those of every point say which one it is.
void AddPointProblems(const Problems& of_point, const v1::RunSpec& run, Problems& problems) {
  const std::vector<absl::Status> known = problems.all();
  for (const absl::Status& problem : of_point.all()) {
    if (std::find(known.begin(), known.end(), problem) != known.end()) continue;
    problems.Add(run.point().empty()
                     ? problem
                     : absl::InvalidArgumentError(
                           absl::StrCat(problem.message(), " (sweep point ", PointText(run), ")")));
  }
}

// What all points are read with.
struct Readers {
  const v1::Gang& gang;
  const TraceFinder& traces;
};

// The spec with the values of point `index` (mixed radix, the last axis fastest) put in.
v1::RunSpec ReadPoint(const SpecAt& spec, const Readers& readers,
                      const std::vector<const YamlNode*>& axes, uint64_t index,
                      Problems& problems) {
  YamlNode tree = spec.node;
  v1::RunSpec point;
  for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) {
    const YamlNode& value = (*axis)->items[index % (*axis)->items.size()];
    index /= (*axis)->items.size();
    if (const absl::Status put = PutAt(tree, (*axis)->key, value); !put.ok()) {
      problems.Add(put);
      return point;
    }
    (*point.mutable_point())[(*axis)->key] = FlowText(value);
  }
  Problems of_point(problems.file(), problems.asked());
  v1::RunSpec run = ReadRunSpec(Fields(&of_point, &tree, &tree, spec.path, SpecKeys()),
                                readers.gang, readers.traces);
  *run.mutable_point() = point.point();
  AddPointProblems(of_point, run, problems);
  return run;
}

// Only what the file wrote: beside a --set of one's own, a trace is a contradiction.
void MakeRoomForTrace(YamlNode& spec) {
  YamlNode* load = FindKey(spec, "load");
  if (load == nullptr) return;
  const auto replaced = [](const YamlNode& item) {
    const std::vector<std::string>& keys = KeysThatATraceReplaces();
    return item.origin.empty() && std::find(keys.begin(), keys.end(), item.key) != keys.end();
  };
  load->items.erase(std::remove_if(load->items.begin(), load->items.end(), replaced),
                    load->items.end());
}

}  // namespace

absl::Status PutAt(YamlNode& spec, std::string_view path, const YamlNode& value) {
  RETURN_IF_ERROR(CheckDepth(path));
  YamlNode* at = &spec;
  const std::vector<std::string> parts = SplitPath(path);
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "\"", EscapeControl(path), "\" has an empty part; write a path such as ", "load.rate"));
    }
    if (at->kind == YamlNode::Kind::kNull) at->kind = YamlNode::Kind::kMap;
    if (at->kind != YamlNode::Kind::kMap) {
      const std::string through = i == 0 ? "spec" : EscapeControl(parts[i - 1]);
      return absl::InvalidArgumentError(
          absl::StrCat("\"", EscapeControl(path), "\" goes through \"", through,
                       "\", which is not a map; name a field that exists"));
    }
    YamlNode* child = FindKey(*at, parts[i]);
    if (child == nullptr) {
      at->items.emplace_back();
      child = &at->items.back();
      child->key = parts[i];
      child->line = child->key_line = value.line;
      child->column = child->key_column = value.column;
      child->origin = value.origin;
    }
    at = child;
  }
  YamlNode placed = value;
  placed.key = at->key;
  placed.key_line = at->key_line;
  placed.key_column = at->key_column;
  *at = std::move(placed);
  return absl::OkStatus();
}

absl::Status ApplyOverrides(YamlNode& spec, const std::vector<Override>& sets) {
  for (const Override& set : sets) {
    if (const absl::Status deep = CheckDepth(set.path); !deep.ok()) {
      return Annotate(deep, "--set");  // its origin would name all of the path
    }
    const std::string origin = absl::StrCat("--set ", set.path, "=", set.value);
    ASSIGN_OR_RETURN(YamlNode value, ReadYaml(set.value, origin));
    SetOrigin(value, origin);
    const absl::Status put = PutAt(spec, set.path, value);
    if (!put.ok()) return YamlError("", value, "", FromAbsl(put.message()));
    if (set.path == "load.trace") MakeRoomForTrace(spec);
  }
  return absl::OkStatus();
}

std::vector<v1::RunSpec> ExpandRuns(const SpecAt& spec, const v1::Gang& gang, Problems& problems,
                                    const TraceFinder& traces) {
  const size_t before = problems.all().size();
  const Fields fields(&problems, &spec.node, &spec.node, spec.path, SpecKeys());
  const uint32_t repeats = fields.Small("repeats", {1, bounds::kRepeatsMax, 1});
  const std::vector<const YamlNode*> axes = ReadAxes(fields, spec, repeats);
  if (problems.all().size() > before) return {};

  YamlNode base = spec.node;
  base.items.erase(std::remove_if(base.items.begin(), base.items.end(),
                                  [](const YamlNode& item) { return item.key == "sweep"; }),
                   base.items.end());
  uint64_t points = 1;
  for (const YamlNode* axis : axes) points *= axis->items.size();
  std::vector<v1::RunSpec> templates;
  for (uint64_t i = 0; i < points; ++i) {
    templates.push_back(ReadPoint({base, spec.path}, {gang, traces}, axes, i, problems));
    if (problems.all().size() > before) return {};
  }
  std::vector<v1::RunSpec> runs;
  runs.reserve(points * repeats);
  for (uint32_t repetition = 0; repetition < repeats; ++repetition) {
    std::vector<uint64_t> order(points);
    for (uint64_t i = 0; i < points; ++i) order[i] = i;
    Random random(templates.front().seed(), kOrderStream + repetition);
    for (uint64_t i = points; i > 1; --i) {
      std::swap(order[i - 1], order[random.Between(0, i - 1)]);
    }
    for (const uint64_t i : order) {
      runs.push_back(templates[i]);
      runs.back().set_repetition(repetition);
    }
  }
  return runs;
}

}  // namespace rackmark

#include "jobs/schema_tree.h"

#include <algorithm>
#include <set>
#include <utility>

#include "jobs/bounds.h"
#include "jobs/schema_words.h"

namespace rackmark {
namespace {

using Json = SchemaJson;
using Kind = FieldAsked::Kind;

std::string ParentOf(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

absl::StatusOr<TraceFacts> AnyTrace(std::string_view, const v1::Load& asked) {
  TraceFacts facts{asked, 2, 1};
  facts.load.mutable_trace()->set_requests(1);
  return facts;
}

// A document that a probe names.
absl::StatusOr<NamedText> AnyFile(std::string_view path, std::string_view) {
  constexpr std::string_view kJob =
      "{apiVersion: rackmark/v1, kind: Job, metadata: {name: a}, spec: {gang: {devices: 1, device: "
      "cpu}, workload: {null: {}}}}";
  constexpr std::string_view kSuite =
      "{apiVersion: rackmark/v1, kind: Suite, metadata: {name: a}, spec: {jobs: [{name: a, job: "
      "job.yaml}]}}";
  return NamedText{std::string(path), std::string(path == "suite.yaml" ? kSuite : kJob)};
}

Json Pattern(const char* pattern, Json examples) {
  return {{"type", "string"}, {"pattern", pattern}, {"examples", std::move(examples)}};
}

// YAML reads the text 12 as a number.
Json TextSchema() { return {{"type", {"string", "number", "boolean"}}}; }

Json LabelsSchema(const FieldAsked& field) {
  Json text = TextSchema();
  text["maxLength"] = field.max;
  return {{"type", "object"},
          {"maxProperties", bounds::kLabelsMax},
          {"propertyNames", {{"minLength", 1}, {"maxLength", field.max}}},
          {"additionalProperties", std::move(text)}};
}

Json TextsSchema(const FieldAsked& field) {
  Json text = TextSchema();
  text["minLength"] = 1;
  text["maxLength"] = bounds::kWordBytesMax;
  return {{"type", "array"},
          {"items", std::move(text)},
          {"minItems", 1},
          {"maxItems", field.max},
          {"uniqueItems", true}};
}

Json ScalarSchema(const FieldAsked& field) {
  switch (field.kind) {
    case Kind::kWord: return {{"enum", field.words}};
    case Kind::kBool: return {{"type", "boolean"}};
    case Kind::kInteger:
      return {{"type", "integer"}, {"minimum", field.min}, {"maximum", field.max}};
    case Kind::kSigned:
      return {{"type", "integer"},
              {"minimum", static_cast<int64_t>(field.min)},
              {"maximum", static_cast<int64_t>(field.max)}};
    case Kind::kNumber: return {{"type", "number"}, {"exclusiveMinimum", 0}};
    case Kind::kDuration: return Pattern(kDurationPattern, {"20s", "500ms", "2min"});
    case Kind::kBytes: return Pattern(kBytesPattern, {"64MiB", "1.5GiB"});
    case Kind::kRate: return Pattern(kRatePattern, {"12/s", "30/min"});
    case Kind::kShare: return Pattern(kSharePattern, {"60%"});
    case Kind::kTexts: return TextsSchema(field);
    case Kind::kLabels: return LabelsSchema(field);
    default: return TextSchema();
  }
}

}  // namespace

SchemaTree::SchemaTree(const std::vector<std::string_view>& probes, std::vector<std::string> hidden)
    : hidden_(std::move(hidden)) {
  // Twice: what a later probe asks for first was missing in the earlier ones.
  for (int round = 0; round < 2; ++round) {
    for (const std::string_view probe : probes) Add(probe);
  }
}

bool SchemaTree::IsHidden(const std::string& path) const {
  return std::any_of(hidden_.begin(), hidden_.end(), [&path](const std::string& hidden) {
    return path == hidden || path.rfind(hidden + ".", 0) == 0;
  });
}

void SchemaTree::Add(std::string_view probe) {
  std::map<std::string, bool> asked;  // path -> required
  for (const FieldAsked& field : FieldsAsked(probe, {AnyTrace, AnyFile, {}})) {
    if (IsHidden(field.path)) continue;
    bool& required = asked[field.path];
    required = required || field.required;
    std::vector<FieldAsked>& shapes = nodes_[field.path].shapes;
    const auto same = [&](const FieldAsked& other) { return other.kind == field.kind; };
    if (std::none_of(shapes.begin(), shapes.end(), same)) shapes.push_back(field);
  }
  // A map that is there only for what it must hold is itself required.
  for (auto at = asked.rbegin(); at != asked.rend(); ++at) {
    if (at->second && !at->first.empty()) asked[ParentOf(at->first)] = true;
  }
  std::set<std::string> parents;
  for (const auto& [path, required] : asked) parents.insert(ParentOf(path));
  for (auto& [path, node] : nodes_) {
    if (path.empty() || parents.count(ParentOf(path)) == 0) continue;
    const auto found = asked.find(path);
    node.required = node.required && found != asked.end() && found->second;
  }
}

std::vector<std::string> SchemaTree::Required() const {
  std::vector<std::string> paths;
  for (const auto& [path, node] : nodes_) {
    if (node.required) paths.push_back(path);
  }
  return paths;
}

Json SchemaTree::MapSchema(const FieldAsked& map) const {
  Json schema = {{"type", "object"}, {"additionalProperties", false}};
  Json required = Json::array();
  Json& properties = schema["properties"] = Json::object();
  for (const std::string& key : map.words) {
    const std::string path = map.path.empty() ? key : map.path + "." + key;
    if (nodes_.count(path) == 0) continue;  // one of those that are added by hand
    properties[key] = Schema(path);
    if (nodes_.at(path).required && !MayBeSwept(path)) required.push_back(key);
  }
  if (!required.empty()) schema["required"] = std::move(required);
  return schema;
}

Json SchemaTree::ShapeSchema(const FieldAsked& shape) const {
  if (shape.kind == Kind::kMap) return MapSchema(shape);
  if (shape.kind != Kind::kMaps) return ScalarSchema(shape);
  return {{"type", "array"},
          {"items", Schema(shape.path + "[]")},
          {"minItems", 1},
          {"maxItems", shape.max}};
}

Json SchemaTree::Schema(const std::string& path) const {
  const Node& node = nodes_.at(path);
  Json shapes = Json::array();
  for (const FieldAsked& shape : node.shapes) shapes.push_back(ShapeSchema(shape));
  Json schema = shapes.size() == 1 ? shapes[0] : Json{{"anyOf", shapes}};
  const std::string_view words = DescriptionOf(path);
  if (!words.empty()) schema["description"] = std::string(words);
  return schema;
}

bool MayBeSwept(const std::string& path) {
  return path.rfind("spec.workload.", 0) == 0 || path.rfind("spec.load.", 0) == 0;
}

Json SchemaHead(std::string_view kind) {
  const std::string word(kind);
  return {{"$schema", "http://json-schema.org/draft-07/schema#"},
          {"$id", "https://rackmark.invalid/schema/" + word + ".schema.json"},
          {"title", "Rackmark " + word}};
}

void RefineName(Json& name, size_t most) {
  name["pattern"] = "^[a-z0-9-]{1," + std::to_string(most) + "}$";
}

}  // namespace rackmark

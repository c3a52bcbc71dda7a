#include "jobs/schema.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "jobs/bounds.h"
#include "jobs/schema_words.h"
#include "jobs/spec.h"
#include "model/presets.h"
#include "nlohmann/json.hpp"

namespace rackmark {
namespace {

using Json = nlohmann::ordered_json;
using Kind = FieldAsked::Kind;

std::string ParentOf(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

// What all probes said of one path.
struct Node {
  std::vector<FieldAsked> shapes;  // one of each kind, in the order of the probes
  bool required = true;            // in each probe that asked for its siblings
};
using Tree = std::map<std::string, Node>;

absl::StatusOr<TraceFacts> AnyTrace(std::string_view, const v1::Load& asked) {
  TraceFacts facts{asked, 2, 1};
  facts.load.mutable_trace()->set_requests(1);
  return facts;
}

void AddProbe(std::string_view probe, Tree& tree) {
  std::map<std::string, bool> asked;  // path -> required
  for (const FieldAsked& field : FieldsAsked(probe, AnyTrace)) {
    bool& required = asked[field.path];
    required = required || field.required;
    std::vector<FieldAsked>& shapes = tree[field.path].shapes;
    const auto same = [&](const FieldAsked& other) { return other.kind == field.kind; };
    if (std::none_of(shapes.begin(), shapes.end(), same)) shapes.push_back(field);
  }
  // A map that is there only for what it must hold is itself required.
  for (auto at = asked.rbegin(); at != asked.rend(); ++at) {
    if (at->second && !at->first.empty()) asked[ParentOf(at->first)] = true;
  }
  std::set<std::string> parents;
  for (const auto& [path, required] : asked) parents.insert(ParentOf(path));
  for (auto& [path, node] : tree) {
    if (path.empty() || parents.count(ParentOf(path)) == 0) continue;
    const auto found = asked.find(path);
    node.required = node.required && found != asked.end() && found->second;
  }
}

Tree AskedTree() {
  Tree tree;
  // Twice: what a later probe asks for first was missing in the earlier ones.
  for (int round = 0; round < 2; ++round) {
    for (const std::string_view probe : SchemaProbes()) AddProbe(probe, tree);
  }
  return tree;
}

Json Pattern(const char* pattern, Json examples) {
  return {{"type", "string"}, {"pattern", pattern}, {"examples", std::move(examples)}};
}

Json ScalarSchema(const FieldAsked& field) {
  switch (field.kind) {
    case Kind::kWord: return {{"enum", field.words}};
    case Kind::kBool: return {{"type", "boolean"}};
    case Kind::kInteger:
      return {{"type", "integer"}, {"minimum", field.min}, {"maximum", field.max}};
    case Kind::kNumber: return {{"type", "number"}, {"exclusiveMinimum", 0}};
    case Kind::kDuration: return Pattern(kDurationPattern, {"20s", "500ms", "2min"});
    case Kind::kBytes: return Pattern(kBytesPattern, {"64MiB", "1.5GiB"});
    case Kind::kRate: return Pattern(kRatePattern, {"12/s", "30/min"});
    case Kind::kShare: return Pattern(kSharePattern, {"60%"});
    default: return {{"type", {"string", "number", "boolean"}}};  // YAML reads text 12 as a number
  }
}

Json SchemaOf(const std::string& path, const Tree& tree);

// What a sweep may put in need not be there itself.
bool MayBeSwept(const std::string& path) {
  return path.rfind("spec.workload.", 0) == 0 || path.rfind("spec.load.", 0) == 0;
}

Json MapSchema(const FieldAsked& map, const Tree& tree) {
  Json schema = {{"type", "object"}, {"additionalProperties", false}};
  Json required = Json::array();
  Json& properties = schema["properties"] = Json::object();
  for (const std::string& key : map.words) {
    const std::string path = map.path.empty() ? key : map.path + "." + key;
    if (tree.count(path) == 0) continue;  // one of those that are added by hand
    properties[key] = SchemaOf(path, tree);
    if (tree.at(path).required && !MayBeSwept(path)) required.push_back(key);
  }
  if (!required.empty()) schema["required"] = std::move(required);
  return schema;
}

Json SchemaOf(const std::string& path, const Tree& tree) {
  const Node& node = tree.at(path);
  Json shapes = Json::array();
  for (const FieldAsked& shape : node.shapes) {
    shapes.push_back(shape.kind == Kind::kMap ? MapSchema(shape, tree) : ScalarSchema(shape));
  }
  Json schema = shapes.size() == 1 ? shapes[0] : Json{{"anyOf", shapes}};
  const std::string_view words = DescriptionOf(path);
  if (!words.empty()) schema["description"] = std::string(words);
  return schema;
}

Json LabelsSchema() {
  return {{"type", "object"},
          {"description", std::string(DescriptionOf("metadata.labels"))},
          {"maxProperties", bounds::kLabelsMax},
          {"propertyNames", {{"maxLength", bounds::kLabelBytesMax}}},
          {"additionalProperties",
           {{"type", {"string", "number", "boolean"}}, {"maxLength", bounds::kLabelBytesMax}}}};
}

Json SweepSchema() {
  return {{"type", "object"},
          {"description", std::string(DescriptionOf("spec.sweep"))},
          {"minProperties", 1},
          {"propertyNames", {{"pattern", "^(seed$|workload\\.|load\\.)"}}},
          {"additionalProperties", {{"type", "array"}, {"minItems", 1}, {"uniqueItems", true}}}};
}

// What a spec without a sweep must have in its workload and load.
Json WithoutSweep(const Tree& tree) {
  Json spec = Json::object();
  for (const auto& [path, node] : tree) {
    if (!node.required || !MayBeSwept(path)) continue;
    Json* at = &spec;
    size_t start = std::string_view("spec.").size();
    for (size_t dot = path.find('.', start); dot != path.npos; dot = path.find('.', start)) {
      at = &(*at)["properties"][path.substr(start, dot - start)];
      start = dot + 1;
    }
    (*at)["required"].push_back(path.substr(start));
  }
  // What speaks of a trace may leave its path to --set load.trace.
  Json& sources = spec["properties"]["load"]["anyOf"] = Json::array();
  sources.push_back({{"required", {"prompt_tokens", "output_tokens"}}});
  for (const char* key : {"trace", "time_scale", "length_scale", "length_max", "request_limit"}) {
    sources.push_back({{"required", {key}}});
  }
  spec["if"] = {{"properties", {{"workload", {{"required", {"serve"}}}}}}};
  spec["then"] = {{"required", {"load"}}};
  return spec;
}

// The rules between fields, and the fields that the reader looks at without asking by type.
void AddByHand(const Tree& tree, Json& root) {
  Json& metadata = root["properties"]["metadata"]["properties"];
  metadata["name"]["pattern"] = "^[a-z0-9-]{1,63}$";
  metadata["labels"] = LabelsSchema();
  Json& spec = root["properties"]["spec"];
  spec["properties"]["sweep"] = SweepSchema();
  Json& workload = spec["properties"]["workload"];
  workload["minProperties"] = 1;
  workload["maxProperties"] = 1;
  workload["properties"]["serve"]["properties"]["model"]["enum"] = ModelNames();
  spec["required"].push_back("workload");
  Json whole = {{"if", {{"not", {{"required", {"sweep"}}}}}}, {"then", WithoutSweep(tree)}};
  Json idle = {{"if", {{"properties", {{"workload", {{"required", {"null"}}}}}}}},
               {"then", {{"not", {{"required", {"load"}}}}}}};
  spec["allOf"] = Json::array({std::move(whole), std::move(idle)});
  Json& load = spec["properties"]["load"];
  Json& rate = load["properties"]["rate"];
  Json fixed = std::exchange(rate, Json::object());
  fixed.erase("description");
  rate["description"] = std::string(DescriptionOf("spec.load.rate"));
  rate["anyOf"] = {{{"const", "auto"}}, std::move(fixed)};
  // A fixed rate needs no calibration.
  load["allOf"] = Json::array(
      {{{"if",
         {{"required", {"rate"}}, {"properties", {{"rate", {{"not", {{"const", "auto"}}}}}}}}},
        {"then",
         {{"not",
           {{"anyOf", {{{"required", {"auto_share"}}}, {{"required", {"calibration"}}}}}}}}}}});
  // With a trace its own content stands for these.
  load["if"] = {{"required", {"trace"}}};
  Json& forbidden = load["then"]["not"]["anyOf"] = Json::array();
  for (const std::string& key : KeysThatATraceReplaces()) {
    forbidden.push_back({{"required", {key}}});
  }
}

}  // namespace

std::string JobSchema() {
  Json schema = {{"$schema", "http://json-schema.org/draft-07/schema#"},
                 {"$id", "https://rackmark.invalid/schema/job.schema.json"},
                 {"title", "Rackmark job"}};
  const Tree tree = AskedTree();
  schema.update(SchemaOf("", tree));
  AddByHand(tree, schema);
  return schema.dump(1) + "\n";
}

}  // namespace rackmark

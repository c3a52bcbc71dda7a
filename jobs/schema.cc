#include "jobs/schema.h"

#include <utility>

#include "jobs/bounds.h"
#include "jobs/schema_tree.h"
#include "jobs/schema_words.h"
#include "model/presets.h"

namespace rackmark {
namespace {

using Json = SchemaJson;

Json SweepSchema() {
  return {{"type", "object"},
          {"description", std::string(DescriptionOf("spec.sweep"))},
          {"minProperties", 1},
          {"propertyNames", {{"pattern", "^(seed$|workload\\.|load\\.)"}}},
          {"additionalProperties", {{"type", "array"}, {"minItems", 1}, {"uniqueItems", true}}}};
}

// What a spec without a sweep must have in its workload and load.
Json WithoutSweep(const SchemaTree& tree) {
  Json spec = Json::object();
  for (const std::string& path : tree.Required()) {
    if (!MayBeSwept(path)) continue;
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
void AddByHand(const SchemaTree& tree, Json& root) {
  RefineName(root["properties"]["metadata"]["properties"]["name"], bounds::kNameMax);
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

// A gang within one island has no wish beside the law.
void AddOfGang(Json& gang) { gang["not"] = {{"required", {"within", "prefer"}}}; }

Json JobJson() {
  Json schema = SchemaHead("job");
  const SchemaTree tree(SchemaProbes(), {});
  schema.update(tree.Schema(""));
  schema["properties"]["kind"]["enum"] = {"Job"};
  AddByHand(tree, schema);
  AddOfGang(schema["properties"]["spec"]["properties"]["gang"]);
  schema["properties"]["spec"]["properties"]["budget"]["minProperties"] = 1;
  return schema;
}

}  // namespace

std::string JobSchema() { return JobJson().dump(1) + "\n"; }

std::string JobSpecSchema() { return JobJson()["properties"]["spec"].dump(); }

}  // namespace rackmark

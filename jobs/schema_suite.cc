// The schemas of suites and schedules. What they hold of a job is JobSchema's, by reference.
#include <utility>

#include "jobs/bounds.h"
#include "jobs/schema.h"
#include "jobs/schema_tree.h"

namespace rackmark {
namespace {

using Json = SchemaJson;

Json Named(Json schema, const char* description) {
  Json out = {{"anyOf", Json::array()}, {"description", description}};
  out["anyOf"].push_back({{"type", "string"}});
  out["anyOf"].push_back(std::move(schema));
  return out;
}

Json JobReference() { return {{"$ref", "#/definitions/job"}}; }

// `spec` of a suite, whose parts hold jobs.
void AddToSuiteSpec(Json& spec) {
  Json& part = spec["properties"]["jobs"]["items"];
  RefineName(part["properties"]["name"], bounds::kNameMax);
  part["properties"]["job"] =
      Named(JobReference(), "What it runs: a job's spec, or a file of kind Job beside this one.");
  part["required"].push_back("job");
  part["allOf"] = Json::array(
      {{{"if", {{"required", {"when"}}}}, {"then", {{"required", {"after"}}}}},
       {{"if", {{"required", {"after"}}}},
        {"then",
         {{"not", {{"required", {"gate"}}, {"properties", {{"gate", {{"const", true}}}}}}}}}}});
  spec["properties"]["expect"]["not"] = {{"required", {"nodes", "node_count"}}};
}

Json SuiteJson() {
  Json schema = SchemaHead("suite");
  const SchemaTree tree(SuiteProbes(), {"spec.jobs[].job"});
  schema.update(tree.Schema(""));
  schema["properties"]["kind"]["enum"] = {"Suite"};
  schema["properties"]["spec"]["description"] =
      "What must be there, and the jobs that belong together.";
  RefineName(schema["properties"]["metadata"]["properties"]["name"], bounds::kNameMax);
  AddToSuiteSpec(schema["properties"]["spec"]);
  return schema;
}

// The map among the shapes of a template.
Json& MapOf(Json& shapes) {
  for (Json& shape : shapes["anyOf"]) {
    if (shape.contains("properties")) return shape;
  }
  return shapes;
}

void AddTemplates(Json& spec) {
  Json& job = MapOf(spec["properties"]["jobTemplate"]);
  job["properties"]["spec"] = JobReference();
  job["required"] = {"spec"};
  Json& suite = MapOf(spec["properties"]["suiteTemplate"]);
  suite["properties"]["spec"] = {{"$ref", "#/definitions/suite"}};
  suite["required"] = {"spec"};
  spec["anyOf"] = Json::array({{{"required", {"jobTemplate"}}}, {{"required", {"suiteTemplate"}}}});
  spec["not"] = {{"required", {"jobTemplate", "suiteTemplate"}}};
}

}  // namespace

std::string SuiteSchema() {
  Json schema = SuiteJson();
  schema["definitions"] = {{"job", Json::parse(JobSpecSchema())}};
  return schema.dump(1) + "\n";
}

std::string ScheduleSchema() {
  Json schema = SchemaHead("schedule");
  const SchemaTree tree(ScheduleProbes(), {"spec.jobTemplate.spec", "spec.suiteTemplate.spec"});
  schema.update(tree.Schema(""));
  schema["properties"]["kind"]["enum"] = {"Schedule"};
  schema["properties"]["spec"]["description"] = "When to submit what.";
  RefineName(schema["properties"]["metadata"]["properties"]["name"], bounds::kScheduleNameMax);
  AddTemplates(schema["properties"]["spec"]);
  schema["definitions"] = {{"job", Json::parse(JobSpecSchema())},
                           {"suite", SuiteJson()["properties"]["spec"]}};
  return schema.dump(1) + "\n";
}

}  // namespace rackmark

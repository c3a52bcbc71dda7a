// The published schema is what the reader asks for, accepts what it accepts, and refuses what a
// schema can refuse. The validator here knows just the keywords that the schema uses, and fails on
// any other.
#include "jobs/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "jobs/document.h"
#include "jobs/schema_words.h"
#include "jobs/spec.h"
#include "jobs/spec_cases.h"
#include "jobs/units.h"
#include "jobs/yaml_reader.h"
#include "nlohmann/json.hpp"

namespace rackmark {
namespace {

using Json = nlohmann::ordered_json;

std::string FileText(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// As a YAML 1.2 reader would type it.
Json JsonOf(const YamlNode& node) {
  Json out;
  switch (node.kind) {
    case YamlNode::Kind::kNull: return nullptr;
    case YamlNode::Kind::kList:
      out = Json::array();
      for (const YamlNode& item : node.items) out.push_back(JsonOf(item));
      return out;
    case YamlNode::Kind::kMap:
      out = Json::object();
      for (const YamlNode& item : node.items) out[item.key] = JsonOf(item);
      return out;
    case YamlNode::Kind::kScalar: break;
  }
  static const std::regex whole("[-+]?[0-9]+");
  static const std::regex real("[-+]?[0-9]*\\.?[0-9]+([eE][-+]?[0-9]+)?");
  if (node.quoted) return node.text;
  if (node.text == "true" || node.text == "false") return node.text == "true";
  if (node.text.rfind("0x", 0) == 0) return std::strtoll(node.text.c_str() + 2, nullptr, 16);
  if (std::regex_match(node.text, whole)) return std::strtoll(node.text.c_str(), nullptr, 10);
  if (std::regex_match(node.text, real)) return std::strtod(node.text.c_str(), nullptr);
  if (node.text == ".inf") return HUGE_VAL;
  return node.text;
}

bool HasType(const Json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "number") return value.is_number();
  EXPECT_EQ(type, "integer");
  return value.is_number_integer() ||
         (value.is_number() && std::floor(value.get<double>()) == value.get<double>() &&
          std::isfinite(value.get<double>()));
}

class Validator {
 public:
  explicit Validator(const Json& root) : root_(root) {}

  // "" = valid, else where it is not.
  std::string Check(const Json& value, const Json& schema, const std::string& path) {
    if (schema.is_boolean()) return schema.get<bool>() ? "" : path + ": nothing may be here";
    for (const auto& [keyword, rule] : schema.items()) {
      const std::string error = Keyword(keyword, rule, value, schema, path);
      if (!error.empty()) return error;
    }
    return "";
  }

 private:
  bool Ok(const Json& value, const Json& schema) { return Check(value, schema, "").empty(); }

  std::string Keyword(const std::string& word, const Json& rule, const Json& value,
                      const Json& schema, const std::string& path) {
    const auto refuse = [&](bool refused) { return refused ? path + ": " + word : std::string(); };
    static const std::set<std::string> words = {"$schema", "$id",      "title",      "description",
                                                "then",    "examples", "definitions"};
    if (words.count(word) > 0) return "";
    if (word == "$ref") {
      return Check(value, root_.at(Json::json_pointer(rule.get<std::string>().substr(1))), path);
    }
    if (word == "type") {
      if (rule.is_string()) return refuse(!HasType(value, rule));
      bool any = false;
      for (const Json& type : rule) any = any || HasType(value, type);
      return refuse(!any);
    }
    if (word == "enum") return refuse(std::find(rule.begin(), rule.end(), value) == rule.end());
    if (word == "const") return refuse(rule != value);
    if (word == "not") return refuse(Ok(value, rule));
    if (word == "if") {
      return Ok(value, rule) && schema.contains("then") ? Check(value, schema["then"], path) : "";
    }
    if (word == "anyOf") {
      bool any = false;
      for (const Json& each : rule) any = any || Ok(value, each);
      return refuse(!any);
    }
    if (word == "allOf") {
      for (const Json& each : rule) {
        if (std::string error = Check(value, each, path); !error.empty()) return error;
      }
      return "";
    }
    if (word == "pattern") {
      return refuse(value.is_string() &&
                    !std::regex_search(value.get<std::string>(), std::regex(std::string(rule))));
    }
    if (word == "maxLength") {
      return refuse(value.is_string() && value.get<std::string>().size() > rule.get<size_t>());
    }
    if (word == "minimum")
      return refuse(value.is_number() && value.get<double>() < rule.get<double>());
    if (word == "maximum")
      return refuse(value.is_number() && value.get<double>() > rule.get<double>());
    if (word == "exclusiveMinimum")
      return refuse(value.is_number() && value.get<double>() <= rule.get<double>());
    if (word == "minLength") {
      return refuse(value.is_string() && value.get<std::string>().size() < rule.get<size_t>());
    }
    if (word == "maxItems") return refuse(value.is_array() && value.size() > rule.get<size_t>());
    if (word == "items" && value.is_array()) {
      for (size_t i = 0; i < value.size(); ++i) {
        std::string error = Check(value[i], rule, path + "[" + std::to_string(i) + "]");
        if (!error.empty()) return error;
      }
    }
    if (word == "items") return "";
    if (word == "minItems") return refuse(value.is_array() && value.size() < rule.get<size_t>());
    if (word == "uniqueItems") {
      return refuse(value.is_array() &&
                    std::set<Json>(value.begin(), value.end()).size() != value.size());
    }
    return OfObject(word, rule, value, schema, path);
  }

  std::string OfObject(const std::string& word, const Json& rule, const Json& value,
                       const Json& schema, const std::string& path) {
    static const std::set<std::string> known = {"required",      "minProperties",
                                                "maxProperties", "properties",
                                                "propertyNames", "additionalProperties"};
    EXPECT_EQ(known.count(word), 1u) << "the validator of this test does not know " << word;
    if (!value.is_object()) return "";
    if (word == "required") {
      for (const Json& key : rule) {
        if (!value.contains(key.get<std::string>())) return path + ": no " + key.dump();
      }
    }
    if (word == "minProperties" && value.size() < rule.get<size_t>()) return path + ": too few";
    if (word == "maxProperties" && value.size() > rule.get<size_t>()) return path + ": too many";
    for (const auto& [key, item] : value.items()) {
      const bool listed = schema.contains("properties") && schema["properties"].contains(key);
      std::string error;
      if (word == "properties" && listed) error = Check(item, rule[key], path + "." + key);
      if (word == "propertyNames") error = Check(Json(key), rule, path + "." + key);
      if (word == "additionalProperties" && !listed) error = Check(item, rule, path + "." + key);
      if (!error.empty()) return error;
    }
    return "";
  }

  const Json& root_;
};

struct Published {
  const char* kind;
  std::string text;
  const std::vector<std::string_view>& probes;
};

const std::vector<Published>& AllPublished() {
  static const std::vector<Published> all = {{"Job", JobSchema(), SchemaProbes()},
                                             {"Suite", SuiteSchema(), SuiteProbes()},
                                             {"Schedule", ScheduleSchema(), ScheduleProbes()}};
  return all;
}

std::string FileOf(const Published& schema) {
  std::string name = schema.kind;
  name[0] = static_cast<char>(name[0] + 32);
  return name + ".schema.json";
}

const Published& SchemaFor(const YamlNode& document) {
  const YamlNode* kind = FindKey(document, "kind");
  for (const Published& schema : AllPublished()) {
    if (kind != nullptr && kind->text == schema.kind) return schema;
  }
  return AllPublished().front();
}

std::string Verdict(const YamlNode& document) {
  const Json schema = Json::parse(SchemaFor(document).text);
  return Validator(schema).Check(JsonOf(document), schema, "");
}

std::string VerdictOf(std::string_view yaml) {
  const auto document = ReadYaml(yaml, "job.yaml");
  EXPECT_TRUE(document.ok()) << document.status();
  return document.ok() ? Verdict(*document) : "not YAML";
}

TEST(Schema, ThePublishedFilesAreWhatTheReaderAsksFor) {
  for (const Published& schema : AllPublished()) {
    const std::string path = std::string(RACKMARK_SCHEMAS) + "/" + FileOf(schema);
    if (std::getenv("RACKMARK_REWRITE") != nullptr) std::ofstream(path) << schema.text;
    EXPECT_EQ(FileText(path), schema.text) << "RACKMARK_REWRITE=1 jobs_test writes it anew";
  }
}

TEST(Schema, EveryLibraryDocumentIsValidAndNamesItsSchema) {
  std::set<std::string> kinds;
  for (const auto& entry : std::filesystem::directory_iterator(RACKMARK_JOB_LIBRARY)) {
    const std::string text = FileText(entry.path().string());
    const auto document = ReadYaml(text, entry.path().string());
    ASSERT_TRUE(document.ok()) << document.status();
    EXPECT_EQ(Verdict(*document), "") << entry.path();
    const Published& schema = SchemaFor(*document);
    EXPECT_THAT(text, testing::StartsWith("# yaml-language-server: $schema=../schema/" +
                                          FileOf(schema) + "\n"))
        << entry.path();
    kinds.insert(schema.kind);
  }
  EXPECT_EQ(kinds.size(), 3u);
}

TEST(Schema, WhatTheReaderTakesIsValid) {
  EXPECT_EQ(VerdictOf(kGood), "");
  for (const Published& schema : AllPublished()) {
    for (const std::string_view probe : schema.probes) EXPECT_EQ(VerdictOf(probe), "") << probe;
  }
  // What a sweep gives need not be there itself; text may look like a number.
  EXPECT_EQ(VerdictOf(R"({apiVersion: rackmark/v1, kind: Job, metadata: {name: 12, labels: {a: 3}},
      spec: {gang: {devices: 1, device: gpu}, workload: {serve: {deterministic: true}},
             load: {prompt_tokens: 1}, repeats: 3,
             sweep: {workload.serve.model: [nano-1m],
                     load.output_tokens: [1, {min: 1, max: 2}]}}})"),
            "");
}

TEST(Schema, WhatTheReaderRefusesIsRefusedWhereASchemaCan) {
  size_t refused = 0;
  for (const BadCase& bad : kBadCases) {
    std::string text(kGood);
    text.replace(text.find(bad.from), std::string_view(bad.from).size(), bad.to);
    const auto document = ReadYaml(text, "job.yaml");
    if (!document.ok()) continue;  // no tool gets to see values
    EXPECT_EQ(Verdict(*document).empty(), bad.text_only) << bad.to << ": " << Verdict(*document);
    refused += bad.text_only ? 0 : 1;
  }
  EXPECT_GE(refused, 40u);
}

// Below what is another schema's there is nothing of this one's to describe.
size_t Describe(const Json& node, const std::string& path) {
  if (node.contains("items")) return Describe(node["items"], path + "[]");
  size_t fields = 0;
  if (node.contains("anyOf")) {
    for (const Json& shape : node["anyOf"]) fields += Describe(shape, path);
  }
  if (!node.contains("properties")) return fields;
  for (const auto& [key, child] : node["properties"].items()) {
    const std::string below = path.empty() ? key : path + "." + key;
    EXPECT_TRUE(child.contains("$ref") || child.contains("description")) << below;
    fields += 1 + Describe(child, below);
  }
  return fields;
}

TEST(Schema, EveryKeyIsDescribed) {
  const size_t least[] = {55, 20, 25};
  for (size_t i = 0; i < AllPublished().size(); ++i) {
    EXPECT_GE(Describe(Json::parse(AllPublished()[i].text), ""), least[i]) << i;
  }
}

TEST(Schema, EveryKeyIsAskedFor) {
  // A key that no probe leads the reader to would be open in the schema, or closed to its users.
  std::set<std::string> asked;
  std::set<std::string> keys;
  const auto any = [](std::string_view, const v1::Load& load) -> absl::StatusOr<TraceFacts> {
    return TraceFacts{load, 2, 1};
  };
  const auto job = [](std::string_view path, std::string_view) -> absl::StatusOr<NamedText> {
    return NamedText{"a", std::string(path == "suite.yaml" ? SuiteProbes()[0] : SchemaProbes()[3])};
  };
  for (const Published& schema : AllPublished()) {
    for (const std::string_view probe : schema.probes) {
      for (const FieldAsked& field : FieldsAsked(probe, {any, job, {}})) {
        asked.insert(field.path);
        if (field.kind != FieldAsked::Kind::kMap) continue;
        for (const std::string& key : field.words) {
          keys.insert(field.path.empty() ? key : field.path + "." + key);
        }
      }
    }
  }
  for (const char* path : {"spec", "spec.jobTemplate.spec"}) {
    keys.erase(std::string(path) + ".sweep");  // any field's path may stand there
  }
  std::set<std::string> open;
  for (const std::string& key : keys) {
    // A job's or a suite's, whose own probes ask for all of it.
    const bool of_template = key.rfind("spec.jobTemplate.spec.", 0) == 0 ||
                             key.rfind("spec.suiteTemplate.spec.", 0) == 0;
    if (!of_template && asked.count(key) == 0) open.insert(key);
  }
  EXPECT_THAT(open, testing::IsEmpty());
}

TEST(Schema, PatternsReadUnitsAsTheReaderDoes) {
  const char* texts[] = {"20s",    "20",    "0s",   "1.5 min", "020s",       "1e3s",  "-1s",
                         "5 h",    "10us",  "10ns", "3ms",     "3m",         "64MiB", "64",
                         "1.5GiB", "7B",    "2TB",  "2KB",     "2kb",        "12/s",  "30/min",
                         "1/h",    "0.5/s", "60%",  "0.5 %",   "60 percent", "",      " 20s",
                         "20s ",   "0x2s",  "1.s",  ".5s",     "auto"};
  for (const char* text : texts) {
    const std::string value = text;
    const auto fits = [&](const char* pattern) {
      return std::regex_search(value, std::regex(pattern));
    };
    EXPECT_EQ(fits(kDurationPattern), units::ParseDuration(value).ok()) << value;
    EXPECT_EQ(fits(kBytesPattern), units::ParseBytes(value).ok()) << value;
    EXPECT_EQ(fits(kRatePattern), units::ParseRate(value).ok()) << value;
    EXPECT_EQ(fits(kSharePattern), units::ParsePercent(value).ok()) << value;
  }
}

}  // namespace
}  // namespace rackmark

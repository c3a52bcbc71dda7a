// report.schema.json is made of the messages and their comments (RACKMARK_REWRITE_GOLDEN=1 writes
// it), and what RenderJson writes obeys it.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "report/render.h"
#include "report/test_job.h"

namespace rackmark {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using Json = nlohmann::ordered_json;

constexpr char kPath[] = "report/schema/report.schema.json";

std::string Trim(const std::string& text) {
  const size_t from = text.find_first_not_of(' ');
  return from == std::string::npos ? "" : text.substr(from, text.find_last_not_of(' ') + 1 - from);
}

// What stands beside a field in its .proto, or above it.
std::string CommentOf(const FieldDescriptor& field) {
  const std::string file(field.file()->name());
  std::istringstream lines(ReadSource("proto/" + file));
  const std::string message = "message " + field.containing_type()->name() + " {";
  const std::string end = " " + field.name() + " = " + std::to_string(field.number()) + ";";
  std::string above, beside;
  bool inside = false, found = false;
  for (std::string line; std::getline(lines, line);) {
    inside |= line.rfind(message, 0) == 0;
    if (!inside) continue;
    const std::string text = Trim(line);
    const bool comment = text.rfind("//", 0) == 0;
    if (found) {
      // A comment beside a field goes on below it, farther in than the fields.
      if (!comment || line.rfind("      ", 0) != 0) break;
      beside += " " + Trim(text.substr(2));
      continue;
    }
    const size_t at = line.find(end);
    if (comment) above += (above.empty() ? "" : " ") + Trim(text.substr(2));
    if (at == std::string::npos || comment) {
      if (!comment) above.clear();
      continue;
    }
    found = true;
    const size_t slashes = line.find("//", at);
    if (slashes == std::string::npos) break;
    beside = Trim(line.substr(slashes + 2));
  }
  return found && beside.empty() ? above : beside;
}

const char* NumberType(const FieldDescriptor& field) {
  const bool real = field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE ||
                    field.cpp_type() == FieldDescriptor::CPPTYPE_FLOAT;
  return real ? "number" : "integer";
}

Json TypeOf(const FieldDescriptor& field, std::vector<const Descriptor*>& used) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING: return {{"type", "string"}};
    case FieldDescriptor::CPPTYPE_BOOL: return {{"type", "boolean"}};
    case FieldDescriptor::CPPTYPE_ENUM: {
      Json out = {{"type", "string"}, {"enum", Json::array()}};
      const std::string& zero = field.enum_type()->FindValueByNumber(0)->name();
      for (int i = 0; i < field.enum_type()->value_count(); ++i) {
        out["enum"].push_back(field.enum_type()->value(i)->name().substr(zero.size() - 7));
      }
      return out;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (std::find(used.begin(), used.end(), field.message_type()) == used.end()) {
        used.push_back(field.message_type());
      }
      return {{"$ref", "#/$defs/" + field.message_type()->name()}};
    default: return {{"type", NumberType(field)}};
  }
}

Json FieldSchema(const FieldDescriptor& field, std::vector<const Descriptor*>& used) {
  Json out = Json::object();
  if (const std::string comment = CommentOf(field); !comment.empty()) out["description"] = comment;
  if (field.is_map()) {
    out["type"] = "object";
    out["additionalProperties"] = {{"type", "string"}};
    return out;
  }
  Json type = TypeOf(field, used);
  const bool real = type.value("type", "") == "number";
  const Json nullable = {{"anyOf", Json::array({type, {{"type", "null"}}})}};
  if (field.is_repeated()) {
    out["type"] = "array";
    out["items"] = real ? nullable : type;  // NaN is null
  } else {
    out.update(field.has_presence() ? nullable : type);
  }
  return out;
}

Json MakeSchema() {
  std::vector<const Descriptor*> used = {v1::JobSummary::descriptor()};
  Json defs = Json::object();
  for (size_t at = 0; at < used.size(); ++at) {
    Json& def = defs[used[at]->name()];
    def = {{"type", "object"}, {"properties", Json::object()}, {"required", Json::array()}};
    for (int i = 0; i < used[at]->field_count(); ++i) {
      const FieldDescriptor& field = *used[at]->field(i);
      def["properties"][field.name()] = FieldSchema(field, used);
      def["required"].push_back(field.name());
    }
    def["additionalProperties"] = false;
  }
  const Json former = Json::parse(ReadSource(kPath));
  return {{"$schema", former["$schema"]},
          {"title", former["title"]},
          {"description", former["description"]},
          {"$ref", "#/$defs/JobSummary"},
          {"$defs", defs}};
}

// The part of JSON Schema that our schema uses: $ref, type, enum, properties, required,
// additionalProperties, items.
std::string Violation(const Json& schema, const Json& root, const Json& value,
                      const std::string& at) {
  if (schema.contains("$ref")) {
    const std::string ref = schema["$ref"];
    return Violation(root.at(Json::json_pointer(ref.substr(1))), root, value, at);
  }
  if (schema.contains("anyOf")) {
    std::string last;
    for (const Json& one : schema["anyOf"]) {
      last = Violation(one, root, value, at);
      if (last.empty()) return "";
    }
    return last;
  }
  const std::string type = schema.value("type", "");
  const bool fits =
      (type == "object" && value.is_object()) || (type == "null" && value.is_null()) ||
      (type == "array" && value.is_array()) || (type.empty()) ||
      (type == "string" && value.is_string()) || (type == "integer" && value.is_number_integer()) ||
      (type == "number" && value.is_number()) || (type == "boolean" && value.is_boolean());
  if (!fits) return at + " is not of type " + type;
  if (schema.contains("enum") &&
      std::find(schema["enum"].begin(), schema["enum"].end(), value) == schema["enum"].end()) {
    return at + " is none of the words";
  }
  for (const Json& key : schema.value("required", Json::array())) {
    if (!value.contains(key.get<std::string>())) return at + " lacks " + key.get<std::string>();
  }
  if (value.is_object()) {
    for (const auto& [key, inner] : value.items()) {
      const bool known = schema.contains("properties") && schema["properties"].contains(key);
      if (!known && !schema["additionalProperties"].is_object()) return at + " has unknown " + key;
      const Json& rule = known ? schema["properties"][key] : schema["additionalProperties"];
      const std::string wrong = Violation(rule, root, inner, at + "." + key);
      if (!wrong.empty()) return wrong;
    }
  }
  for (size_t i = 0; value.is_array() && i < value.size(); ++i) {
    const std::string wrong =
        Violation(schema["items"], root, value[i], at + "[" + std::to_string(i) + "]");
    if (!wrong.empty()) return wrong;
  }
  return "";
}

TEST(Schema, IsThatOfTheMessages) {
  const std::string wanted = MakeSchema().dump(1) + "\n";
  if (std::getenv("RACKMARK_REWRITE_GOLDEN") != nullptr) {
    std::ofstream(std::string(RACKMARK_SOURCE_DIR) + "/" + kPath) << wanted;
  }
  EXPECT_EQ(ReadSource(kPath), wanted) << kPath << ": RACKMARK_REWRITE_GOLDEN=1 rewrites it";
}

TEST(Schema, ReportsObeyIt) {
  const Json schema = Json::parse(ReadSource(kPath));
  Json report = Json::parse(RenderJson(FixedJob()));
  EXPECT_EQ(Violation(schema, schema, report, "report"), "");
  report["runs"][0]["surprise"] = 1;
  EXPECT_EQ(Violation(schema, schema, report, "report"), "report.runs[0] has unknown surprise");
  report["runs"][0].erase("surprise");
  report["verdict"] = "GOOD";
  EXPECT_NE(Violation(schema, schema, report, "report"), "");
  report.erase("verdict");
  EXPECT_EQ(Violation(schema, schema, report, "report"), "report lacks verdict");
}

}  // namespace
}  // namespace rackmark

// JSON by reflection over the summary's messages, so that no field can be forgotten: names are the
// fields' own (they carry the units), enums lose their prefix, what is missing is null.
#include <cmath>
#include <string>

#include "google/protobuf/message.h"
#include "nlohmann/json.hpp"
#include "report/render.h"

namespace rackmark {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using Json = nlohmann::ordered_json;

Json ToJson(const Message& message);

// "VERDICT_PASS" -> "PASS": the zero value of each enum is <PREFIX>UNKNOWN.
std::string EnumWord(const google::protobuf::EnumDescriptor& type, int number) {
  const auto* value = type.FindValueByNumber(number);
  if (value == nullptr) return "UNKNOWN";
  const std::string& zero = type.FindValueByNumber(0)->name();
  const size_t prefix = zero.size() - std::string("UNKNOWN").size();
  return value->name().substr(prefix);
}

Json Number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

// One value; `index` < 0 is a singular field.
Json Value(const Message& m, const FieldDescriptor& f, int index) {
  const auto& r = *m.GetReflection();
  const bool one = index < 0;
  switch (f.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return one ? r.GetInt32(m, &f) : r.GetRepeatedInt32(m, &f, index);
    case FieldDescriptor::CPPTYPE_INT64:
      return one ? r.GetInt64(m, &f) : r.GetRepeatedInt64(m, &f, index);
    case FieldDescriptor::CPPTYPE_UINT32:
      return one ? r.GetUInt32(m, &f) : r.GetRepeatedUInt32(m, &f, index);
    case FieldDescriptor::CPPTYPE_UINT64:
      return one ? r.GetUInt64(m, &f) : r.GetRepeatedUInt64(m, &f, index);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return Number(one ? r.GetDouble(m, &f) : r.GetRepeatedDouble(m, &f, index));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return Number(
          static_cast<double>(one ? r.GetFloat(m, &f) : r.GetRepeatedFloat(m, &f, index)));
    case FieldDescriptor::CPPTYPE_BOOL:
      return one ? r.GetBool(m, &f) : r.GetRepeatedBool(m, &f, index);
    case FieldDescriptor::CPPTYPE_ENUM:
      return EnumWord(*f.enum_type(),
                      one ? r.GetEnumValue(m, &f) : r.GetRepeatedEnumValue(m, &f, index));
    case FieldDescriptor::CPPTYPE_STRING:
      return one ? r.GetString(m, &f) : r.GetRepeatedString(m, &f, index);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return ToJson(one ? r.GetMessage(m, &f) : r.GetRepeatedMessage(m, &f, index));
  }
  return nullptr;
}

// Keys sorted, because a protobuf map has no order.
Json MapToJson(const Message& m, const FieldDescriptor& f) {
  std::map<std::string, std::string> sorted;
  for (int i = 0; i < m.GetReflection()->FieldSize(m, &f); ++i) {
    const Message& entry = m.GetReflection()->GetRepeatedMessage(m, &f, i);
    const auto* type = entry.GetDescriptor();
    sorted[entry.GetReflection()->GetString(entry, type->map_key())] =
        entry.GetReflection()->GetString(entry, type->map_value());
  }
  Json out = Json::object();
  for (const auto& [key, value] : sorted) out[key] = value;
  return out;
}

Json ToJson(const Message& message) {
  Json out = Json::object();
  const auto* type = message.GetDescriptor();
  const auto& reflection = *message.GetReflection();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor& field = *type->field(i);
    Json& to = out[field.name()];
    if (field.is_map()) {
      to = MapToJson(message, field);
    } else if (field.is_repeated()) {
      to = Json::array();
      for (int k = 0; k < reflection.FieldSize(message, &field); ++k) {
        to.push_back(Value(message, field, k));
      }
    } else if (field.has_presence() && !reflection.HasField(message, &field)) {
      to = nullptr;
    } else {
      to = Value(message, field, -1);
    }
  }
  return out;
}

}  // namespace

std::string RenderJson(const v1::JobSummary& job) { return MessageJson(job); }

std::string JsonText(std::string_view json) {
  std::string out;
  for (const char c : json) {
    if (c == '/' && !out.empty() && out.back() == '<') out += '\\';
    out += c;
  }
  return out + "\n";
}

std::string MessageJson(const Message& message) {
  return JsonText(ToJson(message).dump(1, ' ', true, Json::error_handler_t::replace));
}

}  // namespace rackmark

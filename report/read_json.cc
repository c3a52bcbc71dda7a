// The mirror of render_json: by reflection too, so that what one writes the other reads.
#include "report/read_json.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "common/text.h"
#include "google/protobuf/message.h"
#include "nlohmann/json.hpp"

namespace rackmark {
namespace {

using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using Json = nlohmann::json;

absl::Status Fill(const Json& json, const std::string& at, Message& message);

absl::Status Wrong(const std::string& at, std::string_view wanted) {
  return absl::InvalidArgumentError(absl::StrCat(EscapeControl(at), " is not ", ToAbsl(wanted)));
}

const EnumValueDescriptor* EnumOf(const FieldDescriptor& field, const std::string& word) {
  const std::string& zero = field.enum_type()->FindValueByNumber(0)->name();
  const std::string prefix = zero.substr(0, zero.size() - std::string("UNKNOWN").size());
  return field.enum_type()->FindValueByName(prefix + word);
}

// Sets a singular field or adds to a repeated one; the message's own calls differ by type.
class Setter {
 public:
  Setter(Message& message, const FieldDescriptor& field)
      : m_(message), f_(field), r_(*message.GetReflection()) {}

  absl::Status Set(const Json& json, const std::string& at) {
    switch (f_.cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return Integer<int32_t>(json, at, &Reflection::SetInt32, &Reflection::AddInt32);
      case FieldDescriptor::CPPTYPE_INT64:
        return Integer<int64_t>(json, at, &Reflection::SetInt64, &Reflection::AddInt64);
      case FieldDescriptor::CPPTYPE_UINT32:
        return Integer<uint32_t>(json, at, &Reflection::SetUInt32, &Reflection::AddUInt32);
      case FieldDescriptor::CPPTYPE_UINT64:
        return Integer<uint64_t>(json, at, &Reflection::SetUInt64, &Reflection::AddUInt64);
      case FieldDescriptor::CPPTYPE_DOUBLE: return Real(json, at);
      case FieldDescriptor::CPPTYPE_BOOL:
        if (!json.is_boolean()) return Wrong(at, "true or false");
        return Put(json.get<bool>(), &Reflection::SetBool, &Reflection::AddBool);
      case FieldDescriptor::CPPTYPE_STRING: return Text(json, at);
      case FieldDescriptor::CPPTYPE_ENUM: return Word(json, at);
      case FieldDescriptor::CPPTYPE_MESSAGE:
        return Fill(json, at,
                    *(f_.is_repeated() ? r_.AddMessage(&m_, &f_) : r_.MutableMessage(&m_, &f_)));
      default: return Wrong(at, "of a type that reports have");
    }
  }

 private:
  template <typename T, typename SetFn, typename AddFn>
  absl::Status Put(T value, SetFn set, AddFn add) {
    if (f_.is_repeated()) {
      (r_.*add)(&m_, &f_, value);
    } else {
      (r_.*set)(&m_, &f_, value);
    }
    return absl::OkStatus();
  }
  template <typename T, typename SetFn, typename AddFn>
  absl::Status Integer(const Json& json, const std::string& at, SetFn set, AddFn add) {
    using Limits = std::numeric_limits<T>;
    if (json.is_number_unsigned() && json.get<uint64_t>() <= static_cast<uint64_t>(Limits::max())) {
      return Put(static_cast<T>(json.get<uint64_t>()), set, add);
    }
    const bool small = json.is_number_integer() && !json.is_number_unsigned() &&
                       std::numeric_limits<T>::is_signed &&
                       json.get<int64_t>() >= static_cast<int64_t>(Limits::min());
    if (!small) return Wrong(at, "a whole number in its range");
    return Put(static_cast<T>(json.get<int64_t>()), set, add);
  }
  absl::Status Real(const Json& json, const std::string& at) {
    if (!json.is_number() && !json.is_null()) return Wrong(at, "a number");
    const double value =
        json.is_null() ? std::numeric_limits<double>::quiet_NaN() : json.get<double>();
    return Put(value, &Reflection::SetDouble, &Reflection::AddDouble);
  }
  absl::Status Text(const Json& json, const std::string& at) {
    if (!json.is_string()) return Wrong(at, "text");
    if (f_.is_repeated()) {
      r_.AddString(&m_, &f_, json.get<std::string>());
    } else {
      r_.SetString(&m_, &f_, json.get<std::string>());
    }
    return absl::OkStatus();
  }
  absl::Status Word(const Json& json, const std::string& at) {
    const auto* value = json.is_string() ? EnumOf(f_, json.get<std::string>()) : nullptr;
    if (value == nullptr) return Wrong(at, "a word that this build knows");
    return Put(value, &Reflection::SetEnum, &Reflection::AddEnum);
  }

  Message& m_;
  const FieldDescriptor& f_;
  const Reflection& r_;
};

absl::Status FillMap(const Json& json, const std::string& at, const FieldDescriptor& field,
                     Message& message) {
  if (!json.is_object()) return Wrong(at, "an object");
  for (const auto& [key, value] : json.items()) {
    if (!value.is_string()) return Wrong(absl::StrCat(at, ".", key), "text");
    Message& entry = *message.GetReflection()->AddMessage(&message, &field);
    entry.GetReflection()->SetString(&entry, entry.GetDescriptor()->map_key(), key);
    entry.GetReflection()->SetString(&entry, entry.GetDescriptor()->map_value(),
                                     value.get<std::string>());
  }
  return absl::OkStatus();
}

absl::Status FillField(const Json& json, const std::string& at, const FieldDescriptor& field,
                       Message& message) {
  if (field.is_map()) return FillMap(json, at, field, message);
  Setter setter(message, field);
  if (!field.is_repeated()) {
    // Null is missing where a field can be; a number that always is there was not finite.
    if (json.is_null() && field.has_presence()) return absl::OkStatus();
    return setter.Set(json, at);
  }
  if (!json.is_array()) return Wrong(at, "a list");
  for (size_t i = 0; i < json.size(); ++i) {
    RETURN_IF_ERROR(setter.Set(json[i], absl::StrCat(at, "[", i, "]")));
  }
  return absl::OkStatus();
}

absl::Status Fill(const Json& json, const std::string& at, Message& message) {
  if (!json.is_object()) return Wrong(at, "an object");
  for (const auto& [key, value] : json.items()) {
    const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(key);
    if (field == nullptr) continue;
    RETURN_IF_ERROR(FillField(value, absl::StrCat(at, ".", key), *field, message));
  }
  return absl::OkStatus();
}

// `byte`: the first that made no sense, counted from 1.
absl::Status NoJson(std::string_view text, size_t byte) {
  const std::string_view before = text.substr(0, std::min(text.size(), byte == 0 ? 0 : byte - 1));
  const std::string what = "no JSON of a report; write one with rackmark report JOB --output json";
  if (before.size() == text.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(text.empty() ? "empty: " : "it ends too early: ", what));
  }
  const auto lines = std::count(before.begin(), before.end(), '\n');
  const size_t start = before.rfind('\n');  // npos + 1 = 0: the first line
  return absl::InvalidArgumentError(
      absl::StrCat("line ", lines + 1, ", column ", before.size() - (start + 1) + 1, ": ", what));
}

}  // namespace

absl::StatusOr<v1::JobSummary> ReadReportJson(std::string_view text) {
  if (text.size() > kReportJsonBytesMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a report of ", text.size(), " bytes is over the bound of ", kReportJsonBytesMax));
  }
  Json json;
  try {
    json = Json::parse(text);
  } catch (const Json::parse_error& error) {
    return NoJson(text, error.byte);
  } catch (const Json::exception&) {
    // Well formed, and yet beyond what the reader holds: a number of 400 digits.
    return absl::InvalidArgumentError("no Rackmark report: it has a number that is out of range");
  }
  const auto format = json.is_object() ? json.find("format") : json.end();
  if (!json.is_object() || format == json.end() || !json.contains("runs")) {
    return absl::InvalidArgumentError("JSON, but no Rackmark report: it has no format and runs");
  }
  if (*format != kReportFormat) {
    return absl::InvalidArgumentError(absl::StrCat("a report of format ", format->dump(),
                                                   "; this build reads format ", kReportFormat));
  }
  v1::JobSummary job;
  RETURN_IF_ERROR(Fill(json, "report", job));
  return job;
}

}  // namespace rackmark

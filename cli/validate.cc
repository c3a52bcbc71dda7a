#include "cli/validate.h"

#include <charconv>

#include "cli/support.h"
#include "common/text.h"
#include "jobs/spec.h"
#include "nlohmann/json.hpp"

namespace rackmark {
namespace {

using Json = nlohmann::ordered_json;

// "12:" at the start of `text`, which is then taken off.
std::optional<int> TakeNumber(std::string_view& text) {
  int number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr == text.data() + text.size() || *parsed.ptr != ':') {
    return std::nullopt;
  }
  text.remove_prefix(static_cast<size_t>(parsed.ptr - text.data()) + 1);
  return number;
}

std::string GangText(const v1::Gang& gang) {
  std::string text = absl::StrCat(
      gang.devices(), gang.kind() == v1::DEVICE_KIND_GPU ? " GPU device" : " CPU device",
      gang.devices() == 1 ? "" : "s");
  if (gang.has_per_node()) absl::StrAppend(&text, " (", gang.per_node(), " on each node)");
  return text;
}

Json GangJson(const v1::Gang& gang) {
  Json json = {{"devices", gang.devices()}, {"per_node", nullptr}};
  if (gang.has_per_node()) json["per_node"] = gang.per_node();
  json["kind"] = gang.kind() == v1::DEVICE_KIND_GPU ? "GPU" : "CPU";
  return json;
}

}  // namespace

ValidationError PlacedError(const std::string& path, const std::string& text) {
  ValidationError error{text, std::nullopt, std::nullopt};
  const std::string start = EscapeControl(path) + ":";
  if (text.rfind(start, 0) != 0) return error;
  std::string_view rest = std::string_view(text).substr(start.size());
  error.line = TakeNumber(rest);
  if (error.line) error.column = TakeNumber(rest);
  return error;
}

Validated ValidateFile(const std::string& path, const std::vector<std::string>& sets) {
  TraceFiles traces;
  ReadResult result = ReadJobAt(path, sets, traces);
  Validated file{path, std::move(result.job), {}};
  for (const absl::Status& problem : result.problems) {
    file.errors.push_back(PlacedError(path, std::string(problem.message())));
  }
  return file;
}

std::string ValidatedText(const Validated& file) {
  const v1::JobSpec& spec = file.job->spec();
  const Estimate estimate = EstimateOf(spec);
  return absl::StrCat(EscapeControl(file.path), ": ", file.job->name(), ": ", spec.runs_size(),
                      spec.runs_size() == 1 ? " run on " : " runs on ", GangText(spec.gang()), ", ",
                      FormatDuration(estimate.planned), " of measuring, at most ",
                      FormatDuration(estimate.at_most), " by its limits\n");
}

std::string ValidatedJson(const std::vector<Validated>& files) {
  Json list = Json::array();
  for (const Validated& file : files) {
    Json json = {{"file", file.path}, {"valid", file.errors.empty()}, {"errors", Json::array()}};
    for (const ValidationError& error : file.errors) {
      Json entry = {{"line", nullptr}, {"column", nullptr}, {"message", error.text}};
      if (error.line) entry["line"] = *error.line;
      if (error.column) entry["column"] = *error.column;
      json["errors"].push_back(std::move(entry));
    }
    if (file.job) {
      const Estimate estimate = EstimateOf(file.job->spec());
      json["job"] = {{"name", file.job->name()},
                     {"runs", file.job->spec().runs_size()},
                     {"gang", GangJson(file.job->spec().gang())},
                     {"planned_ns", estimate.planned},
                     {"at_most_ns", estimate.at_most}};
    } else {
      json["job"] = nullptr;
    }
    list.push_back(std::move(json));
  }
  return Json{{"files", std::move(list)}}.dump(1, ' ', true, Json::error_handler_t::replace) + "\n";
}

}  // namespace rackmark

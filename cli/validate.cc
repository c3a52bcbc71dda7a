#include "cli/validate.h"

#include <charconv>
#include <utility>

#include "cli/support.h"
#include "common/text.h"
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

std::string IslandText(v1::Within within) {
  switch (within) {
    case v1::WITHIN_NODE: return "node";
    case v1::WITHIN_NVLINK_DOMAIN: return "NVLink domain";
    case v1::WITHIN_RACK: return "rack";
    default: return "cluster";
  }
}

std::string GangText(const v1::Gang& gang) {
  std::string text = absl::StrCat(
      gang.devices(), gang.kind() == v1::DEVICE_KIND_GPU ? " GPU device" : " CPU device",
      gang.devices() == 1 ? "" : "s");
  if (gang.has_per_node()) absl::StrAppend(&text, " (", gang.per_node(), " on each node)");
  if (gang.within() != v1::WITHIN_CLUSTER) {
    absl::StrAppend(&text, gang.preferred() ? " preferably in one " : " within one ",
                    IslandText(gang.within()));
  }
  return text;
}

Json GangJson(const v1::Gang& gang) {
  Json json = {{"devices", gang.devices()}, {"per_node", nullptr}};
  if (gang.has_per_node()) json["per_node"] = gang.per_node();
  json["kind"] = gang.kind() == v1::DEVICE_KIND_GPU ? "GPU" : "CPU";
  return json;
}

// What it would run, and for how long.
std::string RunsText(const v1::Job& job) {
  const v1::JobSpec& spec = job.spec();
  const Estimate estimate = EstimateOf(spec);
  return absl::StrCat(spec.runs_size(), spec.runs_size() == 1 ? " run on " : " runs on ",
                      GangText(spec.gang()), ", ", FormatDuration(estimate.planned),
                      " of measuring, at most ", FormatDuration(estimate.at_most),
                      " by its limits");
}

Json JobJson(const v1::Job& job) {
  const Estimate estimate = EstimateOf(job.spec());
  return {{"name", job.name()},
          {"runs", job.spec().runs_size()},
          {"gang", GangJson(job.spec().gang())},
          {"priority", job.spec().priority()},
          {"planned_ns", estimate.planned},
          {"at_most_ns", estimate.at_most}};
}

// In the order in which they can run.
Json SuiteJson(const v1::Suite& suite) {
  Json jobs = Json::array();
  for (const v1::Job& job : suite.jobs()) {
    Json after = Json::array();
    for (const v1::Dependency& dependency : job.part().after()) after.push_back(dependency.part());
    jobs.push_back({{"part", job.part().name()},
                    {"after", std::move(after)},
                    {"gate", job.part().gate()},
                    {"job", JobJson(job)}});
  }
  return {{"name", suite.name()}, {"expects", suite.has_expect()}, {"jobs", std::move(jobs)}};
}

void AddDocument(const Document& document, Json& json) {
  if (const auto* job = std::get_if<v1::Job>(&document)) {
    json["kind"] = "Job";
    json["job"] = JobJson(*job);
  } else if (const auto* suite = std::get_if<v1::Suite>(&document)) {
    json["kind"] = "Suite";
    json["suite"] = SuiteJson(*suite);
  } else {
    const auto& schedule = std::get<v1::Schedule>(document);
    json["kind"] = "Schedule";
    Json entry = {{"name", schedule.name()},
                  {"when", schedule.when()},
                  {"time_zone", schedule.time_zone()},
                  {"job", nullptr},
                  {"suite", nullptr}};
    if (schedule.has_job()) entry["job"] = JobJson(schedule.job());
    if (schedule.has_suite()) entry["suite"] = SuiteJson(schedule.suite());
    json["schedule"] = std::move(entry);
  }
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
  DocumentResult result = ReadDocumentAt(path, sets, traces);
  Validated file{path, std::move(result.document), {}};
  for (const absl::Status& problem : result.problems) {
    file.errors.push_back(PlacedError(path, std::string(problem.message())));
  }
  return file;
}

std::string ValidatedText(const Validated& file) {
  const std::string head =
      absl::StrCat(EscapeControl(file.path), ": ", NameOf(*file.document), ": ");
  if (const auto* job = std::get_if<v1::Job>(&*file.document)) {
    return absl::StrCat(head, RunsText(*job), "\n");
  }
  const std::vector<const v1::Job*> jobs = JobsOf(*file.document);
  std::string text = head;
  if (const auto* schedule = std::get_if<v1::Schedule>(&*file.document)) {
    absl::StrAppend(&text, "a schedule, ", EscapeControl(schedule->when()), " in ",
                    EscapeControl(schedule->time_zone()), schedule->suspend() ? ", suspended" : "",
                    "\n");
  } else {
    absl::StrAppend(&text, "a suite of ", jobs.size(), jobs.size() == 1 ? " job\n" : " jobs\n");
  }
  for (const v1::Job* job : jobs) {
    absl::StrAppend(&text, "  ", job->has_part() ? job->part().name() : job->name(),
                    job->part().gate() ? " (gate)" : "", ": ", RunsText(*job), "\n");
  }
  return text;
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
    json["kind"] = json["job"] = json["suite"] = json["schedule"] = nullptr;
    if (file.document) AddDocument(*file.document, json);
    list.push_back(std::move(json));
  }
  return Json{{"files", std::move(list)}}.dump(1, ' ', true, Json::error_handler_t::replace) + "\n";
}

}  // namespace rackmark

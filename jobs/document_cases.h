// Documents without mistakes, and a reader of them with files and zones of its own: for the tests
// of suites and of schedules.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jobs/document.h"

namespace rackmark {

inline constexpr std::string_view kSuite = R"(apiVersion: rackmark/v1
kind: Suite
metadata: {name: rack, labels: {team: a}}
spec:
  expect:
    nodes: [n1, n2]
    device: gpu
    model: GB200
  jobs:
    - name: serve
      after: [smoke]
      job: serve.yaml
    - name: smoke
      gate: true
      job:
        gang: {devices: 1, device: cpu}
        workload: {"null": {}}
    - {name: last, after: [serve, smoke], when: any, job: serve.yaml}
)";

inline constexpr std::string_view kSchedule = R"(apiVersion: rackmark/v1
kind: Schedule
metadata: {name: nightly}
spec:
  schedule: "30 1 * * *"
  timeZone: Europe/Berlin
  concurrencyPolicy: Forbid
  maintenance:
    - {opens: "0 2 * * 0", length: 4h}
  nightBudget: {begins: "0 18 * * *", timeZone: UTC, nodeHours: 2}
  jobTemplate:
    metadata: {labels: {purpose: trend}}
    spec:
      gang: {devices: 1, device: cpu}
      workload: {"null": {}}
)";

inline constexpr std::string_view kServe = R"(apiVersion: rackmark/v1
kind: Job
metadata: {name: served}
spec:
  gang: {devices: 1, device: cpu}
  workload: {"null": {duration: 2s}}
)";

inline absl::StatusOr<NamedText> FindFile(std::string_view path, std::string_view named_by) {
  const std::string name = absl::StrCat(ToAbsl(path), " of ", ToAbsl(named_by));
  if (path == "serve.yaml") return NamedText{name, std::string(kServe)};
  if (path == "suite.yaml") return NamedText{name, std::string(kSuite)};
  if (path == "broken.yaml") return NamedText{"broken.yaml", "kind: Job\nspec: {seed: x}\n"};
  if (path == "yaml.yaml") return NamedText{"yaml.yaml", "a: [1"};
  return absl::NotFoundError("there is no such file; check the path");
}

inline absl::Status FindAnyZone(std::string_view zone) {
  if (zone == "Europe/Berlin" || zone == "UTC") return absl::OkStatus();
  return absl::NotFoundError("is no time zone; did you mean \"Europe/Berlin\"?");
}

inline DocumentResult Read(std::string_view yaml, const std::vector<Override>& sets = {}) {
  return ReadDocument(yaml, "a.yaml", sets, {{}, FindFile, FindAnyZone});
}

template <typename Message>
Message Good(std::string_view yaml) {
  const DocumentResult result = Read(yaml);
  for (const absl::Status& problem : result.problems) ADD_FAILURE() << problem;
  if (!result.document.has_value()) return {};
  return std::get<Message>(*result.document);
}

inline std::string With(std::string_view good, std::string_view from, std::string_view to) {
  std::string text(good);
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

inline std::vector<std::string> ErrorsOf(std::string_view yaml) {
  const DocumentResult result = Read(yaml);
  EXPECT_EQ(result.document.has_value(), result.problems.empty());
  std::vector<std::string> errors;
  for (const absl::Status& problem : result.problems) errors.emplace_back(problem.message());
  return errors;
}

struct Bad {
  const char* from;
  const char* to;
  const char* says;
};

}  // namespace rackmark

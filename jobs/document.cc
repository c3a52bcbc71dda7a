#include "jobs/document.h"

#include <utility>

#include "common/sha256.h"
#include "jobs/expand.h"
#include "jobs/job_reader.h"
#include "jobs/schedule_reader.h"
#include "jobs/suite_reader.h"
#include "jobs/yaml_reader.h"

namespace rackmark {
namespace {

const std::vector<std::string>& Kinds() {
  static const std::vector<std::string> kinds = {"Job", "Suite", "Schedule"};
  return kinds;
}

// What is of no known kind is read as a job, whose reader says so.
Document ReadRoot(const YamlNode& root, Problems& problems, const Finders& finders) {
  const YamlNode* kind = FindKey(root, "kind");
  if (kind != nullptr && kind->kind == YamlNode::Kind::kScalar) {
    if (kind->text == "Suite") {
      v1::Suite suite;
      ReadSuiteRoot(root, Kinds(), {problems, finders}, suite);
      return suite;
    }
    if (kind->text == "Schedule") {
      v1::Schedule schedule;
      ReadScheduleRoot(root, Kinds(), {problems, finders}, schedule);
      return schedule;
    }
  }
  v1::Job job;
  ReadJobRoot(root, Kinds(), problems, finders.traces, job);
  return job;
}

}  // namespace

DocumentResult ReadDocument(std::string_view yaml, std::string_view file_name,
                            const std::vector<Override>& sets, const Finders& finders) {
  auto root = ReadYaml(yaml, file_name);
  if (!root.ok()) return {std::nullopt, {root.status()}};
  if (YamlNode* spec = FindKey(*root, "spec"); spec != nullptr) {
    const absl::Status applied = ApplyOverrides(*spec, sets);
    if (!applied.ok()) return {std::nullopt, {applied}};
  }
  Problems problems(file_name);
  Document document = ReadRoot(*root, problems, finders);
  if (!problems.all().empty()) return {std::nullopt, problems.all()};
  std::visit(
      [&](auto& message) {
        message.set_source(std::string(yaml));
        message.set_source_sha256(Sha256Hex(yaml));
      },
      document);
  return {std::move(document), {}};
}

std::vector<FieldAsked> FieldsAsked(std::string_view yaml, const Finders& finders) {
  std::vector<FieldAsked> asked;
  Problems problems("probe", &asked);
  const auto root = ReadYaml(yaml, "probe");
  RACKMARK_CHECK(root.ok());
  ReadRoot(*root, problems, finders);
  RACKMARK_CHECK(problems.all().empty());
  return asked;
}

std::vector<const v1::Job*> JobsOf(const Document& document) {
  std::vector<const v1::Job*> jobs;
  const auto add_suite = [&jobs](const v1::Suite& suite) {
    for (const v1::Job& job : suite.jobs()) jobs.push_back(&job);
  };
  if (const auto* job = std::get_if<v1::Job>(&document)) jobs.push_back(job);
  if (const auto* suite = std::get_if<v1::Suite>(&document)) add_suite(*suite);
  if (const auto* schedule = std::get_if<v1::Schedule>(&document)) {
    if (schedule->has_job()) jobs.push_back(&schedule->job());
    if (schedule->has_suite()) add_suite(schedule->suite());
  }
  return jobs;
}

const std::string& NameOf(const Document& document) {
  return std::visit([](const auto& message) -> const std::string& { return message.name(); },
                    document);
}

}  // namespace rackmark

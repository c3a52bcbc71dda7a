#include "jobs/spec.h"

#include <limits>
#include <utility>

#include "common/sha256.h"
#include "common/text.h"
#include "jobs/expand.h"
#include "jobs/job_reader.h"
#include "jobs/run_spec.h"
#include "jobs/yaml_reader.h"

namespace rackmark {

absl::StatusOr<Override> ParseOverride(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0 || equals + 1 == text.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--set \"", EscapeControl(text.substr(0, 128)),
                     "\" is not path=value; write for example --set load.rate=12/s"));
  }
  const std::string_view path = text.substr(0, equals);
  constexpr std::string_view kSpec = "spec.";
  if (path.substr(0, kSpec.size()) == kSpec) {
    return absl::InvalidArgumentError(absl::StrCat("--set \"", EscapeControl(text.substr(0, 128)),
                                                   "\" begins at spec, and so do all; write --set ",
                                                   EscapeControl(text.substr(kSpec.size(), 128))));
  }
  return Override{std::string(path), std::string(text.substr(equals + 1))};
}

ReadResult ReadJob(std::string_view yaml, std::string_view file_name,
                   const std::vector<Override>& sets, const TraceFinder& traces) {
  auto root = ReadYaml(yaml, file_name);
  if (!root.ok()) return {std::nullopt, {root.status()}};
  if (YamlNode* spec = FindKey(*root, "spec"); spec != nullptr) {
    const absl::Status applied = ApplyOverrides(*spec, sets);
    if (!applied.ok()) return {std::nullopt, {applied}};
  }
  Problems problems(file_name);
  v1::Job job;
  ReadJobRoot(*root, {"Job"}, problems, traces, job);
  if (!problems.all().empty()) return {std::nullopt, problems.all()};
  job.set_source(std::string(yaml));
  job.set_source_sha256(Sha256Hex(yaml));
  return {std::move(job), {}};
}

absl::StatusOr<v1::Job> ParseJob(std::string_view yaml, std::string_view file_name,
                                 const std::vector<Override>& sets, const TraceFinder& traces) {
  ReadResult result = ReadJob(yaml, file_name, sets, traces);
  if (!result.job.has_value()) return result.problems.front();
  return *std::move(result.job);
}

Estimate EstimateOf(const v1::JobSpec& spec) {
  const v1::Limits& limits = spec.limits();
  const Nanos attempt =
      limits.setup_ns() + limits.prepare_ns() + limits.measure_ns() + limits.drain_ns();
  // 10,000 runs of 10 attempts may be more nanoseconds than 64 bits hold.
  const double most =
      static_cast<double>(attempt) * limits.attempts() * static_cast<double>(spec.runs_size());
  Estimate estimate;
  estimate.at_most = most < 9e18 ? static_cast<Nanos>(most) : std::numeric_limits<Nanos>::max();
  for (const v1::RunSpec& run : spec.runs()) estimate.planned += PlannedDuration(run);
  return estimate;
}

absl::Status AtSpecField(const v1::Job& job, std::string_view file_name, std::string_view key,
                         const absl::Status& problem) {
  YamlNode place;  // none, if the field comes from --set alone
  if (const auto root = ReadYaml(job.source(), file_name); root.ok()) {
    const YamlNode* spec = FindKey(*root, "spec");
    const YamlNode* field = spec == nullptr ? nullptr : FindKey(*spec, key);
    if (field != nullptr) place = *field;
  }
  const absl::Status told =
      YamlError(file_name, place, absl::StrCat("spec.", ToAbsl(key)), FromAbsl(problem.message()));
  return absl::Status(problem.code(), told.message());
}

}  // namespace rackmark

#include "jobs/spec.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "common/sha256.h"
#include "common/text.h"
#include "jobs/bounds.h"
#include "jobs/expand.h"
#include "jobs/fields.h"
#include "jobs/run_spec.h"
#include "jobs/yaml_reader.h"

namespace rackmark {
namespace {

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= bounds::kNameMax &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

void ReadHead(const Fields& root) {
  root.Word("apiVersion", {"rackmark/v1"}, std::nullopt);
  root.Word("kind", {"Job"}, std::nullopt);
}

void ReadLabels(const Fields& metadata, v1::Job& job) {
  const YamlNode* node = metadata.Find("labels");
  if (node == nullptr) return;
  std::vector<std::string> any;
  for (const YamlNode& item : node->items) any.push_back(item.key);
  const Fields labels = metadata.Map("labels", any);
  if (any.size() > bounds::kLabelsMax) {
    metadata.Problem("labels", absl::StrCat("holds more than ", bounds::kLabelsMax,
                                            " labels; keep the useful ones"));
  }
  for (const std::string& key : any) {
    const std::string value = labels.Text(key, std::nullopt);
    if (key.size() > bounds::kLabelBytesMax || value.size() > bounds::kLabelBytesMax) {
      labels.Problem(key,
                     absl::StrCat("is longer than ", bounds::kLabelBytesMax, " bytes; shorten it"));
    }
    (*job.mutable_labels())[key] = value;
  }
}

void ReadMetadata(const Fields& root, v1::Job& job) {
  const Fields metadata = root.Map("metadata", {"name", "labels"});
  job.set_name(metadata.Text("name", std::nullopt));
  if (metadata.Has("name") && !IsName(job.name())) {
    metadata.Problem("name", absl::StrCat("\"", EscapeControl(job.name().substr(0, 64)),
                                          "\" is not a name; write 1 to ", bounds::kNameMax,
                                          " of a-z, 0-9 and -"));
  }
  ReadLabels(metadata, job);
}

void ReadSpec(const YamlNode& spec, Problems& problems, const TraceFinder& traces, v1::Job& job) {
  const Fields fields(&problems, &spec, &spec, "spec", SpecKeys());
  v1::JobSpec& out = *job.mutable_spec();
  const size_t before = problems.all().size();
  *out.mutable_gang() = ReadGang(fields);
  // Without its gang a workload would have problems that are none of its own.
  const bool whole = problems.all().size() == before;
  Nanos longest = 0;
  if (whole) {
    for (v1::RunSpec& run : ExpandRuns(spec, out.gang(), problems, traces)) {
      longest = std::max(longest, PlannedDuration(run));
      *out.add_runs() = std::move(run);
    }
  }
  *out.mutable_limits() = ReadLimits(fields, longest);
}

// Everything below the document's root.
void ReadRoot(const YamlNode& root, Problems& problems, const TraceFinder& traces, v1::Job& job) {
  const Fields fields(&problems, &root, &root, "", {"apiVersion", "kind", "metadata", "spec"});
  ReadHead(fields);
  ReadMetadata(fields, job);
  if (!fields.Has("spec")) return fields.Problem("spec", "is missing; write what to run here");
  ReadSpec(*fields.Find("spec"), problems, traces, job);
}

}  // namespace

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
  ReadRoot(*root, problems, traces, job);
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

std::vector<FieldAsked> FieldsAsked(std::string_view yaml, const TraceFinder& traces) {
  std::vector<FieldAsked> asked;
  Problems problems("probe", &asked);
  v1::Job job;
  const auto root = ReadYaml(yaml, "probe");
  RACKMARK_CHECK(root.ok());
  ReadRoot(*root, problems, traces, job);
  RACKMARK_CHECK(problems.all().empty());
  return asked;
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

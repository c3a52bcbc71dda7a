#include "jobs/spec.h"

#include <algorithm>
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

absl::Status ReadSpec(const YamlNode& spec, std::string_view file, const TraceFinder& traces,
                      v1::Job& job) {
  Problems problems(file);
  const Fields fields(&problems, &spec, &spec, "spec", SpecKeys());
  v1::JobSpec& out = *job.mutable_spec();
  *out.mutable_gang() = ReadGang(fields);
  RETURN_IF_ERROR(problems.status());
  ASSIGN_OR_RETURN(const std::vector<v1::RunSpec> runs, ExpandRuns(spec, out.gang(), file, traces));
  Nanos longest = 0;
  for (const v1::RunSpec& run : runs) {
    longest = std::max(longest, PlannedDuration(run));
    *out.add_runs() = run;
  }
  *out.mutable_limits() = ReadLimits(fields, longest);
  return problems.status();
}

}  // namespace

absl::StatusOr<Override> ParseOverride(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0 || equals + 1 == text.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--set \"", EscapeControl(text.substr(0, 128)),
                     "\" is not path=value; write for example --set load.rate=12/s"));
  }
  return Override{std::string(text.substr(0, equals)), std::string(text.substr(equals + 1))};
}

absl::StatusOr<v1::Job> ParseJob(std::string_view yaml, std::string_view file_name,
                                 const std::vector<Override>& sets, const TraceFinder& traces) {
  ASSIGN_OR_RETURN(YamlNode root, ReadYaml(yaml, file_name));
  if (YamlNode* spec = FindKey(root, "spec"); spec != nullptr) {
    RETURN_IF_ERROR(ApplyOverrides(*spec, sets));
  }
  Problems problems(file_name);
  const Fields fields(&problems, &root, &root, "", {"apiVersion", "kind", "metadata", "spec"});
  ReadHead(fields);
  v1::Job job;
  ReadMetadata(fields, job);
  if (!fields.Has("spec")) fields.Problem("spec", "is missing; write what to run here");
  RETURN_IF_ERROR(problems.status());
  RETURN_IF_ERROR(ReadSpec(*fields.Find("spec"), file_name, traces, job));
  job.set_source(std::string(yaml));
  job.set_source_sha256(Sha256Hex(yaml));
  return job;
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

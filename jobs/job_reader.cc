#include "jobs/job_reader.h"

#include <algorithm>
#include <utility>

#include "common/text.h"
#include "jobs/bounds.h"
#include "jobs/run_spec.h"

namespace rackmark {
namespace {

using namespace bounds;

constexpr double kHourSeconds = 3600;

void ReadBudget(const Fields& spec, v1::JobSpec& out) {
  if (!spec.Has("budget")) return;
  const Fields budget = spec.Map("budget", {"wall", "node_hours"});
  if (!budget.Has("wall") && !budget.Has("node_hours")) {
    spec.Problem("budget", "limits nothing; write wall or node_hours, or remove it");
  }
  v1::Budget& put = *out.mutable_budget();
  if (budget.Has("wall")) put.set_wall_ns(budget.Duration("wall", {kPhaseMin, kMonth, {}}));
  if (budget.Has("node_hours")) {
    const double hours = budget.Number("node_hours", {kNodeHoursMin, kNodeHoursMax, {}});
    put.set_node_seconds(hours * kHourSeconds);
  }
}

// How the job stands to others that want the same devices.
void ReadStanding(const Fields& spec, v1::JobSpec& out) {
  out.set_priority(static_cast<int32_t>(spec.Signed("priority", {-kPriorityMax, kPriorityMax, 0})));
  out.set_preemptible(spec.Bool("preemptible", false));
  out.set_grace_ns(spec.Duration("grace", {0, kGraceMax, kGraceDefault}));
  if (spec.Has("lease_max")) {
    out.set_lease_max_ns(spec.Duration("lease_max", {kLeaseMin, kLeaseMax, std::nullopt}));
  }
  ReadBudget(spec, out);
}

}  // namespace

bool IsJobName(std::string_view name, size_t most) {
  return !name.empty() && name.size() <= most && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

void ReadHead(const Fields& root, const std::vector<std::string>& kinds) {
  root.Word("apiVersion", {"rackmark/v1"}, std::nullopt);
  root.Word("kind", kinds, std::nullopt);
}

std::string ReadName(const Fields& metadata, size_t most) {
  std::string name = metadata.Text("name", std::nullopt);
  if (metadata.Has("name") && !IsJobName(name, most)) {
    metadata.Problem("name",
                     absl::StrCat("\"", EscapeControl(name.substr(0, 64)),
                                  "\" is not a name; write 1 to ", most, " of a-z, 0-9 and -"));
  }
  return name;
}

void PutLabels(const Fields& metadata, LabelMap& out) {
  for (const auto& [name, value] : metadata.Labels("labels", kLabelBytesMax)) out[name] = value;
}

void ReadJobSpec(const SpecAt& spec, Problems& problems, const TraceFinder& traces,
                 v1::JobSpec& out) {
  const Fields fields(&problems, &spec.node, &spec.node, spec.path, SpecKeys());
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
  ReadStanding(fields, out);
  *out.mutable_limits() = ReadLimits(fields, longest);
}

void ReadJobRoot(const YamlNode& root, const std::vector<std::string>& kinds, Problems& problems,
                 const TraceFinder& traces, v1::Job& job) {
  const Fields fields(&problems, &root, &root, "", {"apiVersion", "kind", "metadata", "spec"});
  ReadHead(fields, kinds);
  const Fields metadata = fields.Map("metadata", {"name", "labels"});
  job.set_name(ReadName(metadata, kNameMax));
  PutLabels(metadata, *job.mutable_labels());
  if (!fields.Has("spec")) return fields.Problem("spec", "is missing; write what to run here");
  ReadJobSpec({*fields.Find("spec"), "spec"}, problems, traces, *job.mutable_spec());
}

}  // namespace rackmark

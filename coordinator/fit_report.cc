#include "coordinator/fit_report.h"

#include <string_view>
#include <utility>

namespace rackmark {
namespace {

constexpr std::string_view kWhy = "left out: the whole report would not fit into one message";

bool DropSeries(v1::RunSummary& run) {
  if (run.series().empty()) return false;
  run.clear_series();
  return true;
}

bool DropDistributions(v1::RunSummary& run) {
  if (!run.has_serve()) return false;
  v1::ServeResult& serve = *run.mutable_serve();
  bool dropped = false;
  const auto drop = [&dropped](bool has, v1::Quantiles* (v1::ServeResult::*of)(),
                               v1::ServeResult& result) {
    if (!has || (result.*of)()->cdf().empty()) return;
    (result.*of)()->clear_cdf();
    dropped = true;
  };
  drop(serve.has_ttft_ms(), &v1::ServeResult::mutable_ttft_ms, serve);
  drop(serve.has_ttft_service_ms(), &v1::ServeResult::mutable_ttft_service_ms, serve);
  drop(serve.has_tpot_ms(), &v1::ServeResult::mutable_tpot_ms, serve);
  drop(serve.has_itl_ms(), &v1::ServeResult::mutable_itl_ms, serve);
  drop(serve.has_e2e_ms(), &v1::ServeResult::mutable_e2e_ms, serve);
  return dropped;
}

bool DropCollectives(v1::RunSummary& run) {
  if (run.collectives().empty()) return false;
  run.clear_collectives();
  return true;
}

bool DropRanks(v1::RunSummary& run) {
  if (run.ranks().empty()) return false;
  run.clear_ranks();
  return true;
}

bool DropNodes(v1::RunSummary& run) {
  if (run.nodes().empty()) return false;
  run.clear_nodes();
  return true;
}

bool DropPlacement(v1::RunSummary& run) {
  if (run.placement().ranks().empty()) return false;
  run.clear_placement();
  return true;
}

// What is left is what `rackmark runs` shows of it.
bool DropNumbers(v1::RunSummary& run) {
  v1::RunSummary left;
  left.set_run_id(run.run_id());
  left.set_attempt(run.attempt());
  left.set_verdict(run.verdict());
  left.mutable_reasons()->Swap(run.mutable_reasons());
  if (run.has_spec()) *left.mutable_spec() = std::move(*run.mutable_spec());
  if (run.has_failure()) *left.mutable_failure() = std::move(*run.mutable_failure());
  run = std::move(left);
  return true;
}

struct Part {
  std::string_view name;
  bool (*drop)(v1::RunSummary&);  // whether there was something
};
constexpr Part kParts[] = {
    {"series", DropSeries},
    {"distributions", DropDistributions},
    {"collectives", DropCollectives},
    {"ranks", DropRanks},
    {"nodes", DropNodes},
    {"placement", DropPlacement},
    {"everything but the verdict", DropNumbers},
};

void LeaveOut(const Part& part, v1::RunSummary& run) {
  if (!part.drop(run)) return;
  v1::MissingValue& missing = *run.add_missing();
  missing.set_name(std::string(part.name));
  missing.set_reason(std::string(kWhy));
}

}  // namespace

void LeaveOutCharts(v1::RunSummary& run) { LeaveOut(kParts[0], run); }

absl::Status FitReport(v1::JobSummary& summary, size_t bytes_max) {
  const size_t whole = summary.ByteSizeLong();
  size_t bytes = whole;
  for (const Part& part : kParts) {
    for (int i = summary.runs_size(); i-- > 0 && bytes > bytes_max;) {
      v1::RunSummary& run = *summary.mutable_runs(i);
      const size_t before = run.ByteSizeLong();
      LeaveOut(part, run);
      bytes = bytes - before + run.ByteSizeLong();
    }
  }
  if (bytes <= bytes_max) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "the report of ", summary.runs_size(), " runs has ", whole, " bytes, ", bytes,
      " of them verdicts with their reasons, and one message holds ", bytes_max,
      "; `rackmark runs JOB` lists the runs, and a sweep in several jobs has several reports"));
}

}  // namespace rackmark

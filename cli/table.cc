#include "cli/table.h"

#include <algorithm>
#include <utility>

#include "cli/exit_status.h"
#include "cli/fleet_text.h"
#include "common/ids.h"
#include "common/status.h"
#include "common/text.h"
#include "common/time.h"

namespace rackmark {
namespace {

// Bytes that start a character: what a terminal gives a column (wide ones aside).
size_t Columns(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

std::string PlacementText(const v1::Placement& placement) {
  std::string text;
  for (const v1::RankPlace& rank : placement.ranks()) {
    if (text.size() > 60) return text + " ...";
    absl::StrAppend(&text, text.empty() ? "" : " ", rank.node(), ":", rank.device());
  }
  return text;
}

std::string PointText(const v1::RunStatus& run) {
  std::vector<std::pair<std::string, std::string>> point(run.point().begin(), run.point().end());
  std::sort(point.begin(), point.end());
  std::string text;
  for (const auto& [path, value] : point) {
    absl::StrAppend(&text, text.empty() ? "" : " ", path, "=", value);
  }
  if (run.repetition() > 0) absl::StrAppend(&text, text.empty() ? "" : " ", "#", run.repetition());
  return text.empty() ? "-" : text;
}

std::string WhyText(const v1::RunStatus& run) {
  if (run.reasons_size() > 0) return run.reasons(0);
  // While it is at work, what it says of itself is nearer than what an earlier attempt died of.
  return run.note().empty() ? run.failure().detail() : run.note();
}

}  // namespace

std::string PhaseText(const std::string& name, size_t prefix) {
  std::string word = name.substr(std::min(prefix, name.size()));
  for (char& c : word) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return word;
}

std::string MoreText(uint32_t left_out) {
  if (left_out == 0) return "";
  return absl::StrCat("and ", left_out,
                      " more; --limit N lists more, as many as fit into one message\n");
}

Table::Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

void Table::Add(std::vector<std::string> cells) {
  RACKMARK_CHECK(cells.size() == rows_.front().size());
  for (std::string& cell : cells) cell = EscapeControl(cell);
  rows_.push_back(std::move(cells));
}

std::string Table::ToString() const {
  std::vector<size_t> widths(rows_.front().size());
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], Columns(row[i]));
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - Columns(row[i]) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string NodesTable(const v1::ListNodesReply& reply) {
  Table table({"NODE", "PHASE", "STATE", "DEVICES", "FREE", "LAST HEARD", "REASON"});
  for (const v1::NodeStatus& node : reply.nodes()) {
    int free = 0;
    for (const v1::DeviceStatus& device : node.devices()) {
      free += device.lease_id() == 0 && device.healthy() ? 1 : 0;
    }
    table.Add({node.info().name(), PhaseText(v1::NodePhase_Name(node.phase()), 11), StateText(node),
               absl::StrCat(node.info().devices_size()), absl::StrCat(free),
               node.has_silent_ns() ? FormatDuration(node.silent_ns()) + " ago" : "missing",
               node.reason().empty() ? node.standing_reason() : node.reason()});
  }
  std::string text = table.ToString();
  if (reply.left_out() > 0) {
    absl::StrAppend(&text, "and ", reply.left_out(),
                    " nodes more, which the coordinator left out\n");
  }
  return text;
}

std::string JobsTable(const v1::ListJobsReply& reply) {
  // Columns that would say nothing of any job are left out.
  bool ranked = false;
  bool parts = false;
  for (const v1::JobStatus& job : reply.jobs()) {
    ranked = ranked || job.priority() != 0;
    parts = parts || job.suite_id() != 0;
  }
  std::vector<std::string> header = {"JOB", "NAME", "PHASE", "VERDICT", "RUNS", "SUBMITTED", "BY"};
  if (ranked) header.push_back("PRIORITY");
  if (parts) header.insert(header.end(), {"SUITE", "PART"});
  Table table(std::move(header));
  const std::string& cluster = reply.identity().cluster_id();
  for (const v1::JobStatus& job : reply.jobs()) {
    std::vector<std::string> cells = {DisplayJob(cluster, JobId{job.job_id()}),
                                      job.name(),
                                      PhaseText(v1::JobPhase_Name(job.phase()), 10),
                                      VerdictText(job.verdict()),
                                      absl::StrCat(job.runs_ended(), "/", job.runs_total()),
                                      FormatUnixTime(job.submitted_unix_ns()),
                                      job.by().name()};
    if (ranked) cells.push_back(absl::StrCat(job.priority()));
    if (parts) {
      const bool part = job.suite_id() != 0;
      cells.push_back(part ? DisplaySuite(cluster, job.suite_id()) : "-");
      cells.push_back(part ? job.part() : "-");
    }
    table.Add(std::move(cells));
  }
  return table.ToString() + MoreText(reply.left_out());
}

std::string RunsTable(const v1::ListRunsReply& reply) {
  const std::string& cluster = reply.identity().cluster_id();
  Table table({"RUN", "JOB", "POINT", "PHASE", "ATTEMPT", "VERDICT", "PLACEMENT", "WHY"});
  for (const v1::RunStatus& run : reply.runs()) {
    table.Add({DisplayRun(cluster, RunId{run.run_id()}), DisplayJob(cluster, JobId{run.job_id()}),
               PointText(run), PhaseText(v1::RunPhase_Name(run.phase()), 10),
               absl::StrCat(run.attempt()), VerdictText(run.verdict()),
               PlacementText(run.placement()), WhyText(run)});
  }
  return table.ToString() + MoreText(reply.left_out());
}

}  // namespace rackmark

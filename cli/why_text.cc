#include "absl/strings/str_join.h"
#include "cli/table.h"
#include "common/ids.h"
#include "common/text.h"
#include "common/time.h"

namespace rackmark {
namespace {

std::string FilterText(const v1::WhyReply& reply) {
  Table table({"DEVICES", "BECAUSE", "NODES"});
  for (const v1::FilteredDevices& filtered : reply.filtered()) {
    table.Add({absl::StrCat(filtered.devices()), filtered.constraint(),
               absl::StrJoin(filtered.examples(), ", ")});
  }
  table.Add({absl::StrCat(reply.devices_left()),
             absl::StrCat("can be had now, of ", reply.devices_total(), " known"), ""});
  return table.ToString();
}

std::string AheadText(const v1::WhyReply& reply) {
  Table table({"AHEAD", "NAME", "PHASE", "DEVICES"});
  for (const v1::JobAhead& ahead : reply.ahead()) {
    table.Add({DisplayJob(reply.identity().cluster_id(), JobId{ahead.job_id()}), ahead.name(),
               PhaseText(v1::JobPhase_Name(ahead.phase()), 10), absl::StrCat(ahead.devices())});
  }
  const int more = static_cast<int>(reply.ahead_total()) - reply.ahead_size();
  return absl::StrCat(table.ToString(), more > 0 ? absl::StrCat("and ", more, " more\n") : "");
}

// What the queue made of it at its last look.
std::string QueueText(const v1::WhyReply& reply) {
  std::string text;
  if (reply.position() > 0) {
    absl::StrAppend(&text, "place ", reply.position(), " in the queue, priority ", reply.priority(),
                    "\n");
  }
  if (!reply.has_last_pass()) return text;
  const v1::QueuePass& pass = reply.last_pass();
  if (pass.head_job_id() != 0) {
    absl::StrAppend(
        &text, "devices are kept for job ",
        DisplayJob(reply.identity().cluster_id(), JobId{pass.head_job_id()}),
        pass.has_head_in_ns()
            ? absl::StrCat(", which fits in ", FormatDuration(pass.head_in_ns()), " at the latest")
            : ", and nobody can say when it fits",
        "\n");
  }
  if (pass.candidates() > 0) {
    absl::StrAppend(&text, pass.candidates(),
                    pass.candidates() == 1 ? " job behind it was" : " jobs behind it were",
                    " tried on what it leaves", pass.candidates_cut() ? ", others not" : "", "\n");
  }
  if (pass.passed_over() > 0) {
    absl::StrAppend(&text, pass.passed_over(), pass.passed_over() == 1 ? " job is" : " jobs are",
                    " passed over: no node that is here now would do for ",
                    pass.passed_over() == 1 ? "it" : "them", "\n");
  }
  return text;
}

}  // namespace

std::string WhyText(const v1::WhyReply& reply) {
  std::string text = EscapeControl(reply.summary()) + "\n";
  if (reply.job().phase() == v1::JOB_PHASE_QUEUED) {
    absl::StrAppend(&text, "\n", FilterText(reply));
  }
  if (reply.ahead_size() > 0) absl::StrAppend(&text, "\n", AheadText(reply));
  if (const std::string queue = QueueText(reply); !queue.empty()) {
    absl::StrAppend(&text, "\n", queue);
  }
  if (reply.has_next_deadline()) {
    absl::StrAppend(&text, "\nnext deadline: ", EscapeControl(reply.next_deadline().what()), " in ",
                    FormatDuration(reply.next_deadline().in_ns()), "\n");
  }
  return text;
}

}  // namespace rackmark

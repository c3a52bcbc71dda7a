// What is made of the tables of commands and flags, and how answers about jobs look.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "absl/strings/str_replace.h"
#include "cli/command_table.h"
#include "cli/completion.h"
#include "cli/exit_status.h"
#include "cli/fleet_text.h"
#include "cli/screen.h"
#include "cli/support.h"
#include "cli/table.h"
#include "cli/validate.h"
#include "common/exit_codes.h"
#include "common/time.h"

namespace rackmark {
namespace {

using testing::HasSubstr;

TEST(CommandTable, RowsAreWhole) {
  std::set<std::string_view> names;
  for (const Command& command : Commands()) {
    EXPECT_TRUE(names.insert(command.name).second) << command.name;
    EXPECT_LE(command.words_min, command.words_max) << command.name;
    EXPECT_EQ(command.word == Thing::kNothing, command.words_max == 0) << command.name;
    EXPECT_EQ(command.word == Thing::kChoice, !ChoicesOf(command).empty()) << command.name;
    std::set<std::string_view> flags = {"output", "help", "version"};
    for (const FlagRow& row : FlagRows()) {
      if ((row.groups & command.groups) == 0) continue;
      EXPECT_TRUE(flags.insert(row.name).second) << command.name << " --" << row.name;
      EXPECT_EQ(row.value == Thing::kNothing,
                std::holds_alternative<bool CommandLine::*>(row.member))
          << row.name;
    }
    const auto help = HelpText(std::string(command.name));
    ASSERT_TRUE(help.ok());
    EXPECT_THAT(*help, HasSubstr(std::string(command.summary)));
  }
}

TEST(Completion, EachShellIsToldOfEveryCommandAndFlag) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto script = CompletionScript(shell);
    ASSERT_TRUE(script.ok());
    for (const Command& command : Commands()) {
      EXPECT_THAT(*script, HasSubstr(std::string(command.name))) << shell;
    }
    for (const FlagRow& row : FlagRows()) {
      const std::string flag = std::string(shell) == "fish" ? " -l " + std::string(row.name)
                                                            : "--" + std::string(row.name);
      EXPECT_THAT(*script, HasSubstr(flag)) << shell;
    }
    // A quote in a text closes its string, stands alone, and opens the next.
    const std::string rest = absl::StrReplaceAll(*script, {{"'\\''", ""}});
    EXPECT_EQ(std::count(rest.begin(), rest.end(), '\'') % 2, 0) << shell;
    if (std::string(shell) == "bash") continue;  // it shows no descriptions
    EXPECT_THAT(*script, HasSubstr("coordinator'\\''s databases")) << shell;
  }
  EXPECT_FALSE(CompletionScript("tcsh").ok());
}

TEST(Table, ColumnsAreThoseOfATerminal) {
  Table table({"NAME", "PHASE"});
  table.Add({"na\xc3\xafve", "up"});
  table.Add({"plain", "lost"});
  EXPECT_EQ(table.ToString(), "NAME   PHASE\nna\xc3\xafve  up\nplain  lost\n");
}

TEST(WhyText, Golden) {
  v1::WhyReply reply;
  reply.mutable_identity()->set_cluster_id("c0ffee00aa");
  reply.mutable_job()->set_phase(v1::JOB_PHASE_QUEUED);
  reply.set_summary("job 3 waits\x1b[31m for devices");
  reply.set_devices_total(6);
  reply.set_devices_left(1);
  v1::FilteredDevices& held = *reply.add_filtered();
  held.set_constraint("leased to job 1");
  held.set_devices(4);
  held.add_examples("n1");
  held.add_examples("n2\n");
  v1::FilteredDevices& lost = *reply.add_filtered();
  lost.set_constraint("node is LOST");
  lost.set_devices(1);
  lost.add_examples("n3");
  v1::JobAhead& ahead = *reply.add_ahead();
  ahead.set_job_id(1);
  ahead.set_name("first");
  ahead.set_phase(v1::JOB_PHASE_ACTIVE);
  ahead.set_devices(4);
  reply.set_ahead_total(2);
  reply.mutable_next_deadline()->set_what("node n3 is taken for lost");
  reply.mutable_next_deadline()->set_in_ns(2 * kSecond);
  EXPECT_EQ(WhyText(reply),
            "job 3 waits\\x1b[31m for devices\n"
            "\n"
            "DEVICES  BECAUSE                     NODES\n"
            "4        leased to job 1             n1, n2\\n\n"
            "1        node is LOST                n3\n"
            "1        can be had now, of 6 known\n"
            "\n"
            "AHEAD        NAME   PHASE   DEVICES\n"
            "c0ffee00-j1  first  active  4\n"
            "and 1 more\n"
            "\n"
            "next deadline: node n3 is taken for lost in 2 s\n");
}

TEST(WhyText, SaysWhatTheQueueMadeOfIt) {
  v1::WhyReply reply;
  reply.mutable_identity()->set_cluster_id("c0ffee00aa");
  reply.mutable_job()->set_phase(v1::JOB_PHASE_ACTIVE);
  reply.set_summary("job 3 waits");
  reply.set_position(2);
  reply.set_priority(-7);
  v1::QueuePass& pass = *reply.mutable_last_pass();
  pass.set_head_job_id(1);
  pass.set_head_in_ns(90 * kSecond);
  pass.set_candidates(500);
  pass.set_candidates_cut(true);
  pass.set_passed_over(1);
  EXPECT_EQ(WhyText(reply),
            "job 3 waits\n"
            "\n"
            "place 2 in the queue, priority -7\n"
            "devices are kept for job c0ffee00-j1, which fits in 1 min 30 s at the latest\n"
            "500 jobs behind it were tried on what it leaves, others not\n"
            "1 job is passed over: no node that is here now would do for it\n");
  pass.Clear();
  pass.set_head_job_id(1);
  reply.set_position(0);
  EXPECT_EQ(WhyText(reply),
            "job 3 waits\n\ndevices are kept for job c0ffee00-j1, and nobody can say when it "
            "fits\n");
}

TEST(JobsTable, ShowsPriorityAndSuiteWhereAnyHasOne) {
  v1::ListJobsReply reply;
  reply.mutable_identity()->set_cluster_id("c0ffee00aa");
  v1::JobStatus& job = *reply.add_jobs();
  job.set_job_id(1);
  job.set_name("a");
  EXPECT_THAT(JobsTable(reply), testing::Not(HasSubstr("PRIORITY")));
  EXPECT_THAT(JobsTable(reply), testing::Not(HasSubstr("SUITE")));
  v1::JobStatus& other = *reply.add_jobs();
  other.set_job_id(2);
  other.set_priority(-5);
  EXPECT_THAT(JobsTable(reply), HasSubstr("PRIORITY\n"));
  EXPECT_THAT(JobsTable(reply), HasSubstr(" -5\n"));
  other.set_suite_id(3);
  other.set_part("smoke");
  EXPECT_THAT(JobsTable(reply), HasSubstr("PRIORITY  SUITE        PART\n"));
  EXPECT_THAT(JobsTable(reply), HasSubstr("c0ffee00-s3  smoke\n"));
  EXPECT_THAT(JobsTable(reply), HasSubstr("0         -            -\n"));
}

TEST(Lists, SayHowManyTheyLeaveOut) {
  constexpr const char* kMore = "\nand 23 more; --limit N lists more, as many as";
  v1::ListJobsReply jobs;
  EXPECT_THAT(JobsTable(jobs), testing::Not(HasSubstr("more")));
  jobs.set_left_out(23);
  EXPECT_THAT(JobsTable(jobs), HasSubstr(kMore));
  v1::ListRunsReply runs;
  runs.set_left_out(23);
  EXPECT_THAT(RunsTable(runs), HasSubstr(kMore));
  v1::ListSuitesReply suites;
  suites.set_left_out(23);
  EXPECT_THAT(SuitesTable(suites), HasSubstr(kMore));
  v1::ListSchedulesReply schedules;
  schedules.set_left_out(23);
  EXPECT_THAT(SchedulesTable(schedules), HasSubstr("\nand 23 more, which did not fit"));
}

TEST(NodesTable, SaysWhatPeopleAndOffencesMadeOfANode) {
  v1::NodeStatus node;
  EXPECT_EQ(StateText(node), "-");
  node.set_standing(v1::STANDING_GOOD);
  EXPECT_EQ(StateText(node), "-");
  node.set_cordoned(true);
  EXPECT_EQ(StateText(node), "cordoned");
  node.set_drain(true);
  EXPECT_EQ(StateText(node), "draining");
  node.set_standing(v1::STANDING_QUARANTINED);
  EXPECT_EQ(StateText(node), "draining, quarantined");
  node.set_cordoned(false);
  node.set_standing(v1::STANDING_PROBATION);
  EXPECT_EQ(StateText(node), "probation");
  node.mutable_info()->set_name("n1");
  node.set_phase(v1::NODE_PHASE_UP);
  node.set_standing_reason("xid 79\x1b");
  v1::ListNodesReply nodes;
  *nodes.add_nodes() = node;
  EXPECT_EQ(NodesTable(nodes),
            "NODE  PHASE  STATE      DEVICES  FREE  LAST HEARD  REASON\n"
            "n1    up     probation  0        0     missing     xid 79\\x1b\n");
  v1::ChangeNodeReply changed;
  *changed.mutable_node() = node;
  changed.set_changed(true);
  EXPECT_EQ(NodeChangeText(changed), "node n1: now probation\n");
  changed.mutable_node()->set_standing(v1::STANDING_GOOD);
  changed.set_changed(false);
  EXPECT_EQ(NodeChangeText(changed), "node n1: still in use; nothing changed\n");
  EXPECT_EQ(ForgottenText(changed),
            "node n1: forgotten; a worker that comes under this name is a new node\n");
}

v1::SuiteStatus SomeSuite() {
  v1::SuiteStatus suite;
  suite.set_suite_id(3);
  suite.set_name("rack");
  v1::JobStatus& smoke = *suite.add_jobs();
  smoke.set_job_id(7);
  smoke.set_part("smoke");
  smoke.set_name("rack-smoke");
  smoke.set_phase(v1::JOB_PHASE_ACTIVE);
  smoke.set_runs_total(2);
  v1::JobStatus& serve = *suite.add_jobs();
  serve.set_job_id(8);
  serve.set_part("serve");
  serve.set_name("served");
  serve.set_phase(v1::JOB_PHASE_QUEUED);
  serve.set_runs_total(1);
  serve.add_waiting_reasons("waits for smoke");
  return suite;
}

TEST(SuiteText, Golden) {
  v1::SuiteStatus suite = SomeSuite();
  suite.set_checked(true);
  v1::Finding& finding = *suite.add_findings();
  finding.set_kind(v1::FINDING_KIND_SWAPPED);
  finding.set_node("n1");
  finding.set_slot("2");
  finding.set_what("serial");
  finding.set_expected("s1");
  finding.set_found("s2\x1b");
  EXPECT_EQ(SuiteText("c0ffee00aa", suite),
            "suite c0ffee00-s3: rack is open\n"
            "\n"
            "FINDING  NODE  DEVICE  SLOT  SERIAL  WHAT    EXPECTED  FOUND\n"
            "swapped  n1    -       2     -       serial  s1        s2\\x1b\n"
            "\n"
            "PART   JOB          NAME        PHASE   VERDICT  RUNS\n"
            "smoke  c0ffee00-j7  rack-smoke  active  -        0/2\n"
            "serve  c0ffee00-j8  served      queued  -        0/1\n");
  suite.set_ended_unix_ns(1);
  suite.set_outcome(v1::SUITE_OUTCOME_INCOMPLETE);
  EXPECT_THAT(SuiteText("c0ffee00aa", suite),
              testing::StartsWith("suite c0ffee00-s3: rack ended with INCOMPLETE\n"));
  v1::ListSuitesReply reply;
  reply.mutable_identity()->set_cluster_id("c0ffee00aa");
  *reply.add_suites() = suite;
  EXPECT_THAT(SuitesTable(reply), HasSubstr("c0ffee00-s3  rack  INCOMPLETE  0/2   1 "));
}

TEST(SuiteNews, SaysEachChangeOnce) {
  SuiteNews news;
  v1::SuiteStatus suite = SomeSuite();
  EXPECT_THAT(news.Lines(suite, kSecond),
              testing::ElementsAre("[   1.0 s] smoke: active, 0/2 runs",
                                   "[   1.0 s] serve: queued, 0/1 runs: waits for smoke"));
  EXPECT_THAT(news.Lines(suite, 2 * kSecond), testing::IsEmpty());
  suite.set_checked(true);
  suite.mutable_jobs(0)->set_phase(v1::JOB_PHASE_ENDED);
  suite.mutable_jobs(0)->set_verdict(v1::VERDICT_PASS);
  EXPECT_THAT(news.Lines(suite, 3 * kSecond),
              testing::ElementsAre("[   3.0 s] what is expected was looked at: all of it is there",
                                   "[   3.0 s] smoke: ended with PASS"));
}

TEST(ScheduleText, SaysWhatIsNextAndWhatWasMissed) {
  v1::ScheduleStatus status;
  status.mutable_schedule()->set_name("nightly");
  status.mutable_schedule()->set_when("30 1 * * *");
  status.add_next_unix_ns(1'795'311'000 * kSecond);
  status.mutable_missed()->set_count(3);
  status.mutable_missed()->set_last_unix_ns(1'795'138'200 * kSecond);
  v1::ListSchedulesReply reply;
  *reply.add_schedules() = status;
  const std::string table = SchedulesTable(reply);
  EXPECT_THAT(table, HasSubstr("nightly   30 1 * * *  UTC   2026-11-2"));
  EXPECT_THAT(table, HasSubstr("missed 3, the last 2026-11-2"));
  reply.mutable_schedules(0)->set_held("waits for maintenance");
  EXPECT_THAT(SchedulesTable(reply),
              HasSubstr("waits for maintenance; missed 3, the last 2026-11-2"));
  reply.mutable_schedules(0)->clear_missed();
  EXPECT_THAT(SchedulesTable(reply), HasSubstr("waits for maintenance\n"));
  reply.mutable_schedules(0)->mutable_schedule()->set_suspend(true);
  EXPECT_THAT(SchedulesTable(reply), HasSubstr("suspended"));
  v1::ApplyScheduleReply applied;
  *applied.mutable_schedule() = reply.schedules(0);
  applied.set_changed(true);
  EXPECT_EQ(ScheduleText(applied),
            "schedule nightly is set; it is suspended, and begins nothing\n");
}

TEST(ExitStatus, OfWordsThatAreWrongIsNotThatOfAFile) {
  const absl::Status wrong = absl::InvalidArgumentError("the grace must be 0 to 1 h");
  EXPECT_EQ(ExitOfCall(wrong), kExitBadSpec);
  EXPECT_EQ(ExitOfWords(wrong), kExitUsage);
  EXPECT_EQ(ExitOfWords(absl::UnavailableError("")), kExitUnreachable);
  EXPECT_EQ(ExitOfWords(absl::PermissionDeniedError("")), kExitRefused);
}

TEST(ExitStatus, OfASuiteIsItsOutcome) {
  EXPECT_EQ(ExitOf(v1::SUITE_OUTCOME_PASS), kExitPass);
  EXPECT_EQ(ExitOf(v1::SUITE_OUTCOME_FAIL), kExitFail);
  EXPECT_EQ(ExitOf(v1::SUITE_OUTCOME_INCOMPLETE), kExitIncomplete);
  EXPECT_EQ(ExitOf(v1::SUITE_OUTCOME_UNKNOWN), kExitInternal);
}

TEST(WhyText, OnlyTheAnswerWhereNothingIsWaitedFor) {
  v1::WhyReply reply;
  reply.mutable_job()->set_phase(v1::JOB_PHASE_ENDED);
  reply.set_summary("job 3 ended with PASS: all of its 1 run passed");
  EXPECT_EQ(WhyText(reply), "job 3 ended with PASS: all of its 1 run passed\n");
}

TEST(Output, WhatOthersSayReachesNoTerminalRaw) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(Complain(absl::NotFoundError("no node a; did you mean \x1b[2Jb\n?"), kExitUsage),
            kExitUsage);
  Warn("c\x1b");
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "rackmark: no node a; did you mean \\x1b[2Jb\\n?\nrackmark: warning: c\\x1b\n");
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  Screen(fds[1]).Say("lost the coordinator (\x1b]0;x\x07)");
  char bytes[64];
  const ssize_t n = read(fds[0], bytes, sizeof bytes);
  EXPECT_EQ(std::string(bytes, static_cast<size_t>(std::max<ssize_t>(n, 0))),
            "lost the coordinator (\\x1b]0;x\\x07)\n");
  close(fds[0]);
  close(fds[1]);
}

TEST(Completion, ALineBelowTheListIsNoJob) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    EXPECT_THAT(*CompletionScript(shell), HasSubstr("$1 ~ /-j[0-9]+$/ { print $1 }")) << shell;
  }
}

TEST(Validate, ThePlaceOfAnErrorIsRead) {
  const ValidationError placed = PlacedError("a:1.yaml", "a:1.yaml:12:3: spec: wrong; write right");
  EXPECT_EQ(placed.line, 12);
  EXPECT_EQ(placed.column, 3);
  EXPECT_EQ(PlacedError("a", "a:12: spec: wrong").line, 12);
  EXPECT_EQ(PlacedError("a", "a:12: spec: wrong").column, std::nullopt);
  for (const char* text : {"a: cannot be read", "b:1:2: x", "a:x:2: y", "--set x:1:2: y", "a:99"}) {
    EXPECT_EQ(PlacedError("a", text).line, std::nullopt) << text;
  }
}

}  // namespace
}  // namespace rackmark

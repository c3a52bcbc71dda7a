#include "cli/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/exit_status.h"
#include "cli/support.h"
#include "cli/table.h"
#include "common/exit_codes.h"

namespace rackmark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

v1::WatchJobReply Measuring() {
  v1::WatchJobReply reply;
  reply.mutable_job()->set_name("quickstart");
  reply.mutable_job()->set_phase(v1::JOB_PHASE_ACTIVE);
  reply.mutable_job()->set_runs_total(2);
  reply.mutable_job()->set_runs_ended(1);
  reply.set_lease_phase(v1::LEASE_PHASE_ACTIVE);
  v1::RunStatus& run = *reply.add_runs();
  run.set_phase(v1::RUN_PHASE_MEASURING);
  run.set_rank_phase(v1::RANK_PHASE_MEASURING);
  run.set_attempt(2);
  v1::LiveFigures& live = *reply.mutable_live();
  live.set_output_tok_s(842.4);
  live.set_ttft_p50_ms(12.1);
  live.set_ttft_p95_ms(30.25);
  live.set_requests_running(5);
  live.set_requests_waiting(0);
  live.set_requests_done(57);
  live.set_kv_blocks_used(33);
  live.set_rss_bytes(512 << 20);
  return reply;
}

TEST(Progress, ARunBehindOneThatIsJudgedHasItsOwnNumber) {
  v1::WatchJobReply reply = Measuring();
  reply.mutable_job()->set_runs_total(3);
  EXPECT_THAT(PlainLine(reply, kSecond), HasSubstr("run 2 of 3"));
  reply.mutable_runs(0)->set_phase(v1::RUN_PHASE_JUDGING);
  EXPECT_THAT(PlainLine(reply, kSecond), HasSubstr("run 2 of 3"));
  reply.add_runs()->set_phase(v1::RUN_PHASE_PREPARING);
  EXPECT_THAT(PlainLine(reply, kSecond), HasSubstr("run 3 of 3"));
}

TEST(Progress, PhaseWordsFollowTheJobsLife) {
  v1::WatchJobReply reply;
  reply.mutable_job()->set_phase(v1::JOB_PHASE_QUEUED);
  EXPECT_EQ(PhaseWord(reply), "placing");
  reply.mutable_job()->set_phase(v1::JOB_PHASE_ACTIVE);
  const std::pair<v1::LeasePhase, const char*> leases[] = {
      {v1::LEASE_PHASE_STARTING, "starting"},
      {v1::LEASE_PHASE_RENDEZVOUS, "rendezvous"},
      {v1::LEASE_PHASE_RELEASING, "releasing"}};
  for (const auto& [phase, word] : leases) {
    reply.set_lease_phase(phase);
    EXPECT_EQ(PhaseWord(reply), word);
  }
  v1::RunStatus& run = *reply.add_runs();
  const std::pair<v1::RunPhase, const char*> runs[] = {{v1::RUN_PHASE_PREPARING, "preparing"},
                                                       {v1::RUN_PHASE_MEASURING, "running"},
                                                       {v1::RUN_PHASE_DRAINING, "draining"},
                                                       {v1::RUN_PHASE_JUDGING, "judging"}};
  for (const auto& [phase, word] : runs) {
    run.set_phase(phase);
    EXPECT_EQ(PhaseWord(reply), word);
  }
  run.set_phase(v1::RUN_PHASE_MEASURING);
  const std::pair<v1::RankPhase, const char*> ranks[] = {
      {v1::RANK_PHASE_PREPARED, "warming up"},     {v1::RANK_PHASE_WARMING, "warming up"},
      {v1::RANK_PHASE_CALIBRATING, "calibrating"}, {v1::RANK_PHASE_MEASURING, "measuring"},
      {v1::RANK_PHASE_DONE, "draining"},           {v1::RANK_PHASE_VERIFYING, "verifying"}};
  for (const auto& [phase, word] : ranks) {
    run.set_rank_phase(phase);
    EXPECT_EQ(PhaseWord(reply), word);
  }
  reply.mutable_job()->set_phase(v1::JOB_PHASE_ENDED);
  EXPECT_EQ(PhaseWord(reply), "ended");
}

TEST(Progress, PlainLineGolden) {
  EXPECT_EQ(PlainLine(Measuring(), 12340 * kMillisecond),
            "[  12.3 s] measuring, run 2 of 2, attempt 2: 842 tok/s, TTFT p50 12.1 ms p95 30.2 ms, "
            "5 running, 0 waiting, 57 done, 33 KV blocks, memory 512 MiB");
}

TEST(Progress, MissingFiguresAreLeftOutAndNeverZero) {
  v1::WatchJobReply reply = Measuring();
  reply.clear_live();
  EXPECT_EQ(PlainLine(reply, kSecond), "[   1.0 s] measuring, run 2 of 2, attempt 2");
  reply.mutable_live()->set_ttft_p50_ms(3);
  EXPECT_EQ(PlainLine(reply, kSecond),
            "[   1.0 s] measuring, run 2 of 2, attempt 2: TTFT p50 3 ms");
}

TEST(Progress, WaitingSaysWhyAndHostileTextIsHarmless) {
  v1::WatchJobReply reply;
  reply.mutable_job()->set_phase(v1::JOB_PHASE_QUEUED);
  reply.mutable_job()->set_runs_total(1);
  reply.mutable_job()->add_waiting_reasons("2 nodes \x1b[31mbusy");
  EXPECT_EQ(PlainLine(reply, 0), "[   0.0 s] placing, run 1 of 1: 2 nodes \\x1b[31mbusy");
  for (const std::string& line : LiveLines(reply, 0, {60, false})) {
    EXPECT_THAT(line, Not(HasSubstr("\x1b")));
  }
}

TEST(Progress, LiveViewGolden) {
  EXPECT_THAT(
      LiveLines(Measuring(), 12340 * kMillisecond, {120, false, true}),
      ElementsAre("quickstart  run 2 of 2, attempt 2  measuring  12.3 s",
                  "  starting rendezvous preparing warming up calibrating [measuring] verifying "
                  "draining judging",
                  "  842 tok/s   TTFT p50 12.1 ms p95 30.2 ms",
                  "  5 running   0 waiting   57 done   33 KV blocks   memory 512 MiB"));
}

// A replayed trace and a null run have nothing to calibrate.
TEST(Progress, OnlyWhatCalibratesHasItOnItsTrack) {
  const std::string track = LiveLines(Measuring(), kSecond, {120, false})[1];
  EXPECT_EQ(track,
            "  starting rendezvous preparing warming up [measuring] verifying draining judging");
  v1::WatchJobReply reply = Measuring();
  for (v1::RunStatus& run : *reply.mutable_runs()) {
    run.set_rank_phase(v1::RANK_PHASE_CALIBRATING);
  }
  EXPECT_THAT(LiveLines(reply, kSecond, {120, false})[1], HasSubstr("[calibrating] measuring"));
}

TEST(Progress, NoLineIsWiderThanTheTerminal) {
  for (const int width : {1, 10, 39, 80, 95}) {
    for (const std::string& line : LiveLines(Measuring(), kSecond, {width, false})) {
      EXPECT_LE(static_cast<int>(line.size()), width) << line;
    }
  }
  EXPECT_EQ(LiveLines(Measuring(), kSecond, {40, true})[1],
            "  [measuring] verifying draining judging");
  EXPECT_EQ(FitLine("abcdef", 4), "abc~");
  EXPECT_EQ(FitLine("\xc3\xa4\xc3\xa4\xc3\xa4", 4), "\xc3\xa4~");
  EXPECT_EQ(FitLine("abc", 0), "");
}

TEST(Progress, TheNextRunIsShownWhileTheFormerIsJudged) {
  v1::WatchJobReply reply = Measuring();
  reply.add_runs()->set_phase(v1::RUN_PHASE_JUDGING);
  EXPECT_EQ(PhaseWord(reply), "measuring");
  reply.mutable_runs(0)->set_phase(v1::RUN_PHASE_ENDED);
  EXPECT_EQ(PhaseWord(reply), "judging");
}

TEST(ExitStatus, EachVerdictHasItsOwn) {
  const std::pair<v1::Verdict, int> table[] = {
      {v1::VERDICT_PASS, 0},        {v1::VERDICT_FAIL, 1},    {v1::VERDICT_INVALID, 3},
      {v1::VERDICT_SKIPPED, 6},     {v1::VERDICT_ERROR, 4},   {v1::VERDICT_TIMEOUT, 5},
      {v1::VERDICT_CANCELLED, 130}, {v1::VERDICT_UNKNOWN, 70}};
  for (const auto& [verdict, exit] : table) EXPECT_EQ(ExitOf(verdict), exit);
  EXPECT_EQ(VerdictText(v1::VERDICT_INVALID), "INVALID");
  EXPECT_EQ(VerdictText(v1::VERDICT_UNKNOWN), "-");
}

TEST(ExitStatus, ErrorsOfCalls) {
  EXPECT_EQ(ExitOfCall(absl::UnavailableError("")), kExitUnreachable);
  EXPECT_EQ(ExitOfCall(absl::DeadlineExceededError("")), kExitUnreachable);
  EXPECT_EQ(ExitOfCall(absl::InvalidArgumentError("")), kExitBadSpec);
  EXPECT_EQ(ExitOfCall(absl::PermissionDeniedError("")), kExitRefused);
  EXPECT_EQ(ExitOfCall(absl::ResourceExhaustedError("")), kExitRefused);
  EXPECT_EQ(ExitOfCall(absl::FailedPreconditionError("no common protocol version: 2 to 3")),
            kExitProtocol);
  EXPECT_EQ(ExitOfCall(absl::FailedPreconditionError("not yet judged")), kExitUsage);
}

TEST(Table, ColumnsAlignAndTextIsEscaped) {
  v1::ListRunsReply reply;
  reply.mutable_identity()->set_cluster_id("0123456789abcdef");
  v1::RunStatus& run = *reply.add_runs();
  run.set_run_id(17);
  run.set_job_id(3);
  run.set_phase(v1::RUN_PHASE_ENDED);
  run.set_attempt(1);
  run.set_verdict(v1::VERDICT_INVALID);
  run.set_repetition(1);
  (*run.mutable_point())["load.rate"] = "4/s";
  run.add_reasons("bad \x1b]0;x\x07 title");
  v1::RankPlace& place = *run.mutable_placement()->add_ranks();
  place.set_node("local-0");
  EXPECT_EQ(RunsTable(reply),
            "RUN           JOB          POINT             PHASE  ATTEMPT  VERDICT  PLACEMENT  WHY\n"
            "01234567-r17  01234567-j3  load.rate=4/s #1  ended  1        INVALID  local-0:0  bad "
            "\\x1b]0;x\\x07 title\n");
}

TEST(Table, NodesSayWhatIsMissing) {
  v1::ListNodesReply reply;
  v1::NodeStatus& node = *reply.add_nodes();
  node.mutable_info()->set_name("n1");
  node.mutable_info()->add_devices();
  node.add_devices()->set_healthy(true);
  node.set_phase(v1::NODE_PHASE_LOST);
  EXPECT_EQ(NodesTable(reply),
            "NODE  PHASE  STATE  DEVICES  FREE  LAST HEARD  REASON\n"
            "n1    lost   -      1        1     missing\n");
  reply.set_left_out(3);
  EXPECT_THAT(NodesTable(reply), HasSubstr("\nand 3 nodes more, which the coordinator left out\n"));
}

TEST(JobName, AllSpellings) {
  const std::string cluster = "0123456789abcdef";
  for (const char* good : {"3", "j3", "01234567-j3", "01234567-3"}) {
    ASSERT_TRUE(ParseJobName(good, cluster).ok()) << good;
    EXPECT_EQ(*ParseJobName(good, cluster), 3u);
  }
  for (const char* bad : {"", "j", "0", "-3", "3x", "abcdef01-j3", "99999999999999999999"}) {
    EXPECT_FALSE(ParseJobName(bad, cluster).ok()) << bad;
  }
}

}  // namespace
}  // namespace rackmark

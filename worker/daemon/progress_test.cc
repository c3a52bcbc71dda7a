// What counts as getting on, and what does not.
#include "worker/daemon/progress.h"

#include "gtest/gtest.h"
#include "samples/chunk_codec.h"
#include "worker/daemon/report_builder.h"

namespace rackmark {
namespace {

v1::ChunkPayload PayloadOf(SeriesId series) {
  v1::ChunkPayload payload;
  PayloadBuilder(&payload).Add(series, 5, 1.0);
  return payload;
}

TEST(Progress, ResultsCountAndTelemetryDoesNot) {
  EXPECT_TRUE(HasResults(PayloadOf(SeriesId::kStepCompute)));
  EXPECT_FALSE(HasResults(PayloadOf(SeriesId::kRankCpu)));
  v1::ChunkPayload requests;
  requests.add_requests();
  EXPECT_TRUE(HasResults(requests));
  v1::ChunkPayload sketches;
  sketches.add_sketches();
  EXPECT_FALSE(HasResults(sketches));
}

TEST(Progress, AColumnWithoutANameOrAValueIsNoResult) {
  v1::ChunkPayload broken = PayloadOf(SeriesId::kStepCompute);
  broken.mutable_columns(0)->set_name(1U << 31U);
  EXPECT_FALSE(HasResults(broken));
  v1::ChunkPayload empty = PayloadOf(SeriesId::kStepCompute);
  empty.mutable_columns(0)->clear_value();
  EXPECT_FALSE(HasResults(empty));
}

TEST(Progress, TheLastStatusSaidAgainIsNoNews) {
  LocalRank rank;
  rank.run = {7, 2};
  rank.phase = v1::RANK_PHASE_MEASURING;
  rank.note = "load 3 requests/s";
  v1::RankStatus status;
  status.set_run_id(7);
  status.set_attempt(2);
  status.set_phase(v1::RANK_PHASE_MEASURING);
  status.set_note("load 3 requests/s");
  EXPECT_FALSE(IsNews(rank, status));
  v1::RankStatus other = status;
  other.set_note("load 4 requests/s");
  EXPECT_TRUE(IsNews(rank, other));
  other = status;
  other.set_phase(v1::RANK_PHASE_VERIFYING);
  EXPECT_TRUE(IsNews(rank, other));
  other = status;
  other.set_attempt(3);
  EXPECT_TRUE(IsNews(rank, other));
}

// Frames come ten times a second: the regular Report carries the count, and none goes out for it.
TEST(Progress, IsReportedWithinARunAndCausesNoReport) {
  LocalState state;
  LocalRank& rank = state.leases[1].ranks[0];
  rank.progress = 3;
  EXPECT_FALSE(BuildReport(state, {}, 0).leases(0).ranks(0).has_progress());
  rank.run = {7, 2};
  const v1::Report before = BuildReport(state, {}, 0);
  EXPECT_EQ(before.leases(0).ranks(0).progress(), 3U);
  ++rank.progress;
  const v1::Report after = BuildReport(state, {}, 0);
  EXPECT_EQ(after.leases(0).ranks(0).progress(), 4U);
  EXPECT_EQ(Fingerprint(before), Fingerprint(after));
}

}  // namespace
}  // namespace rackmark

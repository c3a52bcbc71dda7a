#include "coordinator/fit_report.h"

#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

constexpr size_t kMessage = (4 << 20) - (64 << 10);

void Fill(v1::Quantiles& quantiles) {
  quantiles.set_unit("ms");
  quantiles.set_count(1000);
  quantiles.set_p50(1.5);
  for (int i = 0; i < 200; ++i) {
    v1::CdfPoint* point = quantiles.add_cdf();
    point->set_value(i + 0.1);
    point->set_share(i / 200.0 + 0.001);
  }
}

// A serve run of two ranks, as large as they come.
v1::RunSummary ServeRun(uint64_t id) {
  v1::RunSummary run;
  run.set_run_id(id);
  run.set_attempt(1);
  run.set_verdict(v1::VERDICT_PASS);
  run.mutable_spec()->mutable_serve()->set_model("tiny-30m");
  run.mutable_serve()->set_output_tok_s(123.4);
  Fill(*run.mutable_serve()->mutable_ttft_ms());
  Fill(*run.mutable_serve()->mutable_ttft_service_ms());
  Fill(*run.mutable_serve()->mutable_tpot_ms());
  Fill(*run.mutable_serve()->mutable_itl_ms());
  Fill(*run.mutable_serve()->mutable_e2e_ms());
  for (uint32_t rank = 0; rank < 2; ++rank) {
    run.add_ranks()->set_rank(rank);
    v1::RankPlace* place = run.mutable_placement()->add_ranks();
    place->set_rank(rank);
    place->set_node("n1");
  }
  run.add_collectives()->set_op("allreduce");
  run.add_nodes()->mutable_environment()->set_kernel(std::string(500, 'k'));
  v1::TimeSeries* series = run.add_series();
  series->set_name("serve.running");
  for (int i = 0; i < 200; ++i) series->add_value(i + 0.5);
  return run;
}

v1::JobSummary Sweep(int runs) {
  v1::JobSummary summary;
  summary.set_job_name("sweep");
  for (int i = 0; i < runs; ++i) *summary.add_runs() = ServeRun(static_cast<uint64_t>(i) + 1);
  return summary;
}

// How many runs say that it was left out.
std::map<std::string, int> LeftOut(const v1::JobSummary& summary) {
  std::map<std::string, int> out;
  for (const v1::RunSummary& run : summary.runs()) {
    for (const v1::MissingValue& missing : run.missing()) {
      EXPECT_THAT(missing.reason(), HasSubstr("would not fit into one message"));
      ++out[missing.name()];
    }
  }
  return out;
}

TEST(FitReport, WhatFitsIsLeftAsItIs) {
  v1::JobSummary summary = Sweep(20);
  const std::string before = summary.SerializeAsString();
  ASSERT_TRUE(FitReport(summary, kMessage).ok());
  EXPECT_EQ(summary.SerializeAsString(), before);
}

TEST(FitReport, ALargeSweepLosesItsChartsAndThenItsDistributions) {
  v1::JobSummary summary = Sweep(300);
  ASSERT_GT(summary.ByteSizeLong(), kMessage);
  ASSERT_TRUE(FitReport(summary, kMessage).ok());
  EXPECT_LE(summary.ByteSizeLong(), kMessage);
  ASSERT_EQ(summary.runs_size(), 300);
  const auto left_out = LeftOut(summary);
  ASSERT_EQ(left_out.size(), 2U);
  EXPECT_EQ(left_out.at("series"), 300);
  EXPECT_GT(left_out.at("distributions"), 0);
  EXPECT_LT(left_out.at("distributions"), 300);
  EXPECT_EQ(summary.runs(0).serve().e2e_ms().cdf_size(), 200);  // the last runs go first
  const v1::RunSummary& last = summary.runs(299);
  EXPECT_TRUE(last.serve().e2e_ms().cdf().empty());
  EXPECT_EQ(last.serve().e2e_ms().p50(), 1.5);
  EXPECT_EQ(last.serve().output_tok_s(), 123.4);
  EXPECT_EQ(last.ranks_size(), 2);
}

TEST(FitReport, TheLargestSweepKeepsItsVerdicts) {
  v1::JobSummary summary = Sweep(300);
  for (v1::RunSummary& run : *summary.mutable_runs()) run.add_reasons("because");
  ASSERT_TRUE(FitReport(summary, 60 << 10).ok());
  EXPECT_LE(summary.ByteSizeLong(), size_t{60 << 10});
  const v1::RunSummary& last = summary.runs(299);
  EXPECT_EQ(last.verdict(), v1::VERDICT_PASS);
  EXPECT_EQ(last.run_id(), 300U);
  EXPECT_EQ(last.reasons(0), "because");
  EXPECT_EQ(last.spec().serve().model(), "tiny-30m");
  EXPECT_FALSE(last.has_serve());
  ASSERT_EQ(last.missing_size(), 1);
  EXPECT_EQ(last.missing(0).name(), "everything but the verdict");
}

TEST(FitReport, WhatCannotFitIsRefusedWithTheRemedy) {
  v1::JobSummary summary = Sweep(300);
  const absl::Status refused = FitReport(summary, 1 << 10);
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("rackmark runs JOB"));
}

}  // namespace
}  // namespace rackmark

#include "report/compare.h"

#include <cmath>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "report/test_job.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Runs that PASS, with these capacities, of a null-less workload; everything else equal.
v1::JobSummary JobOf(const std::vector<double>& capacities, const std::string& point = "") {
  v1::JobSummary job;
  for (size_t i = 0; i < capacities.size(); ++i) {
    v1::RunSummary& run = *job.add_runs();
    run.set_run_id(i + 1);
    run.set_verdict(v1::VERDICT_PASS);
    run.mutable_spec()->set_repetition(static_cast<uint32_t>(i));
    if (!point.empty()) (*run.mutable_spec()->mutable_point())["load.rate"] = point;
    run.mutable_serve()->set_capacity_rate(capacities[i]);
  }
  return job;
}

MetricComparison Capacity(const v1::JobSummary& a, const v1::JobSummary& b,
                          CompareOptions options = {}) {
  const Comparison c = CompareJobs(a, b, options);
  EXPECT_EQ(c.points.size(), 1U);
  for (const MetricComparison& m : c.points[0].metrics) {
    if (m.name == "capacity") return m;
  }
  ADD_FAILURE() << "no capacity";
  return {};
}

TEST(Compare, TellsFasterFromSlowerFromSameFromCannotSay) {
  const v1::JobSummary a = JobOf({100, 101, 99});
  EXPECT_EQ(Capacity(a, JobOf({150, 151, 149})).verdict, CompareVerdict::kFaster);
  EXPECT_EQ(Capacity(a, JobOf({80, 81, 79})).verdict, CompareVerdict::kSlower);
  EXPECT_EQ(Capacity(a, JobOf({100.5, 101.5, 99.5})).verdict, CompareVerdict::kSame);
  EXPECT_EQ(Capacity(a, JobOf({60, 110, 200})).verdict, CompareVerdict::kCannotSay);
  // Surely another, but not by more than the tolerance: the same.
  const v1::JobSummary steady = JobOf({100, 100.1, 99.9});
  EXPECT_EQ(Capacity(steady, JobOf({103, 103.1, 102.9})).verdict, CompareVerdict::kSame);
  EXPECT_EQ(
      Capacity(steady, JobOf({103, 103.1, 102.9}), {.tolerance = 0.01, .stated_noise = {}}).verdict,
      CompareVerdict::kFaster);
}

TEST(Compare, LessIsBetterForTimes) {
  v1::JobSummary a = JobOf({1, 1, 1}), b = JobOf({1, 1, 1});
  for (int i = 0; i < 3; ++i) {
    a.mutable_runs(i)->mutable_overhead()->set_ns_per_sample(50 + i);
    b.mutable_runs(i)->mutable_overhead()->set_ns_per_sample(80 + i);
  }
  const Comparison c = CompareJobs(a, b, {});
  EXPECT_EQ(c.verdict, CompareVerdict::kSlower) << c.why;
  EXPECT_EQ(CompareJobs(b, a, {}).verdict, CompareVerdict::kFaster);
}

// Welch's interval on logarithms, computed by hand for these six numbers.
TEST(Compare, TheIntervalIsWelchs) {
  const MetricComparison m = Capacity(JobOf({std::exp(1.0), std::exp(2.0), std::exp(3.0)}),
                                      JobOf({std::exp(2.0), std::exp(2.5), std::exp(3.0)}));
  // means 2 and 2.5; variances 1 and 0.25; error sqrt(1/3 + 0.25/3) = 0.645497;
  // freedom (0.416667^2) / ((1/3)^2 / 2 + (0.25/3)^2 / 2) = 2.94 -> 2, whose t is 4.3027.
  EXPECT_NEAR(*m.ratio, std::exp(0.5), 1e-9);
  EXPECT_NEAR(m.interval->low, std::exp(0.5 - 4.3027 * 0.645497), 1e-5);
  EXPECT_NEAR(m.interval->high, std::exp(0.5 + 4.3027 * 0.645497), 1e-3);
  EXPECT_THAT(m.why, HasSubstr("Welch"));
}

TEST(Compare, OneRunEachCannotSayUnlessTheNoiseIsStated) {
  const v1::JobSummary a = JobOf({100}), b = JobOf({120});
  const MetricComparison unstated = Capacity(a, b);
  EXPECT_EQ(unstated.verdict, CompareVerdict::kCannotSay);
  EXPECT_FALSE(unstated.interval);
  EXPECT_THAT(unstated.why, HasSubstr("repeat the runs"));
  EXPECT_EQ(Capacity(a, b, {.tolerance = 0.05, .stated_noise = 0.1}).verdict,
            CompareVerdict::kFaster);
  EXPECT_EQ(Capacity(b, a, {.tolerance = 0.05, .stated_noise = 0.1}).verdict,
            CompareVerdict::kSlower);
  EXPECT_EQ(Capacity(a, b, {.tolerance = 0.05, .stated_noise = 0.25}).verdict,
            CompareVerdict::kSame);
  EXPECT_THAT(Capacity(a, b, {.tolerance = 0.05, .stated_noise = 0.1}).why, HasSubstr("stated"));
}

TEST(Compare, OneRunAgainstSeveralTakesTheirSpread) {
  const v1::JobSummary a = JobOf({100, 101, 99, 100, 101});
  EXPECT_EQ(Capacity(a, JobOf({130})).verdict, CompareVerdict::kFaster);
  EXPECT_EQ(Capacity(JobOf({130}), a).verdict, CompareVerdict::kSlower);
  EXPECT_EQ(Capacity(a, JobOf({100.2})).verdict, CompareVerdict::kSame);
  EXPECT_THAT(Capacity(a, JobOf({130})).why, HasSubstr("A's spread"));
}

TEST(Compare, OnlyRunsThatPassCountAndTheOthersAreNamed) {
  const v1::JobSummary a = JobOf({100, 101, 99});
  v1::JobSummary b = JobOf({100, 101, 5});
  b.mutable_runs(2)->set_verdict(v1::VERDICT_INVALID);
  const Comparison c = CompareJobs(a, b, {});
  ASSERT_EQ(c.points.size(), 1U);
  EXPECT_EQ(c.points[0].metrics[0].b_values.size(), 2U);
  ASSERT_EQ(c.notes.size(), 1U);
  EXPECT_EQ(c.notes[0], "the only point, repetition 3: B's run is INVALID and does not count");
}

TEST(Compare, PointsAndRepetitionsOfOneSideAreNamed) {
  v1::JobSummary a = JobOf({100, 101, 99}, "5");
  a.MergeFrom(JobOf({50, 51}, "7"));
  v1::JobSummary b = JobOf({100, 101}, "5");
  b.MergeFrom(JobOf({50, 51}, "9"));
  const Comparison c = CompareJobs(a, b, {});
  ASSERT_EQ(c.points.size(), 1U);
  EXPECT_EQ(c.points[0].point, "load.rate=5");
  EXPECT_THAT(c.notes,
              ::testing::ElementsAre("load.rate=5, repetition 3: only A has it",
                                     "load.rate=7: only A has it", "load.rate=9: only B has it"));
}

TEST(Compare, LatenciesUnderAnotherLoadAreNotJudged) {
  v1::JobSummary a = JobOf({100, 100.1, 99.9}), b = a;
  for (auto* job : {&a, &b}) {
    for (v1::RunSummary& run : *job->mutable_runs()) {
      const double jitter = 1 + 0.001 * static_cast<double>(run.run_id());
      run.mutable_serve()->set_requested_rate(job == &a ? 10 : 20);
      run.mutable_serve()->mutable_ttft_ms()->set_count(9);
      run.mutable_serve()->mutable_ttft_ms()->set_p50((job == &a ? 50 : 90) * jitter);
      run.mutable_serve()->mutable_ttft_ms()->set_p95((job == &a ? 70 : 99) * jitter);
    }
  }
  const Comparison c = CompareJobs(a, b, {});
  for (const MetricComparison& m : c.points[0].metrics) {
    if (m.name == "TTFT p50" || m.name == "TTFT p95") {
      EXPECT_EQ(m.verdict, CompareVerdict::kCannotSay);
      EXPECT_EQ(m.why, "the loads differ: 10.0 and 20.0 requests/s");
      EXPECT_TRUE(m.ratio);
    }
    if (m.name == "capacity") {
      EXPECT_EQ(m.verdict, CompareVerdict::kSame);
    }
  }
  for (v1::RunSummary& run : *b.mutable_runs()) run.mutable_serve()->set_requested_rate(10.1);
  const Comparison near = CompareJobs(a, b, {});
  EXPECT_EQ(near.verdict, CompareVerdict::kSlower) << near.why;
}

// `steps` of the null workload in `seconds`, of so many samples each.
v1::JobSummary NullJob(uint64_t steps, int seconds, uint32_t samples) {
  v1::JobSummary job = JobOf({1, 1, 1});
  for (v1::RunSummary& run : *job.mutable_runs()) {
    run.clear_serve();
    run.mutable_null()->set_steps(steps + run.run_id());
    run.mutable_spec()->mutable_null()->set_duration_ns(seconds * kSecond);
    run.mutable_spec()->mutable_null()->set_samples_per_step(samples);
  }
  return job;
}

TEST(Compare, NullRunsAreComparedByTheirRateUnderOnePlan) {
  const Comparison c = CompareJobs(NullJob(3000, 3, 16), NullJob(1000, 1, 16), {});
  ASSERT_EQ(c.points[0].metrics.size(), 1U);
  EXPECT_EQ(c.points[0].metrics[0].unit, "steps/s");
  EXPECT_NEAR(*c.points[0].metrics[0].ratio, 1, 0.01);
  EXPECT_EQ(c.verdict, CompareVerdict::kSame);
  EXPECT_EQ(CompareJobs(NullJob(3000, 3, 16), NullJob(500, 1, 16), {}).verdict,
            CompareVerdict::kSlower);
  const Comparison other = CompareJobs(NullJob(3000, 3, 16), NullJob(500, 1, 64), {});
  EXPECT_EQ(other.verdict, CompareVerdict::kCannotSay);
  EXPECT_EQ(other.points[0].metrics[0].why, "the plans differ: 16 and 64 samples in a step");
  v1::JobSummary held = NullJob(9000, 3, 16);
  for (v1::RunSummary& run : *held.mutable_runs()) {
    run.mutable_spec()->mutable_null()->mutable_hold()->set_phase(v1::HOLD_PHASE_MEASURING);
  }
  EXPECT_EQ(CompareJobs(NullJob(3000, 3, 16), held, {}).verdict, CompareVerdict::kCannotSay);
}

TEST(Compare, TheVerdictIsASentence) {
  EXPECT_EQ(CompareSentence(CompareVerdict::kSame), "B is the same");
  EXPECT_EQ(CompareSentence(CompareVerdict::kSlower), "B is slower");
  const v1::JobSummary job = FixedJob();
  const Comparison c = CompareJobs(job, job, {});
  for (const std::string& text : {RenderCompareTerminal(c, {}), RenderCompareMarkdown(c)}) {
    EXPECT_THAT(text, Not(HasSubstr("B is cannot")));
    EXPECT_THAT(text, HasSubstr("It cannot be said how B compares with A"));
  }
}

TEST(Compare, NothingInCommonCannotSay) {
  v1::JobSummary null = JobOf({1});
  null.mutable_runs(0)->clear_serve();
  null.mutable_runs(0)->mutable_null()->set_steps(5);
  null.mutable_runs(0)->mutable_spec()->mutable_null()->set_duration_ns(kSecond);
  const Comparison c = CompareJobs(JobOf({1}), null, {.tolerance = 0.05, .stated_noise = 0.1});
  EXPECT_EQ(c.verdict, CompareVerdict::kCannotSay);
  EXPECT_EQ(c.points[0].metrics[0].why, "missing in every counted run of B");
  EXPECT_EQ(CompareJobs({}, {}, {}).verdict, CompareVerdict::kCannotSay);
  EXPECT_EQ(Capacity(JobOf({0, 0}), JobOf({1, 1})).why, "a value is 0: it has no ratio");
}

TEST(Compare, DifferencesOfEnvironmentAndSpecAreNamed) {
  v1::JobSummary a = FixedJob(), b = FixedJob();
  EXPECT_TRUE(CompareJobs(a, a, {}).differences.empty());
  for (v1::RunSummary& run : *b.mutable_runs()) {
    run.mutable_spec()->mutable_serve()->set_tensor_parallel(4);
    run.mutable_spec()->mutable_serve()->mutable_load()->set_requests_per_second(5);
    run.mutable_nodes(1)->mutable_environment()->set_kernel("6.1");
    run.add_transports("gloo");
    for (v1::RankPlace& place : *run.mutable_placement()->mutable_ranks()) place.set_node("c");
  }
  std::vector<std::string> names;
  for (const Difference& d : CompareJobs(a, b, {}).differences) names.push_back(d.what);
  EXPECT_THAT(names, ::testing::ElementsAre("kernel", "placement", "serve.load.auto.share",
                                            "serve.load.requests_per_second",
                                            "serve.tensor_parallel", "transports"));
}

TEST(Compare, Golden) {
  v1::JobSummary a = FixedJob(), b = FixedJob();
  a.mutable_runs(1)->set_verdict(v1::VERDICT_PASS);
  for (v1::RunSummary& run : *b.mutable_runs()) {
    run.set_verdict(v1::VERDICT_PASS);
    run.mutable_serve()->mutable_tpot_ms()->set_p50(20 + static_cast<double>(run.run_id()));
    run.mutable_nodes(0)->mutable_environment()->set_kernel("6.1");
  }
  const Comparison c = CompareJobs(a, b, {});
  ExpectGolden("compare.txt", RenderCompareTerminal(c, {}));
  ExpectGolden("compare.json", RenderCompareJson(c));
  ExpectGolden("compare.md", RenderCompareMarkdown(c));
  const v1::JobSummary hostile = HostileJob();
  const Comparison h = CompareJobs(a, hostile, {});
  const Comparison same_point = CompareJobs(hostile, hostile, {});
  ExpectGolden("hostile.compare.txt",
               RenderCompareTerminal(h, {}) + RenderCompareTerminal(same_point, {}));
  ExpectGolden("hostile.compare.json", RenderCompareJson(h));
  ExpectGolden("hostile.compare.md", RenderCompareMarkdown(h) + RenderCompareMarkdown(same_point));
  for (const std::string& out :
       {RenderCompareTerminal(h, {}), RenderCompareJson(h), RenderCompareMarkdown(h)}) {
    EXPECT_THAT(out, Not(HasSubstr("\x1b")));
  }
  EXPECT_THAT(RenderCompareTerminal(h, {.width = 80, .color = true}), HasSubstr("\x1b[1;33m"));
  EXPECT_TRUE(nlohmann::json::accept(RenderCompareJson(h)));
}

}  // namespace
}  // namespace rackmark

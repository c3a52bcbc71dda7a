#include "report/summarize.h"

#include <algorithm>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "report/judge.h"
#include "report/test_data.h"

namespace rackmark {
namespace {

v1::RunSummary Summary(const std::vector<v1::Chunk>& chunks, const RunFacts& facts) {
  RunSummarizer summarizer;
  for (const v1::Chunk& chunk : chunks) EXPECT_TRUE(summarizer.AddChunk(chunk).ok());
  return summarizer.Finish(facts);
}

TEST(Summarize, LatenciesAreThoseWorkedOutByHand) {
  const v1::ServeResult s = Summary(TestChunks(), TestFacts()).serve();
  // TTFT 100, 300, 50 ms; E2E 130, 300, 170; TPOT 15 and 40; gaps 10 20 40 40 40.
  EXPECT_EQ(s.ttft_ms().count(), 3U);
  EXPECT_DOUBLE_EQ(s.ttft_ms().p50(), 100);
  EXPECT_DOUBLE_EQ(s.ttft_ms().p99(), 300);
  EXPECT_DOUBLE_EQ(s.ttft_ms().mean(), 150);
  EXPECT_DOUBLE_EQ(s.ttft_service_ms().p50(), 90);
  EXPECT_DOUBLE_EQ(s.e2e_ms().p50(), 170);
  EXPECT_EQ(s.tpot_ms().count(), 2U);
  EXPECT_DOUBLE_EQ(s.tpot_ms().min(), 15);
  EXPECT_DOUBLE_EQ(s.tpot_ms().max(), 40);
  EXPECT_EQ(s.itl_ms().count(), 5U);
  EXPECT_DOUBLE_EQ(s.itl_ms().mean(), 30);
  EXPECT_DOUBLE_EQ(s.ttft_ms().cdf(2).share(), 1);
}

TEST(Summarize, ThroughputCountsOnlyTheWindow) {
  const v1::ServeResult s = Summary(TestChunks(), TestFacts()).serve();
  EXPECT_DOUBLE_EQ(s.window_s(), 4);
  EXPECT_EQ(s.output_tokens(), 6U);  // 3 + 1 + 2 of the last request's 4
  EXPECT_DOUBLE_EQ(s.output_tok_s(), 1.5);
  EXPECT_DOUBLE_EQ(s.output_tok_s_device(), 0.75);
  EXPECT_EQ(s.prompt_tokens(), 30U);  // the step after T1 does not count
  EXPECT_DOUBLE_EQ(s.delivered_share(), 1);
  EXPECT_DOUBLE_EQ(s.completed_rate(), 0.5);  // the third ended in the grace
  EXPECT_DOUBLE_EQ(s.capacity_rate(), 1.25);
  // Two decode-only steps of 2 sequences and 10 ms each.
  EXPECT_NEAR(s.decode_tok_s(), 200, 1e-9);
  EXPECT_DOUBLE_EQ(s.decode_batch(), 2);
  EXPECT_DOUBLE_EQ(s.read_bytes_s(), 1e10);
  EXPECT_NEAR(s.floor_tok_s(), 2 / ((1e7 + 2 * 5e6) / 1e10), 1e-6);
  EXPECT_NEAR(s.floor_share(), 0.2, 1e-9);
}

TEST(Summarize, RanksCollectivesAndOverhead) {
  const v1::RunSummary run = Summary(TestChunks(), TestFacts());
  ASSERT_EQ(run.ranks_size(), 2);
  EXPECT_EQ(run.ranks(0).steps(), 3U);
  EXPECT_NEAR(run.ranks(0).compute_s(), 0.018, 1e-12);
  EXPECT_NEAR(run.ranks(1).lateness_s(), 0.003, 1e-12);
  EXPECT_FALSE(run.ranks(0).has_kv_bytes());  // missing is not 0
  ASSERT_EQ(run.collectives_size(), 1);
  EXPECT_EQ(run.collectives(0).bytes(), 4096U);
  EXPECT_EQ(run.collectives(0).count(), 2U);
  EXPECT_NEAR(run.collectives(0).busbw_bytes_s(), 1e6, 1e-3);  // 3000 * 2 * 1/2 / 3 ms
  EXPECT_NEAR(run.overhead().daemon_cpu_share(), 0.02, 1e-9);  // two daemons, 1 % each
  EXPECT_GT(run.overhead().share_of_step(), 0);
  EXPECT_EQ(run.clock_uncertainty_ns(), 0);
}

TEST(Summarize, OrderOfStreamsAndRepeatsDoNotMatter) {
  std::vector<v1::Chunk> chunks = TestChunks();
  const std::string expected = Summary(chunks, TestFacts()).SerializeAsString();
  std::vector<size_t> order = {0, 1, 2, 3, 4};
  do {
    std::vector<v1::Chunk> shuffled;
    for (const size_t i : order) shuffled.push_back(chunks[i]);
    shuffled.push_back(chunks[order[0]]);  // sent again after a lost ack
    ASSERT_EQ(Summary(shuffled, TestFacts()).SerializeAsString(), expected);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(Summarize, OtherBootsNeedAnOffset) {
  std::vector<v1::Chunk> chunks = TestChunks();
  chunks[2].mutable_header()->set_boot_id("other");
  RunFacts facts = TestFacts();
  EXPECT_FALSE(Summary(chunks, facts).ranks(1).has_compute_s());
  facts.nodes[0].mutable_clock()->set_boot_id("boot");
  facts.nodes[1].mutable_clock()->set_boot_id("other");
  facts.nodes[1].mutable_clock()->set_offset_ns(3950 * kMillisecond);  // pushes it out of T1
  facts.nodes[0].mutable_clock()->set_uncertainty_ns(300);
  facts.nodes[1].mutable_clock()->set_uncertainty_ns(5000);
  const v1::RunSummary run = Summary(chunks, facts);
  EXPECT_EQ(run.ranks(1).steps(), 0U);
  EXPECT_EQ(run.clock_uncertainty_ns(), 5300);  // both offsets are measured, both may be wrong
}

// The instrument's own report: nothing but steps, points and what they cost.
std::vector<v1::Chunk> NullChunks(bool ended) {
  v1::ChunkPayload payload;
  PayloadBuilder builder(&payload);
  builder.Add(SeriesId::kInstrumentNsPerSample, kTestT0 - kSecond, 50);
  builder.Add(SeriesId::kWindowStart, kTestT0, 1);
  for (int step = 0; step < 1000; ++step) {
    for (int i = 0; i < 16; ++i) {
      builder.Add(SeriesId::kStepHost, kTestT0 + step * kMillisecond + i * 100, 1e-7);
    }
  }
  if (ended) {
    builder.Add(SeriesId::kWindowEnd, kTestT0 + kSecond, 1);
    builder.Add(SeriesId::kNullSteps, kTestT0 + kSecond, 1000);
    builder.Add(SeriesId::kNullSamples, kTestT0 + kSecond, 16000);
  }
  return {TestChunk(v1::STREAM_KIND_RANK, 0, 1, ended, payload)};
}

RunFacts NullFacts() {
  RunFacts facts = TestFacts();
  facts.spec.mutable_null()->set_duration_ns(kSecond);
  facts.spec.mutable_null()->set_samples_per_step(16);
  facts.placement.mutable_ranks()->RemoveLast();
  facts.nodes.pop_back();
  return facts;
}

TEST(Summarize, TheNullWorkloadSaysWhatTheInstrumentCosts) {
  v1::RunSummary run = Summary(NullChunks(true), NullFacts());
  EXPECT_FALSE(run.has_serve());
  EXPECT_EQ(run.null().steps(), 1000U);
  EXPECT_EQ(run.null().samples(), 16000U);
  EXPECT_DOUBLE_EQ(run.null().ns_per_sample(), 50);
  EXPECT_DOUBLE_EQ(run.overhead().ns_per_sample(), 50);
  EXPECT_NEAR(run.overhead().samples_per_step(), 16, 0.01);
  EXPECT_NEAR(run.overhead().share_of_step(), 16 * 50e-9 / 1e-3, 1e-6);  // of a step of 1 ms
  EXPECT_EQ(run.ranks(0).steps(), 1000U);
  EXPECT_NEAR(run.ranks(0).host_s(), 16000 * 1e-7, 1e-9);
  EXPECT_FALSE(run.ranks(0).has_compute_s());
  Judge(run);
  EXPECT_EQ(run.verdict(), v1::VERDICT_PASS) << run.DebugString();
}

TEST(Summarize, ANullRunThatWasCutHasNoNumbers) {
  v1::RunSummary run = Summary(NullChunks(false), NullFacts());
  EXPECT_FALSE(run.has_null());  // not 0 steps
  EXPECT_FALSE(run.has_overhead());
  Judge(run);
  EXPECT_EQ(run.verdict(), v1::VERDICT_INVALID);
}

TEST(Summarize, RequestsThatWereCutAreNamedBesideTheQuantiles) {
  std::vector<v1::Chunk> chunks = TestChunks();
  v1::ChunkPayload payload = *UnpackChunk(chunks[1]);
  v1::RequestRecord& cut = *payload.mutable_requests(0);
  cut.set_finish(v1::FINISH_REASON_UNFINISHED);
  cut.clear_t_end_ns();
  chunks[1] = TestChunk(v1::STREAM_KIND_RANK, 0, 2, true, payload);
  const v1::RunSummary run = Summary(chunks, TestFacts());
  EXPECT_EQ(run.serve().requests_completed(), 2U);
  EXPECT_NEAR(run.serve().delivered_share(), 2.0 / 3, 1e-12);
  EXPECT_EQ(run.serve().ttft_ms().count(), 3U);  // its first token came
  EXPECT_EQ(run.serve().e2e_ms().count(), 2U);
  const auto named = [&](std::string_view name) {
    return std::any_of(run.missing().begin(), run.missing().end(),
                       [&](const v1::MissingValue& m) { return m.name() == name; });
  };
  EXPECT_TRUE(named("E2E of 1 requests"));
  EXPECT_FALSE(named("TTFT of 0 requests"));
}

TEST(Summarize, RefusesForeignAndDamagedChunks) {
  RunSummarizer summarizer;
  std::vector<v1::Chunk> chunks = TestChunks();
  ASSERT_TRUE(summarizer.AddChunk(chunks[0]).ok());
  chunks[1].mutable_header()->set_run(8);
  EXPECT_FALSE(summarizer.AddChunk(chunks[1]).ok());
  chunks[2].mutable_payload()->back() ^= 1;
  EXPECT_FALSE(summarizer.AddChunk(chunks[2]).ok());
}

TEST(Judge, AGoodRunPassesAndEveryFaultIsNamed) {
  const v1::RunSummary good = Summary(TestChunks(), TestFacts());
  struct Case {
    const char* why;
    void (*spoil)(v1::RunSummary&);
    v1::Verdict verdict;
  };
  const auto set = [](v1::RunSummary& r, const char* name, double value) {
    for (v1::Check& c : *r.mutable_checks()) {
      if (c.name() == name) c.set_value(value);
    }
  };
  static const auto* const kSet = new auto(set);
  const Case cases[] = {
      {"nothing", [](v1::RunSummary&) {}, v1::VERDICT_PASS},
      {"load", [](v1::RunSummary& r) { r.mutable_serve()->set_delivered_share(0.94); },
       v1::VERDICT_INVALID},
      {"load at limit", [](v1::RunSummary& r) { r.mutable_serve()->set_delivered_share(0.95); },
       v1::VERDICT_PASS},
      {"dropped", [](v1::RunSummary& r) { r.set_dropped_results(1); }, v1::VERDICT_INVALID},
      {"telemetry", [](v1::RunSummary& r) { r.set_dropped_telemetry(9); }, v1::VERDICT_PASS},
      {"no token", [](v1::RunSummary& r) { r.mutable_serve()->set_output_tokens(0); },
       v1::VERDICT_INVALID},
      {"unchecked", [](v1::RunSummary& r) { (*kSet)(r, "tokens checked", 0); },
       v1::VERDICT_INVALID},
      {"wrong", [](v1::RunSummary& r) { (*kSet)(r, "wrong tokens", 1); }, v1::VERDICT_FAIL},
      {"errors", [](v1::RunSummary& r) { r.mutable_serve()->set_requests_failed(1); },
       v1::VERDICT_INVALID},
      {"overhead", [](v1::RunSummary& r) { r.mutable_overhead()->set_share_of_step(0.06); },
       v1::VERDICT_INVALID},
      {"window", [](v1::RunSummary& r) { r.clear_serve(); }, v1::VERDICT_INVALID},
      {"lengths", [](v1::RunSummary& r) { (*kSet)(r, "requests of another length", 1); },
       v1::VERDICT_INVALID},
      {"streams", [](v1::RunSummary& r) { (*kSet)(r, "incomplete rank streams", 1); },
       v1::VERDICT_INVALID},
  };
  for (const Case& c : cases) {
    v1::RunSummary run = good;
    c.spoil(run);
    Judge(run);
    EXPECT_EQ(run.verdict(), c.verdict) << c.why << "\n" << run.DebugString();
    EXPECT_EQ(run.reasons().empty(),
              c.why == std::string("nothing") || c.why == std::string("load at limit"));
    const std::string once = run.SerializeAsString();
    Judge(run);
    EXPECT_EQ(run.SerializeAsString(), once);
  }
}

TEST(Judge, FailuresHaveTheirVerdicts) {
  EXPECT_EQ(VerdictOf(v1::FAILURE_KIND_RANK_DIED), v1::VERDICT_ERROR);
  EXPECT_EQ(VerdictOf(v1::FAILURE_KIND_MEASURE_TIMEOUT), v1::VERDICT_TIMEOUT);
  EXPECT_EQ(VerdictOf(v1::FAILURE_KIND_DRAIN_TIMEOUT), v1::VERDICT_INVALID);
  EXPECT_EQ(VerdictOf(v1::FAILURE_KIND_UNSUPPORTED), v1::VERDICT_SKIPPED);
  EXPECT_EQ(VerdictOf(v1::FAILURE_KIND_CANCELLED), v1::VERDICT_CANCELLED);
  EXPECT_EQ(VerdictOf(v1::FAILURE_KIND_VERIFY), v1::VERDICT_FAIL);
  EXPECT_EQ(VerdictOf(v1::FAILURE_KIND_BUDGET), v1::VERDICT_TIMEOUT);
  EXPECT_EQ(VerdictOf(v1::FAILURE_KIND_STALLED), v1::VERDICT_TIMEOUT);
  EXPECT_EQ(VerdictOf(v1::FAILURE_KIND_DEPENDENCY), v1::VERDICT_SKIPPED);
  EXPECT_EQ(VerdictOf(v1::FAILURE_KIND_EXPECTATION), v1::VERDICT_SKIPPED);
  EXPECT_EQ(VerdictOf(v1::FAILURE_KIND_DEVICE), v1::VERDICT_ERROR);
  v1::RunSummary run;
  run.mutable_failure()->set_kind(v1::FAILURE_KIND_RANK_DIED);
  run.mutable_failure()->set_rank(1);
  run.mutable_failure()->set_node("b");
  Judge(run);
  EXPECT_EQ(run.verdict(), v1::VERDICT_ERROR);
  EXPECT_EQ(run.reasons(0), "a rank process died (rank 1, node b)");
}

TEST(Judge, JobIsItsWorstRun) {
  v1::JobSummary job;
  EXPECT_EQ(JobVerdict(job), v1::VERDICT_ERROR);
  job.add_runs()->set_verdict(v1::VERDICT_PASS);
  EXPECT_EQ(JobVerdict(job), v1::VERDICT_PASS);
  job.add_runs()->set_verdict(v1::VERDICT_INVALID);
  EXPECT_EQ(JobVerdict(job), v1::VERDICT_INVALID);
  job.add_runs()->set_verdict(v1::VERDICT_FAIL);
  EXPECT_EQ(JobVerdict(job), v1::VERDICT_FAIL);
  job.add_runs()->set_verdict(v1::VERDICT_CANCELLED);
  EXPECT_EQ(JobVerdict(job), v1::VERDICT_CANCELLED);
}

}  // namespace
}  // namespace rackmark

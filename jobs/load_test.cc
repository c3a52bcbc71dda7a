#include "jobs/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "jobs/spec.h"

namespace rackmark {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

const std::string kHash(64, 'a');

// Stands for whoever reads files: remembers what was asked and answers with fixed facts.
struct FakeTraces {
  std::vector<std::string> paths;
  v1::Load asked;
  uint64_t longest = 100;
  Nanos whole = 30 * kSecond;

  TraceFinder Finder() {
    return [this](std::string_view path, const v1::Load& load) -> absl::StatusOr<TraceFacts> {
      paths.emplace_back(path);
      asked = load;
      if (path == "bad.csv") {
        return absl::InvalidArgumentError("bad.csv:7: ContextTokens is \"x\"; write digits");
      }
      TraceFacts facts{load, longest, 5};
      v1::TraceLoad& trace = *facts.load.mutable_trace();
      trace.set_sha256(kHash);
      trace.set_bytes(10);
      trace.set_format(v1::TRACE_FORMAT_AZURE_CSV);
      trace.set_requests(3);
      if (load.duration_ns() == 0) facts.load.set_duration_ns(whole);
      return facts;
    };
  }
};

// Line 10 is the first of the load.
std::string Job(const std::string& load) {
  return "apiVersion: rackmark/v1\nkind: Job\nmetadata: {name: t}\nspec:\n"
         "  gang: {devices: 2, device: cpu}\n  workload:\n    serve:\n      model: nano-1m\n"
         "  load:\n" +
         load;
}

const char kDrawn[] = "    rate: 5/s\n    prompt_tokens: 8\n    output_tokens: 8\n";

absl::StatusOr<v1::Job> Parse(const std::string& yaml, FakeTraces& traces,
                              const std::vector<Override>& sets = {}) {
  return ParseJob(yaml, "job.yaml", sets, traces.Finder());
}

std::string ErrorOf(const std::string& yaml, FakeTraces& traces,
                    const std::vector<Override>& sets = {}) {
  const auto job = Parse(yaml, traces, sets);
  EXPECT_FALSE(job.ok()) << yaml;
  return std::string(job.status().message());
}

TEST(TraceLoad, SettingsAreAskedAndFactsAreKept) {
  FakeTraces traces;
  const auto job = Parse(Job("    trace: dir/a.csv\n    time_scale: 0.25\n    length_scale: 2\n"
                             "    length_max: 900\n    request_limit: 50\n    duration: 9s\n"),
                         traces);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_THAT(traces.paths, testing::ElementsAre("dir/a.csv"));
  EXPECT_EQ(traces.asked.duration_ns(), 9 * kSecond);
  const v1::Load& load = job->spec().runs(0).serve().load();
  EXPECT_EQ(load.trace().name(), "a.csv");
  EXPECT_EQ(load.trace().time_scale(), 0.25);
  EXPECT_EQ(load.trace().length_scale(), 2);
  EXPECT_EQ(load.trace().length_max(), 900U);
  EXPECT_EQ(load.trace().request_limit(), 50U);
  EXPECT_EQ(load.trace().sha256(), kHash);
  EXPECT_EQ(load.trace().requests(), 3U);
  EXPECT_EQ(load.duration_ns(), 9 * kSecond);
  EXPECT_EQ(load.arrivals(), v1::ARRIVAL_PROCESS_UNKNOWN);
  EXPECT_TRUE(CheckJob(*job).ok()) << CheckJob(*job);
}

TEST(TraceLoad, WithoutDurationTheTraceSaysHowLong) {
  FakeTraces traces;
  const auto job = Parse(Job("    trace: a.csv\n"), traces);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(traces.asked.duration_ns(), 0);
  const v1::RunSpec& run = job->spec().runs(0);
  EXPECT_EQ(run.serve().load().duration_ns(), traces.whole);
  EXPECT_FALSE(run.serve().load().trace().has_length_max());
  // The limit follows from the window that the trace gave.
  EXPECT_GT(job->spec().limits().measure_ns(), traces.whole);
  traces.whole = 25 * 3600 * kSecond;
  EXPECT_THAT(ErrorOf(Job("    trace: a.csv\n"), traces), HasSubstr("write a duration"));
}

TEST(TraceLoad, AnOverrideReplacesTheLoadThatTheFileWrote) {
  FakeTraces traces;
  const auto job = Parse(Job(kDrawn), traces, {{"load.trace", "a.csv"}});
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_TRUE(job->spec().runs(0).serve().load().has_trace());
  // But not what the same command line says.
  EXPECT_THAT(ErrorOf(Job(kDrawn), traces, {{"load.rate", "3/s"}, {"load.trace", "a.csv"}}),
              StartsWith("--set load.rate=3/s: spec.load.rate: means nothing beside a trace"));
}

TEST(TraceLoad, EveryMistakeNamesPlacePathAndRemedy) {
  struct Bad {
    std::string load;
    std::string says;
  };
  const Bad table[] = {
      {"    trace: a.csv\n    rate: 5/s\n",
       "job.yaml:11:11: spec.load.rate: means nothing beside a trace, which has its own arrivals "
       "and lengths; remove it or the trace"},
      {"    trace: a.csv\n    arrivals: poisson\n", "job.yaml:11:15: spec.load.arrivals: means"},
      {"    trace: a.csv\n    prompt_tokens: {min: 1, max: 2}\n", "spec.load.prompt_tokens: means"},
      {"    trace: a.csv\n    output_tokens: 2\n", "spec.load.output_tokens: means"},
      {"    trace: a.csv\n    calibration: 2s\n", "spec.load.calibration: means"},
      {std::string(kDrawn) + "    time_scale: 2\n",
       "job.yaml:13:17: spec.load.time_scale: means nothing without a trace; write trace: FILE"},
      {std::string(kDrawn) + "    length_max: 20\n", "spec.load.length_max: means nothing without"},
      {"    trace: a.csv\n    time_scale: 0\n", "spec.load.time_scale: \"0\" is out of range"},
      {"    trace: a.csv\n    time_scale: 2x\n", "\"2x\" is not a plain number; write"},
      {"    trace: a.csv\n    length_scale: -1\n", "spec.load.length_scale: \"-1\" is negative"},
      {"    trace: a.csv\n    length_max: 1\n", "spec.load.length_max: \"1\" is out of range"},
      {"    trace: a.csv\n    request_limit: 0\n", "spec.load.request_limit: \"0\" is out of"},
      {"    trace: \"\"\n", "job.yaml:10:12: spec.load.trace: is empty; write the path"},
      {"    trace: [a, b]\n", "spec.load.trace: is a list; write a text"},
      {"    trace: bad.csv\n",
       "job.yaml:10:12: spec.load.trace: bad.csv:7: ContextTokens is \"x\"; write digits"},
      {"    trace: a.csv\n    tim_scale: 2\n", "did you mean \"time_scale\"?"},
  };
  for (const Bad& bad : table) {
    FakeTraces traces;
    EXPECT_THAT(ErrorOf(Job(bad.load), traces), HasSubstr(bad.says)) << bad.load;
  }
}

TEST(TraceLoad, NothingIsOpenedForAJobThatIsWrongAnyway) {
  FakeTraces traces;
  ErrorOf(Job("    trace: a.csv\n    rate: 5/s\n"), traces);
  EXPECT_TRUE(traces.paths.empty());
}

TEST(TraceLoad, RequestsThatTheModelCannotHoldNeedALengthMax) {
  FakeTraces traces;
  traces.longest = 5000;  // nano-1m holds 4096
  EXPECT_THAT(ErrorOf(Job("    trace: a.csv\n"), traces),
              HasSubstr("5000 tokens, and nano-1m holds 4096; write a length_max, or a smaller "
                        "length_scale"));
}

TEST(TraceLoad, ASweepReadsItForEachPoint) {
  FakeTraces traces;
  const std::string sweep = "  sweep: {load.time_scale: [1, 0.5], load.trace: [a.csv, b.csv]}\n";
  const auto job = Parse(Job("    duration: 1s\n") + sweep, traces);
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->spec().runs_size(), 4);
  EXPECT_EQ(traces.paths.size(), 4U);
  EXPECT_THAT(ErrorOf(Job("    trace: a.csv\n") + "  sweep: {load.rate: [1/s, 2/s]}\n", traces),
              HasSubstr("means nothing beside a trace"));
}

TEST(TraceLoad, WithoutAFinderATraceIsRefused) {
  EXPECT_THAT(std::string(ParseJob(Job("    trace: a.csv\n"), "job.yaml", {}).status().message()),
              HasSubstr("spec.load.trace: cannot be read here; use rackmark run"));
}

TEST(TraceLoad, WhatComesOverTheWireIsCheckedAgain) {
  FakeTraces traces;
  const auto job = Parse(Job("    trace: a.csv\n"), traces);
  ASSERT_TRUE(job.ok());
  const auto refused = [&](void (*change)(v1::Load&)) {
    v1::Job changed = *job;
    change(*changed.mutable_spec()->mutable_runs(0)->mutable_serve()->mutable_load());
    return std::string(CheckJob(changed).message());
  };
  EXPECT_THAT(refused([](v1::Load& l) { l.mutable_trace()->set_sha256("../../etc/passwd"); }),
              HasSubstr("load.trace.sha256"));
  EXPECT_THAT(refused([](v1::Load& l) { l.mutable_trace()->set_bytes(65 << 20); }),
              HasSubstr("load.trace.bytes"));
  EXPECT_THAT(refused([](v1::Load& l) { l.mutable_trace()->set_time_scale(0); }),
              HasSubstr("load.trace.time_scale"));
  EXPECT_THAT(refused([](v1::Load& l) { l.mutable_trace()->clear_format(); }),
              HasSubstr("load.trace.format"));
  EXPECT_THAT(refused([](v1::Load& l) { l.mutable_trace()->set_requests(0); }),
              HasSubstr("load.trace.requests"));
  EXPECT_THAT(refused([](v1::Load& l) { l.mutable_prompt_tokens()->set_min(1); }),
              HasSubstr("beside a trace"));
  EXPECT_THAT(refused([](v1::Load& l) { l.set_duration_ns(0); }), HasSubstr("load.duration_ns"));
}

TEST(TraceLoad, TheLibraryJobNeedsNothingButAFile) {
  std::ifstream file(std::string(RACKMARK_JOB_LIBRARY) + "/trace.yaml");
  std::ostringstream text;
  text << file.rdbuf();
  FakeTraces traces;
  const auto job = Parse(text.str(), traces, {{"load.trace", "a.csv"}});
  EXPECT_TRUE(job.ok()) << job.status();
  EXPECT_THAT(ErrorOf(text.str(), traces), HasSubstr("or --set load.trace=FILE"));
}

}  // namespace
}  // namespace rackmark

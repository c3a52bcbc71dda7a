#include "jobs/spec.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "common/random.h"
#include "common/sha256.h"
#include "common/time.h"

namespace rackmark {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// Line 1 is apiVersion, so that the tables below can name lines.
constexpr std::string_view kGood = R"(apiVersion: rackmark/v1
kind: Job
metadata:
  name: test
spec:
  seed: 7
  gang: {devices: 2, per_node: 1, device: cpu}
  workload:
    serve:
      model: tiny-30m
      kv_memory: 64MiB
  load:
    rate: 12/s
    duration: 10s
    prompt_tokens: {min: 8, max: 32}
    output_tokens: 16
)";

// kGood with one part replaced.
std::string With(std::string_view from, std::string_view to) {
  std::string text(kGood);
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string ErrorOf(std::string_view yaml, const std::vector<Override>& sets = {}) {
  const auto job = ParseJob(yaml, "job.yaml", sets);
  EXPECT_FALSE(job.ok());
  EXPECT_TRUE(job.ok() || absl::IsInvalidArgument(job.status()));
  return job.ok() ? "" : std::string(job.status().message());
}

std::string FileText(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

TEST(ParseJob, FillsInEveryDefault) {
  const auto job = ParseJob(kGood, "job.yaml", {});
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->name(), "test");
  EXPECT_EQ(job->source(), kGood);
  EXPECT_EQ(job->source_sha256(), Sha256Hex(kGood));
  EXPECT_EQ(job->spec().gang().devices(), 2u);
  EXPECT_EQ(job->spec().gang().per_node(), 1u);
  EXPECT_EQ(job->spec().gang().kind(), v1::DEVICE_KIND_CPU);
  ASSERT_EQ(job->spec().runs_size(), 1);
  const v1::RunSpec& run = job->spec().runs(0);
  EXPECT_EQ(run.seed(), 7u);
  EXPECT_TRUE(run.point().empty());
  EXPECT_EQ(run.serve().tensor_parallel(), 2u);
  EXPECT_EQ(run.serve().kv_memory_bytes(), 64ULL << 20);
  EXPECT_EQ(run.serve().kv_block_tokens(), 16u);
  EXPECT_EQ(run.serve().load().arrivals(), v1::ARRIVAL_PROCESS_POISSON);
  EXPECT_DOUBLE_EQ(run.serve().load().requests_per_second(), 12);
  EXPECT_EQ(run.serve().load().prompt_tokens().max(), 32u);
  EXPECT_EQ(run.serve().load().output_tokens().min(), 16u);
  EXPECT_EQ(run.serve().load().output_tokens().max(), 16u);
  // Warm-up 2 s, no calibration with a fixed rate, window 10 s, grace 2 s, and 60 s of slack.
  EXPECT_EQ(job->spec().limits().measure_ns(), 74 * kSecond);
  EXPECT_EQ(job->spec().limits().attempts(), 2u);
  EXPECT_TRUE(CheckJob(*job).ok()) << CheckJob(*job);
}

TEST(ParseJob, AutoRateIsTheDefaultAndTakesItsShare) {
  const auto job = ParseJob(With("rate: 12/s", "auto_share: 300%"), "job.yaml", {});
  ASSERT_TRUE(job.ok()) << job.status();
  const v1::Load& load = job->spec().runs(0).serve().load();
  ASSERT_TRUE(load.has_auto_());
  EXPECT_DOUBLE_EQ(load.auto_().share(), 3);
  EXPECT_EQ(load.auto_().calibration_ns(), 3 * kSecond);
  EXPECT_EQ(job->spec().limits().measure_ns(), 77 * kSecond);
}

TEST(ParseJob, NullWorkloadIsAKeyAndNotANull) {
  const auto job = ParseJob(
      "apiVersion: rackmark/v1\nkind: Job\nmetadata: {name: n}\nspec:\n  gang: {devices: 1, "
      "device: cpu}\n  workload: {null: {duration: 2s, samples_per_step: 3}}\n",
      "job.yaml", {});
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->spec().runs(0).null().duration_ns(), 2 * kSecond);
  EXPECT_EQ(job->spec().runs(0).null().samples_per_step(), 3u);
  EXPECT_FALSE(job->spec().gang().has_per_node());
}

struct BadCase {
  const char* from;
  const char* to;
  const char* says;  // the whole sentence's beginning: place, path, what
};

TEST(ParseJob, EveryMistakeNamesPlacePathAndRemedy) {
  const BadCase table[] = {
      // Keys.
      {"kv_memory:", "kv_memry:",
       "job.yaml:11:7: spec.workload.serve.kv_memry: unknown key; did you mean \"kv_memory\"?"},
      {"seed: 7", "turbo: 7", "job.yaml:6:3: spec.turbo: unknown key; the keys here are seed,"},
      {"metadata:", "meta:", "job.yaml:3:1: meta: unknown key"},
      {"seed: 7", "seed: 7\n  seed: 8",
       "job.yaml:7:3: spec.seed: this key is here twice, first on line 6; keep one of them"},
      {"devices: 2, per", "devices: 2, devices: 2, per",
       "job.yaml:7:22: spec.gang.devices: this key is here twice"},
      {"seed: 7", "\"seed\": 7\n  seed: 8", "job.yaml:7:3: spec.seed: this key is here twice"},
      {"seed: 7", "<<: {seed: 7}", "job.yaml:6:3: spec.<<: unknown key"},
      {"seed: 7", "[seed]: 7", "job.yaml:6:3: spec: a key must be a plain word"},
      {"seed: 7", "~: 7", "job.yaml:6:3: spec: a key is empty"},
      // Things of YAML that are not allowed.
      {"seed: 7", "seed: &a 7", "job.yaml:6:9: spec.seed: anchor \"&a\" is not allowed"},
      {"seed: 7", "seed: *a", "job.yaml:6:9: "},
      {"seed: 7", "seed: !!int 7", "job.yaml:6:9: spec.seed: tag \"tag:yaml.org,2002:int\" is not"},
      {"seed: 7", "seed: !x 7", "job.yaml:6:9: spec.seed: tag \"!x\" is not allowed"},
      {"gang: {", "gang: !x {", "job.yaml:7:9: spec.gang: tag \"!x\" is not allowed"},
      {"    output_tokens: 16\n", "    output_tokens: 16\n---\na: 1\n",
       "job.yaml:17:1: a second document starts here"},
      {"seed: 7", "seed: 7: 8", "job.yaml:6:"},
      {"seed: 7", "seed: [7", "job.yaml:"},
      {"seed: 7", "\tseed: 7", "job.yaml:6:"},
      {"seed: 7", "seed: \x01", "job.yaml:6:9: a control character is not allowed"},
      {"seed: 7", "seed: \xff", "job.yaml:6:9: this byte is not UTF-8"},
      {"seed: 7", "seed: \xed\xa0\x80", "job.yaml:6:9: this byte is not UTF-8"},
      // Head and metadata.
      {"rackmark/v1", "rackmark/v2",
       "job.yaml:1:13: apiVersion: \"rackmark/v2\" is unknown; did you mean \"rackmark/v1\"?"},
      {"kind: Job", "kind: Suite", "job.yaml:2:7: kind: \"Suite\" is unknown; write Job"},
      {"kind: Job\n", "", "job.yaml:1:1: kind: is missing; write Job here"},
      {"name: test", "name: Test_1", "job.yaml:4:9: metadata.name: \"Test_1\" is not a name"},
      {"name: test", "name:", "job.yaml:4:3: metadata.name: has no value"},
      {"name: test", "name: test\n  labels: [a]", "job.yaml:5:11: metadata.labels: is a list"},
      // Gang.
      {"devices: 2", "devices: two", "job.yaml:7:19: spec.gang.devices: \"two\" is not a number"},
      {"devices: 2", "devices: 0", "spec.gang.devices: \"0\" is out of range; write 1 to 65536"},
      {"devices: 2", "devices: 70000", "spec.gang.devices: \"70000\" is out of range"},
      {"devices: 2", "devices: \"2\"", "spec.gang.devices: \"2\" is quoted text"},
      {"devices: 2", "devices: 010", "spec.gang.devices: \"010\" starts with 0, which YAML reads"},
      {"devices: 2", "devices: 0x2", "spec.gang.devices: \"0x2\" is hexadecimal"},
      {"devices: 2", "devices: .inf", "spec.gang.devices: \".inf\" is not a finite number"},
      {"devices: 2", "devices: 2.0", "spec.gang.devices: \"2.0\" is not a whole number"},
      {"devices: 2", "devices: -2", "spec.gang.devices: \"-2\" is negative"},
      {"devices: 2", "devices: [2]", "spec.gang.devices: is a list; write a whole number"},
      {"device: cpu", "device: tpu", "spec.gang.device: \"tpu\" is unknown; did you mean"},
      {"device: cpu", "device: quantum", "\"quantum\" is unknown; write cpu or gpu"},
      {", device: cpu", "", "job.yaml:7:9: spec.gang.device: is missing; write cpu or gpu here"},
      {"{devices: 2, per_node: 1, device: cpu}", "2", "job.yaml:7:9: spec.gang: is a single value"},
      // Workload.
      {"tiny-30m", "tiny-3Om",
       "job.yaml:10:14: spec.workload.serve.model: model \"tiny-3Om\" is unknown; did you mean "
       "\"tiny-30m\"?"},
      {"tiny-30m", "zzzzzzzzzzzzz", "model \"zzzzzzzzzzzzz\" is unknown; the models are "},
      {"kv_memory: 64MiB", "kv_memory: 64",
       "job.yaml:11:18: spec.workload.serve.kv_memory: \"64\" has no unit; write a size such as"},
      {"kv_memory: 64MiB", "deterministic: yes",
       "spec.workload.serve.deterministic: \"yes\" where a switch is needed; write true or false"},
      {"kv_memory: 64MiB", "deterministic: 'true'", "\"true\" is quoted text where a switch"},
      {"kv_memory: 64MiB", "tensor_parallel: 4",
       "spec.workload.serve.tensor_parallel: 4 does not agree with gang.devices 2"},
      {"kv_memory: 64MiB", "kv_memory: 1MiB\n      kv_block_tokens: 512",
       "job.yaml:11:18: spec.workload.serve.kv_memory: 1 MiB cannot hold one request of 48 "},
      {"output_tokens: 16", "output_tokens: 1000000",
       "job.yaml:13:5: spec.load: prompt and output"},
      {"devices: 2, per_node: 1", "devices: 3", "job.yaml:7:9: spec.gang: "},
      {"kv_memory: 64MiB", "max_batch: 100000", "max_batch: \"100000\" is out of range"},
      {"    serve:", "    null: {}\n    serve:", "spec.workload: holds both serve and null"},
      // Load.
      {"rate: 12/s", "rate: 12",
       "job.yaml:13:11: spec.load.rate: \"12\" has no unit; write a rate"},
      {"rate: 12/s", "rate: fast", "job.yaml:13:11: spec.load.rate: \"fast\" is not a number"},
      {"rate: 12/s", "rate: 12/s\n    auto_share: 50%",
       "job.yaml:14:17: spec.load.auto_share: means nothing with a fixed rate"},
      {"rate: 12/s", "auto_share: 0.6", "spec.load.auto_share: \"0.6\" has no unit"},
      {"rate: 12/s", "auto_share: 5000%", "is out of range; write 1% to 1000%"},
      {"duration: 10s", "duration: 10", "spec.load.duration: \"10\" has no unit; write a duration"},
      {"duration: 10s", "duration: 100h", "spec.load.duration: \"100h\" is out of range"},
      {"duration: 10s", "arrivals: poison", "did you mean \"poisson\"?"},
      {"{min: 8, max: 32}", "{min: 8, max: 4}",
       "job.yaml:15:34: spec.load.prompt_tokens.max: max 4 is below min 8; swap them"},
      {"{min: 8, max: 32}", "{min: 8}", "spec.load.prompt_tokens.max: is missing"},
      {"{min: 8, max: 32}", "[8, 32]", "spec.load.prompt_tokens: is a list"},
      {"    output_tokens: 16\n", "", "spec.load.output_tokens: is missing; write a whole number"},
      // Limits.
      {"seed: 7", "limits: {measure: 5s}",
       "job.yaml:6:21: spec.limits.measure: 5 s is shorter than the longest run's own plan of 14 "
       "s"},
      {"seed: 7", "limits: {attempts: 0}", "spec.limits.attempts: \"0\" is out of range"},
      {"seed: 7", "limits: {setup: 60}", "spec.limits.setup: \"60\" has no unit"},
      // Sweep.
      {"seed: 7", "sweep: {gang.devices: [1, 2]}",
       "job.yaml:6:11: spec.sweep.gang.devices: cannot be swept"},
      {"seed: 7", "sweep: {seed: 3}", "job.yaml:6:17: spec.sweep.seed: needs a list of values"},
      {"seed: 7", "sweep: {seed: []}", "spec.sweep.seed: needs a list of values"},
      {"seed: 7", "sweep: {seed: [1, 1]}",
       "job.yaml:6:21: spec.sweep.seed: value \"1\" is here twice"},
      {"seed: 7", "sweep: {load.rate: [1/s, 2/s]}",
       "job.yaml:13:5: spec.load.rate: is also swept (line 6); keep the value or the sweep"},
      {"seed: 7", "sweep: {seed: [1, x]}",
       "job.yaml:6:21: spec.seed: \"x\" is not a number; write a whole number in decimal digits "
       "(sweep point seed=x)"},
      {"seed: 7", "sweep: [1]", "job.yaml:6:10: spec.sweep: needs fields with lists"},
      {"seed: 7", "repeats: 100000", "spec.repeats: \"100000\" is out of range"},
  };
  for (const BadCase& bad : table) {
    const std::string error = ErrorOf(With(bad.from, bad.to));
    EXPECT_THAT(error, StartsWith("job.yaml:")) << bad.to;
    EXPECT_THAT(error, HasSubstr(bad.says)) << bad.to;
    EXPECT_THAT(error, testing::AnyOf(HasSubstr("; "), HasSubstr("?"))) << bad.to;
  }
}

TEST(ParseJob, DevicesMustDivideIntoNodes) {
  EXPECT_EQ(ErrorOf(With("devices: 2, per_node: 1", "devices: 5, per_node: 2")),
            "job.yaml:7:32: spec.gang.per_node: 5 devices do not divide into nodes of 2; write a "
            "divisor of gang.devices");
}

TEST(ParseJob, FilesThatAreNotEvenMaps) {
  EXPECT_THAT(ErrorOf(""), HasSubstr("the file is empty"));
  EXPECT_THAT(ErrorOf("just words"), HasSubstr("job.yaml:1:1: is a single value where a map"));
  EXPECT_THAT(ErrorOf("[1, 2]"), HasSubstr("is a list where a map is needed"));
  EXPECT_THAT(ErrorOf("spec: {}"), HasSubstr("apiVersion: is missing"));
  EXPECT_THAT(ErrorOf("apiVersion: rackmark/v1\nkind: Job\nmetadata: {name: a}\n"),
              HasSubstr("spec: is missing"));
  EXPECT_THAT(ErrorOf(std::string((1 << 20) + 1, ' ')), HasSubstr("larger than 1 MiB"));
}

TEST(ParseJob, ByteOrderMarkAndCrlfAreFine) {
  std::string text = "\xef\xbb\xbf";
  for (const char c : kGood) text += c == '\n' ? "\r\n" : std::string(1, c);
  EXPECT_TRUE(ParseJob(text, "job.yaml", {}).ok());
}

TEST(ParseJob, DepthIsBoundedBeforeItCosts) {
  EXPECT_THAT(ErrorOf("a: " + std::string(40, '[') + std::string(40, ']')),
              HasSubstr("nested deeper than 32 levels; flatten it"));
  EXPECT_THAT(ErrorOf("a: " + std::string(500000, '[')), StartsWith("job.yaml:1:"));
  std::string many = "[";
  for (int i = 0; i < 150000; ++i) many += "1,";
  EXPECT_THAT(ErrorOf(many + "1]"), HasSubstr("more than 100000 values"));
}

TEST(ParseJob, AliasBombIsRefusedAtItsFirstAnchor) {
  std::string bomb = "a: &a [1,1,1,1,1,1,1,1,1]\n";
  for (char c = 'b'; c < 'k'; ++c) {
    bomb += std::string(1, c) + ": &" + std::string(1, c) + " [";
    for (int i = 0; i < 9; ++i) bomb += std::string(i ? "," : "") + "*" + static_cast<char>(c - 1);
    bomb += "]\n";
  }
  EXPECT_THAT(ErrorOf(bomb), StartsWith("job.yaml:1:4: a: anchor \"&a\" is not allowed"));
}

TEST(ParseJob, HostileTextIsEscapedInErrors) {
  EXPECT_THAT(ErrorOf(With("seed: 7", "\"\\e[31mx\": 7")), HasSubstr("\\x1b[31mx"));
}

TEST(Sweep, ProductOfAxesAndRepeatsInOrder) {
  const std::string yaml =
      With("seed: 7",
           "repeats: 2\n  sweep: {seed: [1, 2, 3], load.output_tokens: [4, {min: 1, max: 2}]}");
  std::string text = yaml;
  text.erase(text.find("    output_tokens: 16\n"));
  const auto job = ParseJob(text, "job.yaml", {});
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_EQ(job->spec().runs_size(), 12);
  std::set<std::string> first;
  std::set<std::string> second;
  for (int i = 0; i < 12; ++i) {
    const v1::RunSpec& run = job->spec().runs(i);
    EXPECT_EQ(run.repetition(), i < 6 ? 0u : 1u);
    EXPECT_EQ(run.point().at("seed"), std::to_string(run.seed()));
    const bool range = run.point().at("load.output_tokens") == "{min: 1, max: 2}";
    EXPECT_EQ(run.serve().load().output_tokens().max(), range ? 2u : 4u);
    (i < 6 ? first : second)
        .insert(run.point().at("seed") + "/" + run.point().at("load.output_tokens"));
  }
  EXPECT_EQ(first.size(), 6u);
  EXPECT_EQ(first, second);
  // The order is part of the job: the same text gives the same job.
  EXPECT_TRUE(
      google::protobuf::util::MessageDifferencer::Equals(*ParseJob(text, "job.yaml", {}), *job));
}

TEST(Sweep, RepetitionsDoTheSameWork) {
  const auto job = ParseJob(With("seed: 7", "seed: 7\n  repeats: 3"), "job.yaml", {});
  ASSERT_TRUE(job.ok()) << job.status();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(job->spec().runs(i).seed(), 7u);
    EXPECT_EQ(job->spec().runs(i).repetition(), static_cast<uint32_t>(i));
  }
}

TEST(Sweep, IsBoundedBeforeItIsExpanded) {
  std::string axis = "[0";
  for (int i = 1; i < 1000; ++i) axis += ", " + std::to_string(i);
  axis += "]";
  const auto most =
      ParseJob(With("seed: 7", "repeats: 10\n  sweep: {seed: " + axis + "}"), "job.yaml", {});
  ASSERT_TRUE(most.ok()) << most.status();
  EXPECT_EQ(most->spec().runs_size(), 10000);
  EXPECT_THAT(ErrorOf(With("seed: 7", "repeats: 11\n  sweep: {seed: " + axis + "}")),
              HasSubstr("job.yaml:7:10: spec.sweep: sweep and repeats make more than 10000 runs"));
  // 1000^6 would wrap 64 bits nowhere, but would take for ever.
  std::string six = "sweep: {seed: " + axis;
  for (const char* path : {"load.a", "load.b", "load.c", "load.d", "load.e", "load.f"}) {
    six += std::string(", ") + path + ": " + axis;
  }
  EXPECT_THAT(ErrorOf(With("seed: 7", six + "}")), HasSubstr("more than 10000 runs"));
}

TEST(Sweep, MeasureLimitFollowsTheLongestRun) {
  std::string text = With("seed: 7", "sweep: {load.duration: [1s, 40s]}");
  text.erase(text.find("    duration: 10s\n"), 18);
  const auto job = ParseJob(text, "job.yaml", {});
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(job->spec().limits().measure_ns(), (2 + 40 + 4 + 60) * kSecond);
}

TEST(Override, ReplacesAddsAndKeepsOrder) {
  const auto job = ParseJob(kGood, "job.yaml",
                            {{"load.rate", "3/s"},
                             {"load.rate", "auto"},
                             {"load.prompt_tokens", "{min: 2, max: 3}"},
                             {"limits.attempts", "5"},
                             {"sweep.workload.serve.max_batch", "[1, 2]"},
                             {"workload.serve.deterministic", "true"}});
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_EQ(job->spec().runs_size(), 2);
  EXPECT_TRUE(job->spec().runs(0).serve().load().has_auto_());
  EXPECT_EQ(job->spec().runs(0).serve().load().prompt_tokens().max(), 3u);
  EXPECT_TRUE(job->spec().runs(0).serve().deterministic());
  EXPECT_EQ(job->spec().limits().attempts(), 5u);
}

TEST(Override, ErrorsNameTheOverride) {
  const std::pair<Override, const char*> table[] = {
      {{"load.rate", "12"}, "--set load.rate=12: spec.load.rate: \"12\" has no unit"},
      {{"load.raet", "12/s"}, "--set load.raet=12/s: spec.load.raet: unknown key; did you mean"},
      {{"laod.rate", "12/s"}, "--set laod.rate=12/s: spec.laod: unknown key; did you mean"},
      {{"load.rate.x", "1"}, "--set load.rate.x=1: \"load.rate.x\" goes through \"rate\""},
      {{"load..rate", "1"}, "--set load..rate=1: \"load..rate\" has an empty part"},
      {{"load.rate", "[1"}, "--set load.rate=[1:"},
      {{"load.rate", "*a"}, "--set load.rate=*a"},
      {{"load.rate", "{a: 1, a: 2}"}, "this key is here twice"},
  };
  for (const auto& [set, says] : table) {
    EXPECT_THAT(ErrorOf(kGood, {set}), HasSubstr(says)) << set.path;
  }
}

TEST(Override, CommandLineForm) {
  const auto good = ParseOverride("load.rate=12/s");
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->path, "load.rate");
  EXPECT_EQ(good->value, "12/s");
  EXPECT_EQ(ParseOverride("a=b=c")->value, "b=c");
  for (const char* bad : {"load.rate", "=12", "load.rate=", ""}) {
    EXPECT_THAT(std::string(ParseOverride(bad).status().message()),
                HasSubstr("is not path=value; write for example --set load.rate=12/s"));
  }
}

TEST(Library, EveryJobIsGood) {
  for (const char* name : {"quickstart", "null"}) {
    const std::string path = std::string(RACKMARK_JOB_LIBRARY) + "/" + name + ".yaml";
    const auto job = ParseJob(FileText(path), path, {});
    ASSERT_TRUE(job.ok()) << job.status();
    EXPECT_TRUE(CheckJob(*job).ok()) << CheckJob(*job);
  }
}

TEST(CheckJob, RefusesWhatTheReaderWouldHaveRefused) {
  const v1::Job good = *ParseJob(kGood, "job.yaml", {});
  const std::pair<const char*, void (*)(v1::Job&)> table[] = {
      {"job.name", [](v1::Job& j) { j.set_name("../x"); }},
      {"job.gang.devices", [](v1::Job& j) { j.mutable_spec()->mutable_gang()->set_devices(0); }},
      {"job.gang.kind",
       [](v1::Job& j) { j.mutable_spec()->mutable_gang()->set_kind(v1::DEVICE_KIND_UNKNOWN); }},
      {"job.gang.per_node", [](v1::Job& j) { j.mutable_spec()->mutable_gang()->set_per_node(0); }},
      {"job.limits.attempts",
       [](v1::Job& j) { j.mutable_spec()->mutable_limits()->set_attempts(99); }},
      {"job.limits.measure_ns",
       [](v1::Job& j) { j.mutable_spec()->mutable_limits()->set_measure_ns(-1); }},
      {"job.runs ", [](v1::Job& j) { j.mutable_spec()->clear_runs(); }},
      {"job.runs.workload",
       [](v1::Job& j) { j.mutable_spec()->mutable_runs(0)->clear_workload(); }},
      {"job.serve.model",
       [](v1::Job& j) { j.mutable_spec()->mutable_runs(0)->mutable_serve()->set_model("x"); }},
      {"job.serve.tensor_parallel",
       [](v1::Job& j) {
         j.mutable_spec()->mutable_runs(0)->mutable_serve()->set_tensor_parallel(3);
       }},
      {"job.load.requests_per_second",
       [](v1::Job& j) {
         j.mutable_spec()
             ->mutable_runs(0)
             ->mutable_serve()
             ->mutable_load()
             ->set_requests_per_second(std::numeric_limits<double>::quiet_NaN());
       }},
      {"job.load.prompt_tokens",
       [](v1::Job& j) {
         j.mutable_spec()
             ->mutable_runs(0)
             ->mutable_serve()
             ->mutable_load()
             ->mutable_prompt_tokens()
             ->set_max(1);
       }},
  };
  EXPECT_TRUE(CheckJob(good).ok());
  for (const auto& [field, spoil] : table) {
    v1::Job job = good;
    spoil(job);
    const absl::Status status = CheckJob(job);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << field;
    EXPECT_THAT(std::string(status.message()), StartsWith(field));
  }
}

// No text, however broken, does anything but parse or fail with a sentence.
TEST(ParseJob, MutatedTextNeverCrashes) {
  constexpr std::string_view kSpice[] = {"{",  "}",  "[",  "]",    ":",        "\n", "  ", "- ",
                                         "&a", "*a", "!x", "\"",   "'",        "|",  ">",  "?",
                                         "#",  "%",  ",",  "\xff", "\xf4\x8f", "\t", "~",  "---\n"};
  Random random(1, 1);
  int good = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string text(kGood);
    for (uint64_t n = random.Between(1, 4); n > 0; --n) {
      const size_t at = random.Between(0, text.size() - 1);
      switch (random.Between(0, 3)) {
        case 0: text[at] = static_cast<char>(random.Next()); break;
        case 1: text.erase(at, random.Between(1, 20)); break;
        case 2: text.insert(at, kSpice[random.Between(0, std::size(kSpice) - 1)]); break;
        default: text.insert(at, text.substr(random.Between(0, text.size() - 1), 30)); break;
      }
      if (text.empty()) text = " ";
    }
    const auto job = ParseJob(text, "job.yaml", {});
    if (job.ok()) {
      ++good;
      EXPECT_TRUE(CheckJob(*job).ok()) << text << CheckJob(*job);
    } else {
      EXPECT_TRUE(absl::IsInvalidArgument(job.status())) << job.status();
    }
  }
  EXPECT_GT(good, 0);  // some mutations are harmless, so the good path was taken too
}

TEST(AtSpecField, NamesTheFieldsPlaceAndKeepsTheCode) {
  v1::Job job;
  job.set_source("apiVersion: rackmark/v1\nspec:\n  gang: {devices: 9}\n");
  const absl::Status problem = absl::OutOfRangeError("fits nowhere; use a smaller one");
  EXPECT_EQ(AtSpecField(job, "j.yaml", "gang", problem),
            absl::OutOfRangeError("j.yaml:3:9: spec.gang: fits nowhere; use a smaller one"));
  job.set_source("spec: {}");
  EXPECT_EQ(AtSpecField(job, "j.yaml", "gang", problem),
            absl::OutOfRangeError("j.yaml: spec.gang: fits nowhere; use a smaller one"));
}

}  // namespace
}  // namespace rackmark

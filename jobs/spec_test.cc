#include "jobs/spec.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <set>
#include <sstream>

#include "common/random.h"
#include "common/sha256.h"
#include "common/time.h"
#include "jobs/spec_cases.h"

namespace rackmark {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

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

TEST(ParseJob, SaysWhereAGangMayBeAndHowTheJobStands) {
  const auto plain = ParseJob(kGood, "job.yaml", {});
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->spec().gang().within(), v1::WITHIN_CLUSTER);
  EXPECT_FALSE(plain->spec().gang().preferred());
  EXPECT_EQ(plain->spec().priority(), 0);
  EXPECT_EQ(plain->spec().grace_ns(), 30 * kSecond);
  EXPECT_FALSE(plain->spec().has_lease_max_ns());
  EXPECT_FALSE(plain->spec().has_budget());
  EXPECT_FALSE(plain->spec().limits().has_stall_ns());
  std::string text = With("device: cpu}",
                          "device: gpu, prefer: nvlink-domain, exclusive: true, models: [GB200, "
                          "h100], labels: {pool: a}, nodes: [n1, n2], quarantined: true}");
  text.replace(text.find("seed: 7"), 7,
               "priority: -7\n  preemptible: true\n  grace: 0s\n  lease_max: 10min\n"
               "  budget: {wall: 2h, node_hours: 0.5}\n  limits: {stall: 5s}");
  const auto job = ParseJob(text, "job.yaml", {});
  ASSERT_TRUE(job.ok()) << job.status();
  const v1::Gang& gang = job->spec().gang();
  EXPECT_EQ(gang.within(), v1::WITHIN_NVLINK_DOMAIN);
  EXPECT_TRUE(gang.preferred() && gang.exclusive() && gang.quarantined());
  EXPECT_THAT(gang.models(), testing::ElementsAre("GB200", "h100"));
  EXPECT_THAT(gang.nodes(), testing::ElementsAre("n1", "n2"));
  EXPECT_EQ(gang.labels().at("pool"), "a");
  EXPECT_EQ(job->spec().priority(), -7);
  EXPECT_TRUE(job->spec().preemptible());
  EXPECT_EQ(job->spec().grace_ns(), 0);
  EXPECT_EQ(job->spec().lease_max_ns(), 600 * kSecond);
  EXPECT_EQ(job->spec().budget().wall_ns(), 7200 * kSecond);
  EXPECT_DOUBLE_EQ(job->spec().budget().node_seconds(), 1800);
  EXPECT_EQ(job->spec().limits().stall_ns(), 5 * kSecond);
  EXPECT_TRUE(CheckJob(*job).ok()) << CheckJob(*job);
  const auto within = ParseJob(With("device: cpu}", "device: cpu, within: rack}"), "job.yaml", {});
  ASSERT_TRUE(within.ok()) << within.status();
  EXPECT_EQ(within->spec().gang().within(), v1::WITHIN_RACK);
  EXPECT_FALSE(within->spec().gang().preferred());
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

std::string NullWith(std::string_view hold) {
  return absl::StrCat(
      "apiVersion: rackmark/v1\nkind: Job\nmetadata: {name: n}\nspec:\n"
      "  gang: {devices: 2, device: cpu}\n  workload:\n    null:\n      duration: 2s\n",
      "      hold: ", ToAbsl(hold), "\n");
}

TEST(ParseJob, HoldsAPhaseOfTheNullWorkload) {
  const auto job = ParseJob(NullWith("{phase: measuring, for: 3s, rank: 1}"), "job.yaml", {});
  ASSERT_TRUE(job.ok()) << job.status();
  const v1::Hold& hold = job->spec().runs(0).null().hold();
  EXPECT_EQ(hold.phase(), v1::HOLD_PHASE_MEASURING);
  EXPECT_EQ(hold.duration_ns(), 3 * kSecond);
  EXPECT_EQ(hold.rank(), 1u);
  EXPECT_TRUE(CheckJob(*job).ok());
  // Every phase has its word.
  for (int phase = v1::HoldPhase_MIN + 1; phase <= v1::HoldPhase_MAX; ++phase) {
    std::string word = v1::HoldPhase_Name(static_cast<v1::HoldPhase>(phase)).substr(11);
    std::transform(word.begin(), word.end(), word.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const auto held = ParseJob(NullWith("{phase: " + word + ", for: 1s}"), "job.yaml", {});
    ASSERT_TRUE(held.ok()) << held.status();
    EXPECT_EQ(held->spec().runs(0).null().hold().phase(), phase);
    EXPECT_FALSE(held->spec().runs(0).null().hold().has_rank());
  }
}

TEST(ParseJob, RefusesAHoldThatWouldHoldNothing) {
  EXPECT_THAT(ErrorOf(NullWith("{phase: measurring, for: 3s}")), HasSubstr("measuring"));
  EXPECT_THAT(ErrorOf(NullWith("{phase: measuring}")), HasSubstr("hold.for"));
  EXPECT_THAT(ErrorOf(NullWith("{for: 3s}")), HasSubstr("hold.phase"));
  EXPECT_THAT(ErrorOf(NullWith("{phase: measuring, for: 3}")), HasSubstr("hold.for"));
  EXPECT_THAT(ErrorOf(NullWith("{phase: measuring, for: 3s, rank: 2}")), HasSubstr("hold.rank"));
  EXPECT_THAT(ErrorOf(NullWith("{phase: judging, for: 3s, rank: 0}")),
              HasSubstr("which the coordinator holds; remove it"));
  EXPECT_THAT(ErrorOf(NullWith("{phase: judging, for: 3s, ranks: 0}")), HasSubstr("ranks"));
}

TEST(CheckJob, RefusesAHoldThatNoReaderMakes) {
  auto job = ParseJob(NullWith("{phase: measuring, for: 3s, rank: 1}"), "job.yaml", {});
  v1::Hold& hold = *job->mutable_spec()->mutable_runs(0)->mutable_null()->mutable_hold();
  hold.set_rank(2);
  EXPECT_THAT(std::string(CheckJob(*job).message()), HasSubstr("null.hold.rank"));
  hold.clear_rank();
  hold.set_duration_ns(-1);
  EXPECT_THAT(std::string(CheckJob(*job).message()), HasSubstr("null.hold.duration_ns"));
  hold.set_duration_ns(kSecond);
  hold.set_phase(v1::HOLD_PHASE_UNKNOWN);
  EXPECT_THAT(std::string(CheckJob(*job).message()), HasSubstr("null.hold.phase"));
}

TEST(ParseJob, EveryMistakeNamesPlacePathAndRemedy) {
  for (const BadCase& bad : kBadCases) {
    const std::string error = ErrorOf(With(bad.from, bad.to));
    EXPECT_THAT(error, StartsWith("job.yaml:")) << bad.to;
    EXPECT_THAT(error, HasSubstr(bad.says)) << bad.to;
    EXPECT_THAT(error, testing::AnyOf(HasSubstr("; "), HasSubstr("?"))) << bad.to;
  }
}

std::vector<std::string> AllErrors(const std::string& yaml) {
  std::vector<std::string> errors;
  for (const absl::Status& problem : ReadJob(yaml, "j", {}).problems) {
    errors.emplace_back(problem.message());
  }
  return errors;
}

TEST(ReadJob, TellsAllMistakesAtOnceAndNoConsequences) {
  std::string text = With("kv_memory: 64MiB", "max_batch: 0\n      prefil_chunk: 9");
  text.replace(text.find("name: test"), 10, "name: No_");
  text.replace(text.find("duration: 10s"), 13, "duration: 10");
  EXPECT_THAT(AllErrors(text),
              testing::ElementsAre(
                  HasSubstr("j:4:9: metadata.name: \"No_\" is not a name"),
                  HasSubstr("j:12:7: spec.workload.serve.prefil_chunk: unknown key; did you mean "
                            "\"prefill_chunk\"?"),
                  HasSubstr("j:11:18: spec.workload.serve.max_batch: \"0\" is out of range"),
                  HasSubstr("j:15:15: spec.load.duration: \"10\" has no unit")));
  // A mistyped key is one mistake: what it was meant for is not also missing.
  EXPECT_THAT(AllErrors(With("gang:", "gnag:")), testing::ElementsAre(HasSubstr("\"gang\"?")));
  EXPECT_THAT(AllErrors(With("workload:", "workloads:")),
              testing::ElementsAre(HasSubstr("\"workload\"?")));
  EXPECT_THAT(AllErrors(With("model:", "modell:")), testing::ElementsAre(HasSubstr("\"model\"?")));
  EXPECT_THAT(AllErrors(With("devices: 2", "devices: two")), testing::SizeIs(1));
  // A mistake of every point of a sweep is told once.
  EXPECT_THAT(AllErrors(With("seed: 7", "turbo: 1\n  sweep: {seed: [1, 2, 3]}")),
              testing::ElementsAre(HasSubstr("spec.turbo: unknown key")));
  EXPECT_THAT(AllErrors(std::string(kGood)), testing::IsEmpty());
}

TEST(Estimate, PlanAndLimits) {
  const auto job = ParseJob(
      With("seed: 7", "repeats: 3\n  limits: {setup: 10s, prepare: 20s, drain: 5s}"), "j", {});
  ASSERT_TRUE(job.ok()) << job.status();
  // Each run: 2 s warm-up, 10 s window, 2 s grace; twice 10 s, 20 s, 74 s and 5 s at most.
  EXPECT_EQ(EstimateOf(job->spec()).planned, 3 * 14 * kSecond);
  EXPECT_EQ(EstimateOf(job->spec()).at_most, 3 * 2 * 109 * kSecond);
  v1::JobSpec long_one = job->spec();
  while (long_one.runs_size() < 10000) *long_one.add_runs() = long_one.runs(0);
  long_one.mutable_limits()->set_setup_ns(24 * 3600 * kSecond);
  long_one.mutable_limits()->set_measure_ns(48 * 3600 * kSecond);
  long_one.mutable_limits()->set_attempts(10);
  EXPECT_GT(EstimateOf(long_one).at_most, EstimateOf(long_one).planned);
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

// As deep as a file may be, and not as deep as a command line can write.
TEST(Override, OfManyPartsIsRefusedInFewWords) {
  const auto path = [](const std::string& start, int parts) {
    std::string text = start;
    for (int i = 1; i < parts; ++i) text += ".a";
    return text;
  };
  const std::string deep = ErrorOf(kGood, {{path("load", 100000), "1"}});
  EXPECT_THAT(deep, HasSubstr("has 100000 parts, 32 at most"));
  EXPECT_LT(deep.size(), 300U);
  EXPECT_THAT(ErrorOf(kGood, {{path("load", 33), "1"}}), HasSubstr("has 33 parts"));
  EXPECT_THAT(ErrorOf(kGood, {{path("load", 32), "1"}}), HasSubstr("unknown key"));
  const std::string swept =
      ErrorOf(With("seed: 7", "sweep:\n    ? " + path("load", 100000) + "\n    : [1]"));
  EXPECT_THAT(swept, HasSubstr("spec.sweep: \"load.a"));
  EXPECT_THAT(swept, HasSubstr("has 100000 parts, 32 at most"));
  EXPECT_LT(swept.size(), 300U);
}

// Each is one problem, told before all of them are compared with each other.
TEST(Bounds, OfLabelsComeBeforeWhatIsWrongWithThem) {
  std::string labels, values;
  for (int i = 0; i < 20000; ++i) {
    labels += absl::StrCat(i == 0 ? "" : ", ", "k", i, ": []");
    values += absl::StrCat(i == 0 ? "" : ", ", i % 2);
  }
  EXPECT_THAT(AllErrors(With("name: test", "name: test\n  labels: {" + labels + "}")),
              testing::ElementsAre(HasSubstr("metadata.labels: holds more than 32 labels")));
  EXPECT_THAT(AllErrors(With("device: cpu", "device: cpu, models: [" + values + "]")),
              testing::ElementsAre(HasSubstr("spec.gang.models: holds more than")));
}

TEST(Override, IntoASpecThatIsNoMap) {
  constexpr char kScalar[] = "apiVersion: rackmark/v1\nkind: Job\nmetadata: {name: a}\nspec: 3\n";
  EXPECT_THAT(ErrorOf(kScalar, {{"load.rate", "12/s"}}),
              HasSubstr("\"load.rate\" goes through \"spec\", which is not a map"));
}

TEST(Override, CommandLineForm) {
  const auto good = ParseOverride("load.rate=12/s");
  ASSERT_TRUE(good.ok());
  EXPECT_EQ(good->path, "load.rate");
  EXPECT_EQ(good->value, "12/s");
  EXPECT_EQ(ParseOverride("a=b=c")->value, "b=c");
  EXPECT_THAT(std::string(ParseOverride("spec.load.rate=12/s").status().message()),
              HasSubstr("begins at spec, and so do all; write --set load.rate=12/s"));
  EXPECT_TRUE(ParseOverride("speculative=1").ok());
  for (const char* bad : {"load.rate", "=12", "load.rate=", ""}) {
    EXPECT_THAT(std::string(ParseOverride(bad).status().message()),
                HasSubstr("is not path=value; write for example --set load.rate=12/s"));
  }
}

// A bare null is no text to other readers of YAML, editors among them; so it is quoted for them.
TEST(Library, TheNullWorkloadIsTextToEveryReader) {
  const std::string path = std::string(RACKMARK_JOB_LIBRARY) + "/null.yaml";
  std::string text = FileText(path);
  EXPECT_THAT(text, HasSubstr("\n    \"null\":\n"));
  EXPECT_THAT(text, testing::Not(HasSubstr("\n    null:")));
  const auto quoted = ParseJob(text, path, {});
  ASSERT_TRUE(quoted.ok()) << quoted.status();
  text.replace(text.find("\n    \"null\":"), 12, "\n    null:");
  const auto bare = ParseJob(text, path, {});
  ASSERT_TRUE(bare.ok()) << bare.status();
  EXPECT_EQ(bare->spec().SerializeAsString(), quoted->spec().SerializeAsString());
}

TEST(Library, EveryJobIsGood) {
  for (const char* name : {"quickstart", "null"}) {
    const std::string path = std::string(RACKMARK_JOB_LIBRARY) + "/" + name + ".yaml";
    const auto job = ParseJob(FileText(path), path, {});
    ASSERT_TRUE(job.ok()) << job.status();
    EXPECT_TRUE(CheckJob(*job).ok()) << CheckJob(*job);
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

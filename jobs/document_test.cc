// Suites, and documents of any kind: what the reader makes of them, what it says of each mistake,
// and that the check of what comes over the wire refuses the same. Schedules: schedule_reader_test.
#include "jobs/document.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/random.h"
#include "common/sha256.h"
#include "jobs/document_cases.h"

namespace rackmark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

TEST(Suite, HasItsJobsInAnOrderInWhichTheyCanRun) {
  const auto suite = Good<v1::Suite>(kSuite);
  EXPECT_EQ(suite.name(), "rack");
  EXPECT_EQ(suite.labels().at("team"), "a");
  EXPECT_EQ(suite.source(), kSuite);
  EXPECT_EQ(suite.source_sha256(), Sha256Hex(kSuite));
  ASSERT_EQ(suite.jobs_size(), 3);
  const v1::Job& smoke = suite.jobs(0);
  EXPECT_EQ(smoke.part().name(), "smoke");
  EXPECT_TRUE(smoke.part().gate());
  EXPECT_EQ(smoke.name(), "rack-smoke");
  EXPECT_EQ(smoke.labels().at("team"), "a");
  EXPECT_EQ(smoke.spec().runs_size(), 1);
  EXPECT_EQ(smoke.spec().limits().attempts(), 2u);  // defaults are filled in
  const v1::Job& serve = suite.jobs(1);
  EXPECT_EQ(serve.name(), "served");
  EXPECT_EQ(serve.source(), kServe);
  EXPECT_EQ(serve.part().after(0).part(), "smoke");
  EXPECT_EQ(serve.part().after(0).when(), v1::DEPENDENCY_WHEN_SUCCESS);
  EXPECT_EQ(suite.jobs(2).part().name(), "last");
  EXPECT_EQ(suite.jobs(2).part().after_size(), 2);
  EXPECT_EQ(suite.jobs(2).part().after(1).when(), v1::DEPENDENCY_WHEN_ANY);
  EXPECT_TRUE(CheckSuite(suite).ok()) << CheckSuite(suite);
  EXPECT_THAT(JobsOf(suite), testing::SizeIs(3));
}

TEST(Suite, ExpectsOnlyWhatItSays) {
  const v1::Expectation expect = Good<v1::Suite>(kSuite).expect();
  EXPECT_THAT(expect.nodes(), ElementsAre("n1", "n2"));
  EXPECT_EQ(expect.kind(), v1::DEVICE_KIND_GPU);
  EXPECT_EQ(expect.model(), "GB200");
  EXPECT_EQ(expect.wait_ns(), 20 * kSecond);
  EXPECT_FALSE(expect.has_node_count() || expect.has_devices_per_node() || expect.alike() ||
               expect.has_links_per_device() || expect.has_one_domain());
  const v1::Expectation all =
      Good<v1::Suite>(With(kSuite, "model: GB200",
                           "model: GB200\n    devices_per_node: 4\n    links_per_device: 18\n"
                           "    one_domain: true\n    alike: true\n    driver: \"570.86\"\n"
                           "    wait: 0s\n    labels: {rack: r1}\n"
                           "    slots: [{node: n1, slot: \"0\", serial: s1}]"))
          .expect();
  EXPECT_EQ(all.devices_per_node(), 4u);
  EXPECT_EQ(all.links_per_device(), 18u);
  EXPECT_TRUE(all.one_domain() && all.alike());
  EXPECT_EQ(all.driver(), "570.86");
  EXPECT_EQ(all.wait_ns(), 0);
  EXPECT_EQ(all.labels().at("rack"), "r1");
  EXPECT_EQ(all.slots(0).serial(), "s1");
  EXPECT_FALSE(Good<v1::Suite>(With(kSuite,
                                    kSuite.substr(kSuite.find("  expect"),
                                                  kSuite.find("  jobs") - kSuite.find("  expect")),
                                    ""))
                   .has_expect());
}

TEST(Suite, EachMistakeHasItsPlaceAndRemedy) {
  const Bad table[] = {
      {"kind: Suite", "kind: Siute",
       "a.yaml:2:7: kind: \"Siute\" is unknown; did you mean \"Suite\"?"},
      {"name: rack", "name: Rack", "a.yaml:3:18: metadata.name: \"Rack\" is not a name"},
      {"  jobs:", "  jbos:", "a.yaml:9:3: spec.jbos: unknown key; did you mean \"jobs\"?"},
      {"name: serve", "nmae: serve",
       "a.yaml:10:7: spec.jobs[0].nmae: unknown key; did you mean \"name\"?"},
      {"name: serve", "name: smoke",
       "a.yaml:13:13: spec.jobs[1].name: \"smoke\" is the name of two parts; rename one"},
      {"after: [smoke]", "after: [smkoe]",
       "a.yaml:11:14: spec.jobs[0].after: \"smkoe\" is no part of this suite; did you mean"},
      {"after: [smoke]", "after: [last]",
       "a.yaml:11:14: spec.jobs[0].after: waits for itself, by way of the parts that it names"},
      {"after: [smoke]", "after: [serve]", "spec.jobs[0].after: waits for itself"},
      {"after: [smoke]", "after: []", "spec.jobs[0].after: is an empty list"},
      {"after: [smoke]", "when: any", "spec.jobs[0].when: means nothing without after"},
      {"when: any", "when: always", "spec.jobs[2].when: \"always\" is unknown; write success or"},
      {"gate: true", "gate: true\n      after: [last]",
       "a.yaml:14:13: spec.jobs[1].gate: waits for another part; a gate goes first"},
      {"gate: true", "gate: 1", "spec.jobs[1].gate: \"1\" where a switch is needed"},
      {"      job: serve.yaml\n", "", "a.yaml:10:7: spec.jobs[0].job: is missing; write a text"},
      {"job: serve.yaml", "job: nothing.yaml",
       "a.yaml:12:12: spec.jobs[0].job: there is no such file; check the path"},
      {"job: serve.yaml", "job: broken.yaml", "broken.yaml:1:1: apiVersion: is missing"},
      {"job: serve.yaml", "job: yaml.yaml", "yaml.yaml:"},
      {"job: serve.yaml", "job: suite.yaml",
       "suite.yaml of a.yaml:2:7: kind: \"Suite\" is unknown; write Job"},
      {"job: serve.yaml", "job: [serve.yaml]", "spec.jobs[0].job: is a list; write a text"},
      {"devices: 1, device: cpu", "devices: 0, device: cpu",
       "a.yaml:16:25: spec.jobs[1].job.gang.devices: \"0\" is out of range; write 1 to 65536"},
      {"devices: 1, device: cpu}", "devices: 1, device: cpu}\n        sweep: {gang.devices: [1]}",
       "a.yaml:17:17: spec.jobs[1].job.sweep.gang.devices: cannot be swept"},
      {"\"null\": {}", "\"null\": {duration: 3}",
       "spec.jobs[1].job.workload.null.duration: \"3\" has no unit"},
      {"nodes: [n1, n2]", "nodes: [n1, n2]\n    node_count: 2",
       "a.yaml:7:17: spec.expect.node_count: stands beside nodes, which are counted"},
      {"nodes: [n1, n2]", "nodes: [n1]\n    slots: [{node: n2, slot: a, serial: b}]",
       "spec.expect.slots[0].node: \"n2\" is none of expect.nodes; add it there"},
      {"model: GB200", "slots: [{node: n1, slot: a, serial: b}, {node: n1, slot: a, serial: c}]",
       "spec.expect.slots[1].slot: is here twice, on the same node"},
      {"model: GB200", "slots: [{node: n1, slot: a, serial: b}, {node: n2, slot: a, serial: b}]",
       "spec.expect.slots[1].serial: sits in two slots"},
      {"model: GB200", "model: \"\"", "spec.expect.model: is empty"},
      {"model: GB200", "links_per_device: many", "spec.expect.links_per_device: \"many\" is not a"},
      {"model: GB200", "wait: 2min", "spec.expect.wait: \"2min\" is out of range; write 0 ns to"},
      {"model: GB200", "alike: yes", "spec.expect.alike: \"yes\" where a switch is needed"},
  };
  for (const Bad& bad : table) {
    EXPECT_THAT(ErrorsOf(With(kSuite, bad.from, bad.to)), testing::Contains(HasSubstr(bad.says)))
        << bad.to;
  }
}

TEST(Suite, WithoutJobsOrWithAnEmptyExpectationIsRefused) {
  constexpr char kHead[] = "apiVersion: rackmark/v1\nkind: Suite\nmetadata: {name: a}\n";
  EXPECT_THAT(ErrorsOf(kHead), ElementsAre(HasSubstr("spec: is missing; write its jobs here")));
  EXPECT_THAT(ErrorsOf(absl::StrCat(kHead, "spec: {}\n")),
              ElementsAre(HasSubstr("spec.jobs: is missing; write a list of maps here")));
  EXPECT_THAT(ErrorsOf(absl::StrCat(kHead, "spec: {jobs: []}\n")),
              ElementsAre(HasSubstr("spec.jobs: is an empty list")));
  EXPECT_THAT(ErrorsOf(absl::StrCat(kHead, "spec: {jobs: {}}\n")),
              ElementsAre(HasSubstr("spec.jobs: is a map where a list is needed")));
  EXPECT_THAT(ErrorsOf(absl::StrCat(kHead, "spec: {jobs: [a]}\n")),
              testing::Contains(HasSubstr("spec.jobs[0]: is a single value where a map is")));
  EXPECT_THAT(
      ErrorsOf(absl::StrCat(kHead, "spec: {expect: {}, jobs: [{name: a, job: serve.yaml}]}\n")),
      ElementsAre(HasSubstr("a.yaml:4:16: spec.expect: expects nothing; write node_count")));
  std::string many = absl::StrCat(kHead, "spec:\n  jobs:\n");
  for (int i = 0; i <= 100; ++i) absl::StrAppend(&many, "  - {name: p", i, ", job: serve.yaml}\n");
  EXPECT_THAT(ErrorsOf(many), ElementsAre(HasSubstr("spec.jobs: holds more than 100 of them")));
  const std::string name(60, 'x');
  EXPECT_THAT(ErrorsOf(With(kSuite, "name: smoke", "name: " + name)),
              testing::Contains(HasSubstr("longer than 63; shorten it or the suite's")));
}

TEST(Suite, TheWireIsCheckedAsTheFileIs) {
  const v1::Suite good = Good<v1::Suite>(kSuite);
  const std::pair<const char*, void (*)(v1::Suite&)> table[] = {
      {"suite.name", [](v1::Suite& s) { s.set_name("a/b"); }},
      {"suite.labels", [](v1::Suite& s) { (*s.mutable_labels())[std::string(300, 'a')] = ""; }},
      {"suite.jobs is 0", [](v1::Suite& s) { s.clear_jobs(); }},
      {"suite.jobs.part is missing", [](v1::Suite& s) { s.mutable_jobs(1)->clear_part(); }},
      {"suite.jobs.part.suite_id",
       [](v1::Suite& s) { s.mutable_jobs(1)->mutable_part()->set_suite_id(3); }},
      {"suite.jobs.scheduled", [](v1::Suite& s) { s.mutable_jobs(1)->mutable_scheduled(); }},
      {"suite.jobs.part.name is that of two",
       [](v1::Suite& s) { s.mutable_jobs(1)->mutable_part()->set_name("smoke"); }},
      {"suite.jobs.part.after names a part that does not",
       [](v1::Suite& s) { s.mutable_jobs()->SwapElements(0, 1); }},
      {"suite.jobs.part.after names a part twice",
       [](v1::Suite& s) {
         v1::SuitePart& part = *s.mutable_jobs(1)->mutable_part();
         *part.add_after() = part.after(0);
       }},
      {"suite.jobs.part.after.when",
       [](v1::Suite& s) {
         s.mutable_jobs(1)->mutable_part()->mutable_after(0)->set_when(v1::DEPENDENCY_WHEN_UNKNOWN);
       }},
      {"suite.jobs.part.gate",
       [](v1::Suite& s) { s.mutable_jobs(1)->mutable_part()->set_gate(true); }},
      {"suite.jobs, serve: job.gang.devices",
       [](v1::Suite& s) { s.mutable_jobs(1)->mutable_spec()->mutable_gang()->set_devices(0); }},
      {"suite.expect.nodes", [](v1::Suite& s) { s.mutable_expect()->add_nodes(""); }},
      {"suite.expect.node_count", [](v1::Suite& s) { s.mutable_expect()->set_node_count(0); }},
      {"suite.expect.kind",
       [](v1::Suite& s) { s.mutable_expect()->set_kind(static_cast<v1::DeviceKind>(7)); }},
      {"suite.expect.devices_per_node",
       [](v1::Suite& s) { s.mutable_expect()->set_devices_per_node(0); }},
      {"suite.expect.links_per_device",
       [](v1::Suite& s) { s.mutable_expect()->set_links_per_device(1 << 20); }},
      {"suite.expect.model",
       [](v1::Suite& s) { s.mutable_expect()->set_model(std::string(300, 'm')); }},
      {"suite.expect.slots", [](v1::Suite& s) { s.mutable_expect()->add_slots(); }},
      {"suite.expect.wait_ns", [](v1::Suite& s) { s.mutable_expect()->set_wait_ns(61 * kSecond); }},
      {"suite.scheduled", [](v1::Suite& s) { s.mutable_scheduled(); }},
  };
  for (const auto& [says, spoil] : table) {
    v1::Suite suite = good;
    spoil(suite);
    const absl::Status status = CheckSuite(suite);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << says;
    EXPECT_THAT(std::string(status.message()), StartsWith(says));
  }
}

TEST(Document, SetsReachIntoEachKind) {
  const DocumentResult schedule =
      Read(kSchedule, {{"schedule", "\"@hourly\""}, {"jobTemplate.spec.seed", "9"}});
  ASSERT_TRUE(schedule.document.has_value()) << schedule.problems.front();
  EXPECT_EQ(std::get<v1::Schedule>(*schedule.document).when(), "@hourly");
  EXPECT_EQ(std::get<v1::Schedule>(*schedule.document).job().spec().runs(0).seed(), 9u);
  const DocumentResult suite = Read(kSuite, {{"expect.wait", "1s"}});
  ASSERT_TRUE(suite.document.has_value()) << suite.problems.front();
  EXPECT_EQ(std::get<v1::Suite>(*suite.document).expect().wait_ns(), kSecond);
  const DocumentResult job = Read(kServe, {{"seed", "3"}});
  ASSERT_TRUE(job.document.has_value()) << job.problems.front();
  EXPECT_EQ(JobsOf(*job.document).front()->spec().runs(0).seed(), 3u);
}

// What is taken is the same by ParseJob; and without anybody who reads files, none is named.
TEST(Document, OfAJobIsThatJob) {
  const DocumentResult job = ReadDocument(kServe, "a.yaml", {}, {});
  ASSERT_TRUE(job.document.has_value());
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(std::get<v1::Job>(*job.document),
                                                                 *ParseJob(kServe, "a.yaml", {})));
  const DocumentResult suite = ReadDocument(kSuite, "a.yaml", {}, {});
  ASSERT_FALSE(suite.document.has_value());
  EXPECT_THAT(std::string(suite.problems.front().message()),
              HasSubstr("names a file, and no file can be read here; write its spec out"));
}

TEST(Library, EveryDocumentIsGood) {
  const auto beside = [](std::string_view path, std::string_view) -> absl::StatusOr<NamedText> {
    const std::string name = std::string(RACKMARK_JOB_LIBRARY) + "/" + std::string(path);
    std::ifstream file(name);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file.good()) return absl::NotFoundError(name);
    return NamedText{name, text.str()};
  };
  size_t read = 0;
  for (const auto& entry : std::filesystem::directory_iterator(RACKMARK_JOB_LIBRARY)) {
    const std::string name = entry.path().filename().string();
    if (name == "trace.yaml") continue;  // its file is whoever's runs it
    const auto text = beside(name, "");
    ASSERT_TRUE(text.ok());
    const DocumentResult result = ReadDocument(text->text, name, {}, {{}, beside, FindAnyZone});
    ASSERT_TRUE(result.document.has_value()) << result.problems.front();
    if (const auto* suite = std::get_if<v1::Suite>(&*result.document)) {
      EXPECT_TRUE(CheckSuite(*suite).ok()) << CheckSuite(*suite);
    } else if (const auto* schedule = std::get_if<v1::Schedule>(&*result.document)) {
      EXPECT_TRUE(CheckSchedule(*schedule, FindAnyZone).ok());
    } else {
      EXPECT_TRUE(CheckJob(std::get<v1::Job>(*result.document)).ok()) << name;
    }
    ++read;
  }
  EXPECT_GE(read, 4u);
}

// No text, however broken, does anything but read or fail with a sentence; and what is read is
// what the wire takes.
TEST(Document, MutatedTextNeverCrashes) {
  constexpr std::string_view kSpice[] = {"{",  "}", "[",    "]", ":",  "\n", "  ",  "- ",
                                         "\"", ",", "\xff", "*", "@x", "~",  "---", "null"};
  Random random(4, 4);
  int good = 0;
  for (int round = 0; round < 4000; ++round) {
    std::string text(round % 2 == 0 ? kSuite : kSchedule);
    for (uint64_t n = random.Between(1, 3); n > 0; --n) {
      const size_t at = random.Between(0, text.size() - 1);
      switch (random.Between(0, 3)) {
        case 0: text[at] = static_cast<char>(random.Next()); break;
        case 1: text.erase(at, random.Between(1, 20)); break;
        case 2: text.insert(at, kSpice[random.Between(0, std::size(kSpice) - 1)]); break;
        default: text.insert(at, text.substr(random.Between(0, text.size() - 1), 30)); break;
      }
      if (text.empty()) text = " ";
    }
    const DocumentResult result = Read(text);
    for (const absl::Status& problem : result.problems) {
      EXPECT_TRUE(absl::IsInvalidArgument(problem)) << problem;
    }
    if (!result.document.has_value()) continue;
    ++good;
    if (const auto* suite = std::get_if<v1::Suite>(&*result.document)) {
      EXPECT_TRUE(CheckSuite(*suite).ok()) << text << CheckSuite(*suite);
    } else if (const auto* schedule = std::get_if<v1::Schedule>(&*result.document)) {
      EXPECT_TRUE(CheckSchedule(*schedule, FindAnyZone).ok())
          << text << CheckSchedule(*schedule, FindAnyZone);
    }
  }
  EXPECT_GT(good, 0);  // some mutations are harmless, so the good path was taken too
}

}  // namespace
}  // namespace rackmark

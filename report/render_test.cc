// Golden files of all renderings for one fixed summary; RACKMARK_REWRITE_GOLDEN=1 rewrites them.
#include "report/render.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "report/chart.h"
#include "report/judge.h"
#include "report/test_data.h"

namespace rackmark {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kHostile[] = "</script><img onerror=alert(1)>\x1b[31m";

std::string ReadSource(const std::string& path) {
  std::ifstream in(std::string(RACKMARK_SOURCE_DIR) + "/" + path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

void ExpectGolden(const std::string& name, const std::string& text) {
  const std::string path = "tests/golden/" + name;
  if (std::getenv("RACKMARK_REWRITE_GOLDEN") != nullptr) {
    std::ofstream(std::string(RACKMARK_SOURCE_DIR) + "/" + path) << text;
  }
  EXPECT_EQ(text, ReadSource(path)) << path << " differs; RACKMARK_REWRITE_GOLDEN=1 rewrites it";
}

v1::JobSummary FixedJob() {
  RunSummarizer summarizer;
  for (const v1::Chunk& chunk : TestChunks()) EXPECT_TRUE(summarizer.AddChunk(chunk).ok());
  RunFacts facts = TestFacts();
  facts.nodes[0].mutable_environment()->set_cpu_model(kHostile);
  (*facts.nodes[0].mutable_environment()->mutable_more())["governor"] = kHostile;
  v1::Failure earlier;
  earlier.set_kind(v1::FAILURE_KIND_RANK_DIED);
  earlier.set_rank(1);
  earlier.set_node(kHostile);
  earlier.set_detail(kHostile);
  earlier.set_stderr_tail(std::string("bad\n") + kHostile);
  facts.earlier_failures.push_back(earlier);
  v1::JobSummary job;
  job.set_format(1);
  job.set_cluster_id("0123456789abcdef0123456789abcdef");
  job.set_job_id(3);
  job.set_job_name(kHostile);
  (*job.mutable_labels())[kHostile] = kHostile;
  job.set_source(kHostile);
  job.set_submitted_unix_ns(1'700'000'000 * kSecond);
  job.set_rackmark_version("0.1.0");
  job.mutable_by()->set_name("ann");
  *job.add_runs() = summarizer.Finish(facts);
  *job.add_runs() = job.runs(0);
  job.mutable_runs(1)->set_run_id(8);
  job.mutable_runs(1)->mutable_spec()->set_repetition(1);
  job.mutable_runs(1)->mutable_serve()->set_delivered_share(0.5);
  for (v1::RunSummary& run : *job.mutable_runs()) Judge(run);
  job.set_verdict(JobVerdict(job));
  return job;
}

TEST(Render, Golden) {
  const v1::JobSummary job = FixedJob();
  ExpectGolden("report.json", RenderJson(job));
  ExpectGolden("report.html", RenderHtml(job));
  ExpectGolden("report.txt", RenderTerminal(job, {}));
}

TEST(Render, HostileTextStaysText) {
  const v1::JobSummary job = FixedJob();
  const std::string html = RenderHtml(job);
  const std::string json = RenderJson(job);
  const std::string text = RenderTerminal(job, {});
  for (const std::string* out : {&html, &json, &text}) EXPECT_THAT(*out, Not(HasSubstr("\x1b")));
  EXPECT_THAT(html, Not(HasSubstr("<img")));
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("http://")));
  EXPECT_THAT(json, Not(HasSubstr("</")));
  EXPECT_THAT(RenderTerminal(job, {.width = 80, .color = true}), HasSubstr("\x1b[1;33m"));
}

TEST(Render, TerminalKeepsItsWidth) {
  for (const int width : {40, 60, 100}) {
    std::istringstream lines(RenderTerminal(FixedJob(), {.width = width}));
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(line.size(), static_cast<size_t>(width)) << line;
    }
  }
}

TEST(Render, MissingIsNeverZero) {
  v1::JobSummary job = FixedJob();
  job.mutable_runs()->DeleteSubrange(1, 1);
  job.mutable_runs(0)->mutable_serve()->clear_floor_tok_s();
  v1::MissingValue* missing = job.mutable_runs(0)->add_missing();
  missing->set_name("decode floor");
  missing->set_reason("no bandwidth");
  EXPECT_THAT(RenderHtml(job), HasSubstr("missing: no bandwidth"));
  EXPECT_TRUE(Json::parse(RenderJson(job))["runs"][0]["serve"]["floor_tok_s"].is_null());
}

// The part of JSON Schema that our schema uses: $ref, type, enum, properties, required,
// additionalProperties, items.
std::string Violation(const Json& schema, const Json& root, const Json& value,
                      const std::string& at) {
  if (schema.contains("$ref")) {
    const std::string ref = schema["$ref"];
    return Violation(root.at(Json::json_pointer(ref.substr(1))), root, value, at);
  }
  if (schema.contains("anyOf")) {
    std::string last;
    for (const Json& one : schema["anyOf"]) {
      last = Violation(one, root, value, at);
      if (last.empty()) return "";
    }
    return last;
  }
  const std::string type = schema.value("type", "");
  const bool fits =
      (type == "object" && value.is_object()) || (type == "null" && value.is_null()) ||
      (type == "array" && value.is_array()) || (type.empty()) ||
      (type == "string" && value.is_string()) || (type == "integer" && value.is_number_integer()) ||
      (type == "number" && value.is_number()) || (type == "boolean" && value.is_boolean());
  if (!fits) return at + " is not of type " + type;
  if (schema.contains("enum") &&
      std::find(schema["enum"].begin(), schema["enum"].end(), value) == schema["enum"].end()) {
    return at + " is none of the words";
  }
  for (const Json& key : schema.value("required", Json::array())) {
    if (!value.contains(key.get<std::string>())) return at + " lacks " + key.get<std::string>();
  }
  if (value.is_object()) {
    for (const auto& [key, inner] : value.items()) {
      const bool known = schema.contains("properties") && schema["properties"].contains(key);
      if (!known && !schema["additionalProperties"].is_object()) return at + " has unknown " + key;
      const Json& rule = known ? schema["properties"][key] : schema["additionalProperties"];
      const std::string wrong = Violation(rule, root, inner, at + "." + key);
      if (!wrong.empty()) return wrong;
    }
  }
  for (size_t i = 0; value.is_array() && i < value.size(); ++i) {
    const std::string wrong =
        Violation(schema["items"], root, value[i], at + "[" + std::to_string(i) + "]");
    if (!wrong.empty()) return wrong;
  }
  return "";
}

TEST(Render, JsonFollowsItsSchema) {
  const Json schema = Json::parse(ReadSource("report/schema/report.schema.json"));
  Json report = Json::parse(RenderJson(FixedJob()));
  EXPECT_EQ(Violation(schema, schema, report, "report"), "");
  report["runs"][0]["surprise"] = 1;
  EXPECT_EQ(Violation(schema, schema, report, "report"), "report.runs[0] has unknown surprise");
  report["runs"][0].erase("surprise");
  report["verdict"] = "GOOD";
  EXPECT_NE(Violation(schema, schema, report, "report"), "");
  report.erase("verdict");
  EXPECT_EQ(Violation(schema, schema, report, "report"), "report lacks verdict");
}

TEST(Chart, TicksAreNiceAndCover) {
  EXPECT_EQ(NiceTicks(0, 9, 4), (std::vector<double>{0, 5, 10}));
  EXPECT_EQ(NiceTicks(0, 20, 4), (std::vector<double>{0, 5, 10, 15, 20}));
  for (const double high : {1e-9, 0.3, 7.0, 123.0, 4.2e9}) {
    const auto ticks = NiceTicks(0, high, 5);
    EXPECT_GE(ticks.back(), high * (1 - 1e-6));
    EXPECT_LE(ticks.size(), 8U);
  }
  EXPECT_GE(NiceTicks(3, 3, 4).size(), 2U);
}

TEST(Chart, Golden) {
  LineChart chart;
  chart.title = kHostile;
  chart.x_label = "s";
  chart.y_label = "tok/s";
  chart.gap_max = 1.5;
  chart.series = {{kHostile, {{0, 1}, {1, 3}, {2, std::nan("")}, {3, 2}, {4, 2.5}}},
                  {"two", {{0, 2}, {4, 0}}}};
  const std::string svg = RenderLineChart(chart);
  ExpectGolden("line_chart.svg", svg);
  EXPECT_THAT(svg, Not(HasSubstr("<img")));
  EXPECT_THAT(RenderLineChart({}), HasSubstr("no data"));
  BarChart bars{"split", "s", 10, {"work", "wait"}, {{"rank 0", {6, 2}}, {"rank 1", {8, 99}}}};
  ExpectGolden("bar_chart.svg", RenderBarChart(bars));
}

TEST(Render, ARunThatFailedFirstNamesItsPlaceAndJudgesNothing) {
  v1::JobSummary job;
  RunFacts facts = TestFacts();
  facts.failure.emplace().set_kind(v1::FAILURE_KIND_RANK_DIED);
  *job.add_runs() = RunSummarizer().Finish(facts);
  Judge(*job.mutable_runs(0));
  job.set_verdict(JobVerdict(job));
  const std::string html = RenderHtml(job);
  EXPECT_NE(html.find("rank 0 on a device 0, rank 1 on b device 0"), std::string::npos);
  EXPECT_NE(html.find("not judged"), std::string::npos);
  EXPECT_EQ(html.find("UNKNOWN"), std::string::npos);
}

}  // namespace
}  // namespace rackmark

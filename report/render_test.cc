// Golden files of all renderings for one fixed summary; RACKMARK_REWRITE_GOLDEN=1 rewrites them.
#include "report/render.h"

#include <cmath>
#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "report/chart.h"
#include "report/judge.h"
#include "report/test_job.h"
#include "report/words.h"

namespace rackmark {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

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

// Where the second column of a block's rows begins, in every row.
TEST(Render, ColumnsOfTheTerminalStayColumns) {
  std::istringstream lines(RenderTerminal(FixedJob(), {}));
  std::vector<size_t> starts;
  std::string line;
  while (std::getline(lines, line) && line != "Checks") continue;
  while (std::getline(lines, line) && !line.empty()) {
    const size_t pass = line.find("  PASS, at ");
    ASSERT_NE(pass, std::string::npos) << line;
    starts.push_back(pass);
  }
  ASSERT_GE(starts.size(), 5U);
  EXPECT_EQ(starts, std::vector<size_t>(starts.size(), starts[0]));
  std::getline(lines, line);
  ASSERT_EQ(line, "Ranks: seconds in the window");
  std::string head, row;
  std::getline(lines, head);
  std::getline(lines, row);
  EXPECT_EQ(head.find("  place"), row.find("  a/0")) << head << "\n" << row;
}

TEST(Render, RatesHaveASensibleUnit) {
  EXPECT_EQ(BytesPerSecond(0), "0 B/s");
  EXPECT_EQ(BytesPerSecond(93'800), "93.8 kB/s");
  EXPECT_EQ(BytesPerSecond(1.5e6), "1.5 MB/s");
  EXPECT_EQ(BytesPerSecond(3.352e9), "3.35 GB/s");
  EXPECT_EQ(BytesPerSecond(8e12), "8 TB/s");
  EXPECT_EQ(WithUnit(3.352e9, "B/s"), "3.35 GB/s");
}

TEST(Render, WhatIsMissingHasAReasonAndNoUnit) {
  v1::RunSummary run;
  run.mutable_overhead()->set_samples_per_step(2);
  v1::MissingValue* missing = run.add_missing();
  missing->set_name("daemon CPU share");
  missing->set_reason("too few points in the window");
  std::vector<std::string> lines;
  for (const Headline& h : OverheadLines(run)) {
    lines.push_back(absl::StrCat(h.value, h.note.empty() ? "" : " ", h.note));
  }
  EXPECT_THAT(lines, ::testing::ElementsAre("missing", "2 rank 0, in the window", "missing",
                                            "missing: too few points in the window"));
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

TEST(Chart, TicksAreNiceAndCover) {
  EXPECT_EQ(NiceTicks(0, 9, 4), (std::vector<double>{0, 5, 10}));
  EXPECT_EQ(NiceTicks(0, 20, 4), (std::vector<double>{0, 5, 10, 15, 20}));
  for (const double high : {1e-9, 0.3, 7.0, 123.0, 4.2e9}) {
    const auto ticks = NiceTicks(0, high, 5);
    EXPECT_GE(ticks.back(), high * (1 - 1e-6));
    EXPECT_LE(ticks.size(), 8U);
  }
  EXPECT_GE(NiceTicks(3, 3, 4).size(), 2U);
  for (const double high : {5e-324, 1e-310, 1e308, 1.7e308}) {
    EXPECT_GE(NiceTicks(0, high, 4).size(), 2U) << high;
    EXPECT_GE(NiceTicks(-high, high, 8).size(), 2U) << high;
  }
}

TEST(Chart, AValueAloneIsADot) {
  LineChart chart;
  chart.gap_max = 1.5;
  chart.series = {{"bursts", {{0, 1}, {10, 3}, {20, 2}, {21, 2.5}}}};
  const std::string svg = RenderLineChart(chart);
  // Two that stand alone, and the line of the pair.
  EXPECT_EQ(svg.find("<circle class=\"dot\""), svg.find("<circle"));
  size_t dots = 0, curves = 0;
  for (size_t at = 0; (at = svg.find("<circle", at)) != std::string::npos; ++at) ++dots;
  for (size_t at = 0; (at = svg.find("\"curve\"", at)) != std::string::npos; ++at) ++curves;
  EXPECT_EQ(dots, 2U);
  EXPECT_EQ(curves, 1U);
  EXPECT_THAT(std::string(ChartCss()), HasSubstr(".dot"));
}

TEST(Chart, Golden) {
  LineChart chart;
  chart.title = kHostileLine;
  chart.x_label = "s";
  chart.y_label = "tok/s";
  chart.gap_max = 1.5;
  chart.series = {{kHostileLine, {{0, 1}, {1, 3}, {2, std::nan("")}, {3, 2}, {4, 2.5}}},
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

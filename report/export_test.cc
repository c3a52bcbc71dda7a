// Markdown, CSV, JUnit, and the way back from JSON; and hostile text in every output. Parsers of
// those formats read the golden files in tests/golden/hostile_test.py.
#include <algorithm>
#include <set>
#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "report/markdown.h"
#include "report/metrics.h"
#include "report/read_json.h"
#include "report/render.h"
#include "report/test_job.h"

namespace rackmark {
namespace {

using Json = nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Export, Golden) {
  const v1::JobSummary job = FixedJob();
  ExpectGolden("report.md", RenderMarkdown(job));
  ExpectGolden("report.csv", RenderCsv(job));
  ExpectGolden("report.junit.xml", RenderJunit(job));
}

TEST(Export, HostileGolden) {
  const v1::JobSummary job = HostileJob();
  ExpectGolden("hostile.txt", RenderTerminal(job, {}));
  ExpectGolden("hostile.json", RenderJson(job));
  ExpectGolden("hostile.html", RenderHtml(job));
  ExpectGolden("hostile.md", RenderMarkdown(job));
  ExpectGolden("hostile.csv", RenderCsv(job));
  ExpectGolden("hostile.junit.xml", RenderJunit(job));
}

TEST(Export, NothingThatATerminalObeysIsInAnyOutput) {
  const v1::JobSummary job = HostileJob();
  for (const std::string& out : {RenderTerminal(job, {}), RenderJson(job), RenderHtml(job),
                                 RenderMarkdown(job), RenderCsv(job), RenderJunit(job)}) {
    for (size_t i = 0; i < out.size(); ++i) {
      const auto c = static_cast<unsigned char>(out[i]);
      const bool ok = (c >= 0x20 && c != 0x7f) || c == '\n' || (c == '\r' && out[i + 1] == '\n');
      ASSERT_TRUE(ok) << static_cast<int>(c) << " at " << i << " of " << out.substr(0, 40);
    }
    EXPECT_THAT(out, Not(HasSubstr("\xe2\x80\xae")));  // right-to-left override
    EXPECT_THAT(out, Not(HasSubstr("\xc2\x9b")));      // C1
    EXPECT_THAT(out, Not(HasSubstr("\xff")));
  }
}

// Naive: cells by the quotes alone.
std::vector<std::vector<std::string>> ReadCsv(const std::string& text) {
  std::vector<std::vector<std::string>> rows(1);
  std::string cell;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (quoted && text[i] == '"' && text[i + 1] == '"') {
      cell += text[i++];
    } else if (text[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && (text[i] == ',' || text[i] == '\r')) {
      rows.back().push_back(std::move(cell));
      cell.clear();
      if (text[i] == '\r' && ++i + 1 < text.size()) rows.emplace_back();
    } else {
      cell += text[i];
    }
  }
  return rows;
}

TEST(Export, CsvHasARowForEveryNumberOfEveryRun) {
  const v1::JobSummary job = FixedJob();
  const auto rows = ReadCsv(RenderCsv(job));
  size_t at = 1;
  for (const v1::RunSummary& run : job.runs()) {
    for (const Metric& metric : MetricsOf(run)) {
      ASSERT_LT(at, rows.size());
      const auto& row = rows[at++];
      ASSERT_EQ(row.size(), 12U);
      EXPECT_EQ(row[2], std::to_string(run.run_id()));
      EXPECT_EQ(row[8], metric.name);
      EXPECT_EQ(row[10], metric.unit);
      if (metric.value) {
        EXPECT_EQ(std::stod(row[9]), *metric.value) << metric.name;
      }
      EXPECT_EQ(row[9].empty(), !metric.value) << metric.name;
      EXPECT_NE(row[9].empty(), row[11].empty()) << metric.name;
    }
  }
  EXPECT_EQ(at, rows.size());
}

TEST(Export, EveryNumberOfAServeResultIsAMetric) {
  // A field that is added to the message must come to MetricsOf too: filled one by one.
  v1::RunSummary run;
  const auto* type = v1::ServeResult::descriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const auto* field = type->field(i);
    if (field->cpp_type() == field->CPPTYPE_MESSAGE || field->name() == "auto_share") continue;
    run.mutable_serve()->Clear();
    const auto* reflection = run.serve().GetReflection();
    if (field->cpp_type() == field->CPPTYPE_UINT64) {
      reflection->SetUInt64(run.mutable_serve(), field, 77);
    } else {
      reflection->SetDouble(run.mutable_serve(), field, 77);
    }
    const auto metrics = MetricsOf(run);
    EXPECT_EQ(std::count_if(metrics.begin(), metrics.end(),
                            [](const Metric& m) { return m.value == 77.0; }),
              1)
        << field->name();
  }
}

TEST(Export, NoCellOfACsvStartsAFormula) {
  v1::JobSummary job = HostileJob();
  for (const char* start : {"=1", "+1", "-1", "@a", " =1", "\t=1",
                            "\xef\xbc\x9d"
                            "1",
                            "a;=1", "a\",\"=1", "a\n=1"}) {
    FillStrings(job, start);
    for (const auto& row : ReadCsv(RenderCsv(job))) {
      for (const std::string& cell : row) {
        std::string parts = cell;  // a spreadsheet whose separator is the semicolon cuts there
        std::replace(parts.begin(), parts.end(), ';', '\n');
        std::istringstream lines(parts);
        for (std::string part; std::getline(lines, part);) {
          const size_t first = part.find_first_not_of(" \"");
          if (first == std::string::npos) continue;
          EXPECT_THAT("=+-@\xef", Not(HasSubstr(part.substr(first, 1)))) << cell;
        }
      }
    }
  }
}

TEST(Export, JunitTellsCiSystemsTheTruth) {
  struct Case {
    v1::Verdict verdict;
    const char* element;
  };
  const Case cases[] = {{v1::VERDICT_PASS, ""},
                        {v1::VERDICT_FAIL, "<failure"},
                        {v1::VERDICT_SKIPPED, "<skipped"},
                        {v1::VERDICT_INVALID, "<error"},
                        {v1::VERDICT_ERROR, "<error"},
                        {v1::VERDICT_TIMEOUT, "<error"},
                        {v1::VERDICT_CANCELLED, "<error"},
                        {v1::VERDICT_UNKNOWN, "<error"}};
  for (const Case& c : cases) {
    v1::JobSummary job;
    job.add_runs()->set_verdict(c.verdict);
    const std::string xml = RenderJunit(job);
    for (const char* element : {"<failure", "<skipped", "<error "}) {
      const bool wanted = *c.element != '\0' && std::string(element).rfind(c.element, 0) == 0;
      EXPECT_EQ(xml.find(element) != std::string::npos, wanted) << xml;
    }
  }
  const std::string xml = RenderJunit(FixedJob());
  EXPECT_THAT(xml, HasSubstr("tests=\"20\" failures=\"0\" errors=\"2\" skipped=\"0\""));
  EXPECT_THAT(RenderJunit({}), HasSubstr("errors=\"1\""));  // no runs is not green
}

// A CI system knows a case by its class and name: the next night's run is the same case.
TEST(Export, JunitNamesStayFromNightToNight) {
  const auto names = [](const v1::JobSummary& job) {
    const std::string xml = RenderJunit(job);
    std::vector<std::string> found;
    for (size_t at = 0; (at = xml.find("<testcase ", at)) != std::string::npos; ++at) {
      const std::string tag = xml.substr(at, xml.find('>', at) - at);
      found.push_back(tag.substr(0, tag.find(" time=")));
    }
    return found;
  };
  v1::JobSummary tonight = FixedJob(), tomorrow = FixedJob();
  tomorrow.set_job_id(4);
  tomorrow.set_cluster_id("fedcba9876543210fedcba9876543210");
  for (v1::RunSummary& run : *tomorrow.mutable_runs()) {
    run.set_run_id(run.run_id() + 2);
    run.set_attempt(run.attempt() + 1);
    run.mutable_serve()->set_capacity_rate(7);
  }
  EXPECT_EQ(names(tonight), names(tomorrow));
  EXPECT_THAT(names(tonight).front(), HasSubstr("serve tiny, tensor parallel 2: repetition 1"));
  EXPECT_THAT(RenderJunit(tomorrow), HasSubstr("value=\"fedcba98-j4\""));
  EXPECT_THAT(RenderJunit(tomorrow), HasSubstr("run fedcba98-r9, attempt 2"));
}

TEST(Markdown, PlainStaysPlainAndTheRestIsCode) {
  for (const char* plain :
       {"", "rank 0 on a device 0", "97.5 %", "tiny-30m", "load.rate=5", "2(n-1)/n", "prefix_cache",
        "it's \"fine\"", "3.5", "gr\xc3\xbc\xc3\x9f", "p95 3 ms; service p50 2 ms"}) {
    EXPECT_EQ(MarkdownText(plain), plain);
  }
  EXPECT_EQ(MarkdownText("a|b`c"), "`a\\x7cb\\x60c`");
  EXPECT_EQ(MarkdownText("x\n# y"), "`x\\n# y`");
  for (const char* markup :
       {"# head", "- item",   "+ item",  "1. item", "12) item", "> quote",      "---",
        "*a*",    "_a_",      "a _b_",   "~~a~~",   "[a](b)",   "<b>",          "a@b.c",
        "@team",  "http://a", "www.a.b", "#12",     ":+1:",     "$x$",          "&lt;",
        "a\\",    "!a",       " a",      "a ",      "=== x",    "javascript:x", "{{x}}"}) {
    EXPECT_EQ(MarkdownText(markup), std::string("`") + markup + "`");
  }
  EXPECT_EQ(MarkdownBlock("a\n````\nb"), "`````text\na\n````\nb\n`````\n");
  EXPECT_EQ(MarkdownBlock("```"), "````text\n```\n````\n");
}

TEST(ReadReport, ReadsBackWhatWasWritten) {
  v1::JobSummary full = FixedJob();
  FillStrings(full, "t\"\\/</x>\xc3\xbc\n\x01");
  for (const v1::JobSummary& job : {FixedJob(), full}) {
    const auto back = ReadReportJson(RenderJson(job));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(RenderJson(*back), RenderJson(job));
    EXPECT_EQ(RenderHtml(*back), RenderHtml(job));
    EXPECT_EQ(RenderCsv(*back), RenderCsv(job));
    EXPECT_EQ(back->runs(0).serve().ttft_ms().SerializeAsString(),
              job.runs(0).serve().ttft_ms().SerializeAsString());
  }
  // What cannot be written is replaced once, not again.
  const auto hostile = ReadReportJson(RenderJson(HostileJob()));
  ASSERT_TRUE(hostile.ok()) << hostile.status();
  EXPECT_EQ(RenderJson(*hostile), RenderJson(HostileJob()));
}

TEST(ReadReport, ExtremesSurvive) {
  v1::JobSummary job;
  job.set_format(1);
  v1::RunSummary& run = *job.add_runs();
  run.set_run_id(std::numeric_limits<uint64_t>::max());
  run.mutable_spec()->set_seed(std::numeric_limits<uint64_t>::max());
  run.set_clock_uncertainty_ns(std::numeric_limits<int64_t>::min());
  run.mutable_serve()->set_window_s(0.1);
  run.mutable_serve()->set_output_tok_s(std::numeric_limits<double>::denorm_min());
  run.mutable_serve()->set_total_tok_s(std::numeric_limits<double>::infinity());
  run.add_series()->add_value(std::nan(""));
  const auto back = ReadReportJson(RenderJson(job));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->runs(0).run_id(), run.run_id());
  EXPECT_EQ(back->runs(0).clock_uncertainty_ns(), run.clock_uncertainty_ns());
  EXPECT_EQ(back->runs(0).serve().output_tok_s(), run.serve().output_tok_s());
  EXPECT_FALSE(back->runs(0).serve().has_total_tok_s());  // JSON holds no infinity
  EXPECT_TRUE(std::isnan(back->runs(0).series(0).value(0)));
}

TEST(ReadReport, RefusesWhatIsNoneAndNamesTheField) {
  Json good = Json::parse(RenderJson(FixedJob()));
  const auto error = [](const Json& json) {
    return std::string(ReadReportJson(json.dump()).status().message());
  };
  EXPECT_EQ(error(good), "");
  const auto text_error = [](const std::string& text) {
    return std::string(ReadReportJson(text).status().message());
  };
  EXPECT_THAT(text_error("{"), HasSubstr("it ends too early: no JSON of a report"));
  EXPECT_THAT(text_error(""), HasSubstr("empty: no JSON of a report"));
  EXPECT_THAT(text_error("apiVersion: rackmark/v1"), HasSubstr("line 1, column 1: no JSON"));
  EXPECT_THAT(text_error("{\n \"format\": 1,\n \"runs\" []}"),
              HasSubstr("line 3, column 9: no JSON of a report; write one with rackmark report"));
  // The library's own words are not for people.
  for (const char* text : {"{", "", "x", "{\"a\": 1e999}", "\"\xff\"", "[1,]"}) {
    EXPECT_FALSE(ReadReportJson(text).ok());
    EXPECT_THAT(text_error(text), Not(HasSubstr("json.exception")));
  }
  EXPECT_THAT(error(Json::array()), HasSubstr("no Rackmark report"));
  Json bad = good;
  bad["format"] = 2;
  EXPECT_THAT(error(bad), HasSubstr("format 2"));
  bad = good;
  bad["runs"][1]["verdict"] = "GREAT";
  EXPECT_THAT(error(bad), HasSubstr("report.runs[1].verdict"));
  bad = good;
  bad["runs"][0]["attempt"] = -1;
  EXPECT_THAT(error(bad), HasSubstr("report.runs[0].attempt"));
  bad = good;
  bad["runs"][0]["attempt"] = 1LL << 40;
  EXPECT_THAT(error(bad), HasSubstr("report.runs[0].attempt"));
  bad = good;
  bad["runs"] = 3;
  EXPECT_THAT(error(bad), HasSubstr("report.runs is not a list"));
  bad = good;
  bad["later"] = "a field of a newer Rackmark";
  EXPECT_EQ(error(bad), "");
  EXPECT_FALSE(ReadReportJson(std::string(200000, '[')).ok());
}

}  // namespace
}  // namespace rackmark

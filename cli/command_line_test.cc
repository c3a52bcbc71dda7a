#include "cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rackmark {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string ErrorOf(const std::vector<std::string>& arguments) {
  const auto line = ParseCommandLine(arguments, std::nullopt);
  EXPECT_FALSE(line.ok());
  return line.ok() ? "" : std::string(line.status().message());
}

TEST(CommandLine, RunTakesAllItsFlags) {
  const auto line = ParseCommandLine(
      {"run", "job.yaml", "--local", "2", "--set", "load.rate=12/s", "--set=seed=3", "--output",
       "json", "--out", "dir", "--data=history", "--cpu-slots", "4", "--keep"},
      "unix:/ignored");
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->command, "run");
  EXPECT_THAT(line->words, ElementsAre("job.yaml"));
  EXPECT_EQ(line->local, 2);
  EXPECT_EQ(line->cpu_slots, 4);
  EXPECT_THAT(line->sets, ElementsAre("load.rate=12/s", "seed=3"));
  EXPECT_EQ(line->output, Output::kJson);
  EXPECT_EQ(line->out, "dir");
  EXPECT_EQ(line->data, "history");
  EXPECT_TRUE(line->keep);
  EXPECT_FALSE(line->coordinator);  // --local wins over the environment
}

TEST(CommandLine, AFlagOfALocalClusterNeedsOneWhereverTheCoordinatorIsNamed) {
  EXPECT_THAT(
      ParseCommandLine({"run", "a", "--cpu-slots", "4"}, "unix:/environment").status().ToString(),
      HasSubstr("--cpu-slots means nothing without --local"));
  EXPECT_EQ(ParseCommandLine({"local", "2", "--cpu-slots", "4"}, "unix:/environment")->cpu_slots,
            4);
  EXPECT_EQ(ParseCommandLine({"backup", "--to", "b", "--data", "d"}, "unix:/environment")->data,
            "d");
}

TEST(CommandLine, CoordinatorComesFromFlagOrEnvironment) {
  EXPECT_EQ(ParseCommandLine({"nodes"}, "unix:/a")->coordinator, "unix:/a");
  EXPECT_EQ(ParseCommandLine({"nodes", "--coordinator", "h:1"}, "unix:/a")->coordinator, "h:1");
  EXPECT_EQ(ParseCommandLine({"report", "j3", "--output", "html"}, "h:1")->output, Output::kHtml);
}

TEST(CommandLine, MistakesSayWhatToDo) {
  const std::pair<std::vector<std::string>, const char*> table[] = {
      {{"rnu"}, "did you mean \"run\"?"},
      {{"frobnicate"}, "unknown command \"frobnicate\"; see rackmark help"},
      {{"run"}, "usage: rackmark run FILE [flags]; see rackmark help run"},
      {{"run", "a", "b", "--local", "1"}, "usage: rackmark run FILE"},
      {{"run", "a"}, "or --local N to start a cluster here"},
      {{"submit", "a"}, "use --coordinator ENDPOINT or $RACKMARK_COORDINATOR"},
      {{"run", "a", "--local", "0"}, "--local"},
      {{"run", "a", "--local", "x"}, "--local"},
      {{"run", "a", "--local", "2", "--coordinator", "h:1"}, "exclude each other"},
      {{"run", "a", "--coordinator", "h:1", "--keep"}, "--keep means nothing without --local"},
      {{"run", "a", "--coordinator", "h:1", "--data", "rackmark-data"},
       "--data means nothing without --local; remove it"},
      {{"run", "a", "--coordinator", "h:1", "--cpu-slots", "4"}, "--cpu-slots means nothing"},
      {{"run", "a", "--local", "2", "--token-file", "t"}, "mean nothing with --local"},
      {{"run", "a", "--local", "2", "--tls-ca", "t"}, "mean nothing with --local"},
      {{"run", "a", "--local", "2", "--tls-cert", "c", "--tls-key", "k", "--tls-ca", "a"},
       "mean nothing with --local"},
      {{"run", "a", "--locl", "2"}, "did you mean --local?"},
      {{"nodes", "--local", "2"}, "unknown flag --local"},
      {{"nodes", "--coordinator", "h:1", "--output", "html"}, "write table, json or yaml"},
      {{"report", "1", "--coordinator", "h:1", "--output", "xml"},
       "write table, json, yaml, html, markdown, csv or junit"},
      {{"nodes", "--coordinator", "h:1", "--tls-cert", "a"}, "go together; give all"},
      {{"schedule", "--coordinator", "h:1"},
       "usage: rackmark schedule FILE | list | remove NAME | suspend NAME | resume NAME"},
      {{"cordon", "--coordinator", "h:1"}, "usage: rackmark cordon NODE"},
      {{"cordon", "n1", "--grace", "3s", "--coordinator", "h:1"}, "unknown flag --grace"},
      {{"suites", "--set", "a=b", "--coordinator", "h:1"}, "unknown flag --set"},
      {{"shcedule", "list"}, "did you mean \"schedule\"?"},
  };
  for (const auto& [arguments, says] : table) EXPECT_THAT(ErrorOf(arguments), HasSubstr(says));
}

TEST(CommandLine, WhatIsForOneCommandOnly) {
  EXPECT_EQ(ParseCommandLine({"cancel", "j3", "--reason", "x"}, "h:1")->reason, "x");
  EXPECT_EQ(ParseCommandLine({"drain", "n1", "--grace", "30s", "--reason", "x"}, "h:1")->grace,
            "30s");
  EXPECT_THAT(ParseCommandLine({"schedule", "remove", "nightly"}, "h:1")->words,
              ElementsAre("remove", "nightly"));
  EXPECT_TRUE(ParseCommandLine({"suites"}, "h:1")->words.empty());
  EXPECT_EQ(ParseCommandLine({"validate", "a", "b", "c"}, std::nullopt)->words.size(), 3u);
  // compare can do without a coordinator, and takes the environment's.
  EXPECT_FALSE(ParseCommandLine({"compare", "a.json", "b.json"}, std::nullopt)->coordinator);
  EXPECT_EQ(ParseCommandLine({"compare", "j1", "j2"}, "h:1")->coordinator, "h:1");
  EXPECT_THAT(ErrorOf({"compare", "j1"}), HasSubstr("usage: rackmark compare A B [flags]"));
  EXPECT_THAT(ErrorOf({"watch", "j1", "--coordinator", "h:1", "--output", "yaml"}),
              HasSubstr("write table or json"));
  EXPECT_THAT(ErrorOf({"schema", "job", "--output", "json"}), HasSubstr("unknown flag --output"));
  EXPECT_EQ(LimitOf(*ParseCommandLine({"runs", "j1", "--limit", "10000"}, "h:1")), 10'000U);
  EXPECT_EQ(LimitOf(*ParseCommandLine({"jobs"}, "h:1")), 0U);
  EXPECT_THAT(ErrorOf({"jobs", "--limit", "0", "--coordinator", "h:1"}), HasSubstr("--limit"));
  EXPECT_THAT(ErrorOf({"nodes", "--limit", "1", "--coordinator", "h:1"}),
              HasSubstr("unknown flag"));
}

TEST(CommandLine, HelpIsEverywhere) {
  EXPECT_EQ(ParseCommandLine({}, std::nullopt)->command, "help");
  EXPECT_EQ(ParseCommandLine({"--help"}, std::nullopt)->command, "help");
  const auto line = ParseCommandLine({"run", "--help"}, std::nullopt);
  ASSERT_TRUE(line.ok());
  EXPECT_EQ(line->command, "help");
  EXPECT_THAT(*HelpText(line->words.front()), HasSubstr("--local"));
  EXPECT_THAT(*HelpText("nodes"), testing::Not(HasSubstr("--local")));
  EXPECT_THAT(*HelpText(""), HasSubstr("130 CANCELLED"));
  EXPECT_THAT(*HelpText(""), HasSubstr("7 INCOMPLETE"));
  EXPECT_THAT(HelpText("wathc").status().message(), HasSubstr("unknown command"));
}

}  // namespace
}  // namespace rackmark

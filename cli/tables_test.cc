// What is made of the tables of commands and flags, and how answers about jobs look.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_replace.h"
#include "cli/command_table.h"
#include "cli/completion.h"
#include "cli/table.h"
#include "cli/validate.h"
#include "common/time.h"

namespace rackmark {
namespace {

using testing::HasSubstr;

TEST(CommandTable, RowsAreWhole) {
  std::set<std::string_view> names;
  for (const Command& command : Commands()) {
    EXPECT_TRUE(names.insert(command.name).second) << command.name;
    EXPECT_LE(command.words_min, command.words_max) << command.name;
    EXPECT_EQ(command.word == Thing::kNothing, command.words_max == 0) << command.name;
    EXPECT_EQ(command.word == Thing::kChoice, !ChoicesOf(command).empty()) << command.name;
    std::set<std::string_view> flags = {"output", "help", "version"};
    for (const FlagRow& row : FlagRows()) {
      if ((row.groups & command.groups) == 0) continue;
      EXPECT_TRUE(flags.insert(row.name).second) << command.name << " --" << row.name;
      EXPECT_EQ(row.value == Thing::kNothing,
                std::holds_alternative<bool CommandLine::*>(row.member))
          << row.name;
    }
    const auto help = HelpText(std::string(command.name));
    ASSERT_TRUE(help.ok());
    EXPECT_THAT(*help, HasSubstr(std::string(command.summary)));
  }
}

TEST(Completion, EachShellIsToldOfEveryCommandAndFlag) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto script = CompletionScript(shell);
    ASSERT_TRUE(script.ok());
    for (const Command& command : Commands()) {
      EXPECT_THAT(*script, HasSubstr(std::string(command.name))) << shell;
    }
    for (const FlagRow& row : FlagRows()) {
      const std::string flag = std::string(shell) == "fish" ? " -l " + std::string(row.name)
                                                            : "--" + std::string(row.name);
      EXPECT_THAT(*script, HasSubstr(flag)) << shell;
    }
    // A quote in a text closes its string, stands alone, and opens the next.
    const std::string rest = absl::StrReplaceAll(*script, {{"'\\''", ""}});
    EXPECT_EQ(std::count(rest.begin(), rest.end(), '\'') % 2, 0) << shell;
    if (std::string(shell) == "bash") continue;  // it shows no descriptions
    EXPECT_THAT(*script, HasSubstr("coordinator'\\''s databases")) << shell;
  }
  EXPECT_FALSE(CompletionScript("tcsh").ok());
}

TEST(Table, ColumnsAreThoseOfATerminal) {
  Table table({"NAME", "PHASE"});
  table.Add({"na\xc3\xafve", "up"});
  table.Add({"plain", "lost"});
  EXPECT_EQ(table.ToString(), "NAME   PHASE\nna\xc3\xafve  up\nplain  lost\n");
}

TEST(WhyText, Golden) {
  v1::WhyReply reply;
  reply.mutable_identity()->set_cluster_id("c0ffee00aa");
  reply.mutable_job()->set_phase(v1::JOB_PHASE_QUEUED);
  reply.set_summary("job 3 waits\x1b[31m for devices");
  reply.set_devices_total(6);
  reply.set_devices_left(1);
  v1::FilteredDevices& held = *reply.add_filtered();
  held.set_constraint("leased to job 1");
  held.set_devices(4);
  held.add_examples("n1");
  held.add_examples("n2\n");
  v1::FilteredDevices& lost = *reply.add_filtered();
  lost.set_constraint("node is LOST");
  lost.set_devices(1);
  lost.add_examples("n3");
  v1::JobAhead& ahead = *reply.add_ahead();
  ahead.set_job_id(1);
  ahead.set_name("first");
  ahead.set_phase(v1::JOB_PHASE_ACTIVE);
  ahead.set_devices(4);
  reply.set_ahead_total(2);
  reply.mutable_next_deadline()->set_what("node n3 is taken for lost");
  reply.mutable_next_deadline()->set_in_ns(2 * kSecond);
  EXPECT_EQ(WhyText(reply),
            "job 3 waits\\x1b[31m for devices\n"
            "\n"
            "DEVICES  BECAUSE                     NODES\n"
            "4        leased to job 1             n1, n2\\n\n"
            "1        node is LOST                n3\n"
            "1        can be had now, of 6 known\n"
            "\n"
            "AHEAD        NAME   PHASE   DEVICES\n"
            "c0ffee00-j1  first  active  4\n"
            "and 1 more\n"
            "\n"
            "next deadline: node n3 is taken for lost in 2 s\n");
}

TEST(WhyText, OnlyTheAnswerWhereNothingIsWaitedFor) {
  v1::WhyReply reply;
  reply.mutable_job()->set_phase(v1::JOB_PHASE_ENDED);
  reply.set_summary("job 3 ended with PASS: all of its 1 run passed");
  EXPECT_EQ(WhyText(reply), "job 3 ended with PASS: all of its 1 run passed\n");
}

TEST(Validate, ThePlaceOfAnErrorIsRead) {
  const ValidationError placed = PlacedError("a:1.yaml", "a:1.yaml:12:3: spec: wrong; write right");
  EXPECT_EQ(placed.line, 12);
  EXPECT_EQ(placed.column, 3);
  EXPECT_EQ(PlacedError("a", "a:12: spec: wrong").line, 12);
  EXPECT_EQ(PlacedError("a", "a:12: spec: wrong").column, std::nullopt);
  for (const char* text : {"a: cannot be read", "b:1:2: x", "a:x:2: y", "--set x:1:2: y", "a:99"}) {
    EXPECT_EQ(PlacedError("a", text).line, std::nullopt) << text;
  }
}

}  // namespace
}  // namespace rackmark

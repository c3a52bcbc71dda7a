// Each *.txt of this folder must make exactly the trace that it holds. RACKMARK_REWRITE=1 writes
// the traces anew: read the diff, and commit only what you understand.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/scenarios/script.h"

namespace rackmark {
namespace {

std::string ReadAll(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::vector<std::filesystem::path> Scripts() {
  std::vector<std::filesystem::path> scripts;
  for (const auto& entry : std::filesystem::directory_iterator(RACKMARK_SCENARIOS)) {
    if (entry.path().extension() == ".txt" && entry.path().filename() != "CMakeLists.txt") {
      scripts.push_back(entry.path());
    }
  }
  std::sort(scripts.begin(), scripts.end());
  return scripts;
}

class Scenario : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(Scenario, MakesItsTrace) {
  const std::string before = ReadAll(GetParam());
  const auto after = RunScript(before);
  ASSERT_TRUE(after.ok()) << GetParam() << ": " << after.status();
  if (std::getenv("RACKMARK_REWRITE") != nullptr) std::ofstream(GetParam()) << *after;
  EXPECT_EQ(*after, before) << GetParam();
}

INSTANTIATE_TEST_SUITE_P(All, Scenario, testing::ValuesIn(Scripts()), [](const auto& test) {
  std::string name = test.param.stem().string();
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

TEST(Script, SameCommandsSameEvents) {
  for (const auto& path : Scripts())
    EXPECT_EQ(*RunScript(ReadAll(path)), *RunScript(ReadAll(path)));
}

TEST(Script, RefusesUnknownCommands) {
  EXPECT_THAT(RunScript("lead\nfly\n").status().ToString(), testing::HasSubstr("line 2"));
}

// A folder that is not found, or half of one, would pass all the same.
TEST(Script, ThereAreScenarios) { EXPECT_GE(Scripts().size(), 60u); }

}  // namespace
}  // namespace rackmark

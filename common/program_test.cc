// Flags as people type them, and the ways to ask a program to stop.
#include "common/program.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <thread>

#include "common/exit_codes.h"
#include "common/test_folder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Options {
  std::string data = "here";
  std::optional<std::string> host;
  bool loud = false;
  int64_t slots = 2;
  std::optional<int64_t> fd;
  uint64_t bytes = 1 << 30;
};

Flags Table(Options* options) {
  Flags flags("prog", "[flags]", "Does things.");
  flags.Add("data", &options->data, "folder");
  flags.Add("host-id", &options->host, "identity");
  flags.Add("loud", &options->loud, "say more");
  flags.Add("cpu-slots", &options->slots, "slots", 1, 64);
  flags.Add("lifeline-fd", &options->fd, "descriptor", 0, 1000);
  flags.AddBytes("spool-bytes", &options->bytes, "bound");
  return flags;
}

std::string Error(const std::vector<std::string>& arguments) {
  Options options;
  return std::string(Table(&options).Parse(arguments, nullptr).message());
}

TEST(Flags, BothSpellingsAllTypesAndDefaults) {
  Options options;
  std::vector<std::string> words;
  ASSERT_TRUE(Table(&options)
                  .Parse({"--data", "x y", "run", "--cpu-slots=8", "--loud", "--spool-bytes",
                          "1.5MiB", "--host-id=", "--", "--data"},
                         &words)
                  .ok());
  EXPECT_EQ(options.data, "x y");
  EXPECT_EQ(options.slots, 8);
  EXPECT_TRUE(options.loud);
  EXPECT_EQ(options.bytes, 3U << 19);
  EXPECT_EQ(options.host, "");
  EXPECT_FALSE(options.fd.has_value());
  EXPECT_THAT(words, ElementsAre("run", "--data"));
}

TEST(Flags, ErrorsNameTheFlagAndTheRemedy) {
  EXPECT_THAT(Error({"--cpu-slot", "3"}), HasSubstr("did you mean --cpu-slots?"));
  EXPECT_THAT(Error({"--zzzzzz"}), HasSubstr("see --help"));
  EXPECT_THAT(Error({"--cpu-slots", "0"}), HasSubstr("from 1 to 64"));
  EXPECT_THAT(Error({"--cpu-slots", "3x"}), HasSubstr("--cpu-slots '3x'"));
  EXPECT_THAT(Error({"--data"}), HasSubstr("needs a value"));
  EXPECT_THAT(Error({"--loud=yes"}), HasSubstr("takes no value"));
  EXPECT_THAT(Error({"word"}), HasSubstr("'word' is not expected"));
  EXPECT_THAT(Error({"--spool-bytes", "1GB"}), HasSubstr("1.5GiB"));
  EXPECT_THAT(Error({"--spool-bytes", "-1"}), HasSubstr("no size"));
}

TEST(Flags, HelpShowsDefaults) {
  Options options;
  const std::string help = Table(&options).Help();
  EXPECT_THAT(help, HasSubstr("--cpu-slots VALUE"));
  EXPECT_THAT(help, HasSubstr("slots [2]"));
  EXPECT_THAT(help, HasSubstr("[1 GiB]"));
}

// A long name moves the column of all.
TEST(Flags, HelpKeepsItsColumn) {
  std::string text;
  Flags flags("program", "[flags]", "Does.");
  flags.Add("a", &text, "first");
  flags.Add("a-name-that-is-longer-than-most", &text, "second");
  const std::string help = flags.Help();
  const auto column = [&help](const std::string& words) {
    const size_t at = help.find(words);
    return at - help.rfind('\n', at);
  };
  EXPECT_EQ(column("first"), column("second"));
  EXPECT_EQ(column("first"), column("print this and end"));
}

TEST(StopSignal, ASignalWakesAndStaysSet) {
  auto stop = StopSignal::Install(std::nullopt);
  ASSERT_TRUE(stop.ok()) << stop.status();
  EXPECT_FALSE((*stop)->Wait(0).has_value());
  kill(getpid(), SIGTERM);
  EXPECT_EQ((*stop)->Wait(10 * kSecond), "SIGTERM");
  EXPECT_EQ((*stop)->Wait(0), "SIGTERM");
}

TEST(StopSignal, EndOfTheLifelineAndTriggerFromAThread) {
  std::array<int, 2> pipe_fds{};
  ASSERT_EQ(pipe(pipe_fds.data()), 0);
  auto stop = StopSignal::Install(pipe_fds[0]);
  ASSERT_TRUE(stop.ok());
  ASSERT_EQ(write(pipe_fds[1], "x", 1), 1);  // words on it mean nothing
  EXPECT_FALSE((*stop)->Wait(kMillisecond).has_value());
  close(pipe_fds[1]);
  EXPECT_EQ((*stop)->Wait(10 * kSecond), "the parent is gone");
  close(pipe_fds[0]);

  auto other = StopSignal::Install(std::nullopt);
  std::thread thread([&other] { (*other)->Trigger("fenced"); });
  EXPECT_EQ((*other)->Wait(10 * kSecond), "fenced");
  thread.join();
}

TEST(FolderLock, SecondHolderIsRefusedUntilTheFirstIsGone) {
  const std::string folder = TestFolders::New("rm_lock");
  auto first = FolderLock::Take(folder);
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = FolderLock::Take(folder);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(folder));
  first->reset();
  EXPECT_TRUE(FolderLock::Take(folder).ok());
}

TEST(FolderLock, MakesAFolderForItsOwnerAlone) {
  const std::string folder = TestFolders::New("rm_new") + "/data";
  ASSERT_TRUE(FolderLock::Take(folder).ok());
  EXPECT_EQ(std::filesystem::status(folder).permissions(), std::filesystem::perms::owner_all);
}

TEST(ProgramFolder, HoldsThisTest) {
  const auto folder = ProgramFolder();
  ASSERT_TRUE(folder.ok());
  EXPECT_EQ(access((*folder + "/common_test").c_str(), X_OK), 0);
}

TEST(RaiseFileLimit, GoesAsFarAsItMay) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = 64;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  EXPECT_EQ(RaiseFileLimit(), before.rlim_max);
  rlimit after{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, before.rlim_max);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST(Flags, ARepeatedFlagGathers) {
  std::vector<std::string> sets;
  Flags flags("test", "", "");
  flags.Add("set", &sets, "path=value");
  ASSERT_TRUE(flags.Parse({"--set", "a=1", "--set=b=2"}, nullptr).ok());
  EXPECT_EQ(sets, (std::vector<std::string>{"a=1", "b=2"}));
}

}  // namespace
}  // namespace rackmark

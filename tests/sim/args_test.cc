// A failing seed prints one command: what is printed is read as the same knobs, and shows the same.
#include <cstdio>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/sim/args.h"

namespace rackmark::sim {
namespace {

using testing::HasSubstr;

TEST(Replay, OfADrawnSeedIsTheSeed) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    EXPECT_EQ(ReplayArgs(DrawKnobs(seed)), absl::StrCat("--seed ", seed, " --trace"));
    EXPECT_TRUE(Replays(DrawKnobs(seed))) << seed;
  }
}

// Whatever one seed draws can be said over another one: no knob was left out.
TEST(Replay, SaysAllThatIsNotDrawn) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    Knobs knobs = DrawKnobs(seed + 1);
    knobs.seed = seed;
    EXPECT_TRUE(Replays(knobs)) << ReplayArgs(knobs);
  }
}

TEST(Replay, SaysWhatIsNeverDrawn) {
  Knobs knobs = DrawKnobs(3);
  knobs.fail_write = 17;
  knobs.fail_lands = true;
  knobs.heal_within = 1'234'567'891;
  knobs.plant = Plant::kUnevenGang;
  EXPECT_EQ(ReplayArgs(knobs),
            "--seed 3 --plant uneven-gang --knob heal_within=1234567891ns --knob fail_write=17 "
            "--knob fail_lands=true --trace");
  EXPECT_TRUE(Replays(knobs));
}

TEST(Args, SayWhichKnobsThereAre) {
  const auto why = [](std::vector<std::string> words) {
    return std::string(FromAbsl(ReadArgs(words).status().message()));
  };
  EXPECT_THAT(why({"--knob", "wrokers=3"}), HasSubstr("there are workers, devices"));
  EXPECT_THAT(why({"--knob", "workers=many"}), HasSubstr("must be a number"));
  EXPECT_THAT(why({"--knob", "breaks=20"}), HasSubstr("or none"));
  EXPECT_THAT(why({"--knob", "workers"}), HasSubstr("like workers=12"));
  EXPECT_THAT(why({"--workers", "0"}), HasSubstr("1 to 10000"));
  EXPECT_THAT(why({"--knob", "loss=1.5"}), HasSubstr("loss must be 0 to 1"));
  EXPECT_THAT(why({"--knob", "breaks=0s"}), HasSubstr("breaks must be 1ms"));
  EXPECT_THAT(why({"--plant", "daisies"}), HasSubstr("no plant"));
  EXPECT_THAT(why({"--seeds", "9..1"}), HasSubstr("like 1..200"));
  EXPECT_THAT(why({"--seed"}), HasSubstr("lacks its value"));
}

// The program itself, by the very words that a test would print.
TEST(Replay, ShowsTheSameAgain) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    Knobs knobs = DrawKnobs(seed);
    knobs.plant = Plant::kCutGang;
    knobs.workers = 3;
    knobs.faults_for = 100 * kSecond;
    const Result result = Simulate(knobs);
    if (!result.violation) continue;
    const std::string complaint = Complaint(RACKMARK_SIM, knobs, *result.violation);
    const std::string command = complaint.substr(complaint.rfind("\nreplay: ") + 9);
    std::FILE* const program = popen(command.c_str(), "r");
    ASSERT_NE(program, nullptr);
    std::string said;
    char part[4096];
    for (size_t n = 0; (n = std::fread(part, 1, sizeof part, program)) > 0;) said.append(part, n);
    EXPECT_EQ(pclose(program), 1 << 8) << command;  // exit status 1
    EXPECT_THAT(said, testing::EndsWith(complaint + "\n")) << command;
    return;
  }
  FAIL() << "no seed of the first 30 cuts a gang";
}

}  // namespace
}  // namespace rackmark::sim

// The real rackmark-rank program, driven over its socket pair as the daemon drives it.
#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/exit_codes.h"
#include "common/series.h"
#include "common/text.h"
#include "samples/chunk_codec.h"
#include "worker/rank/fake_daemon.h"

namespace rackmark {
namespace {

using ::testing::HasSubstr;

v1::RunSpec NullSpec(Nanos duration) {
  v1::RunSpec spec;
  spec.set_seed(1);
  spec.mutable_null()->set_duration_ns(duration);
  spec.mutable_null()->set_samples_per_step(3);
  return spec;
}

v1::RunSpec ServeSpec(uint32_t tensor_parallel, Nanos window) {
  v1::RunSpec spec;
  spec.set_seed(11);
  v1::ServeWorkload* serve = spec.mutable_serve();
  serve->set_model("nano-1m");
  serve->set_tensor_parallel(tensor_parallel);
  serve->set_kv_block_tokens(16);
  serve->set_kv_memory_bytes(8 << 20);
  serve->set_max_batch(4);
  serve->set_prefill_chunk(64);
  v1::Load* load = serve->mutable_load();
  load->mutable_auto_()->set_share(0.5);
  load->mutable_auto_()->set_calibration_ns(200 * kMillisecond);
  load->set_arrivals(v1::ARRIVAL_PROCESS_POISSON);
  load->set_duration_ns(window);
  load->set_warmup_ns(100 * kMillisecond);
  load->mutable_prompt_tokens()->set_min(8);
  load->mutable_prompt_tokens()->set_max(24);
  load->mutable_output_tokens()->set_min(2);
  load->mutable_output_tokens()->set_max(12);
  return spec;
}

// A gang of real processes that have met.
struct TestGang {
  std::vector<std::unique_ptr<FakeDaemon>> ranks;
  std::vector<v1::AddressCard> cards;

  void Start(uint32_t world, int pipe_bytes = 0) {
    std::vector<FakeDaemon::Place> places;
    for (uint32_t rank = 0; rank < world; ++rank) {
      FakeDaemon::Place place{.rank = rank, .world = world};
      place.pipe_bytes = pipe_bytes;
      places.push_back(place);
    }
    StartAt(places);
  }
  void StartAt(const std::vector<FakeDaemon::Place>& places) {
    for (const FakeDaemon::Place& place : places) {
      ranks.push_back(std::make_unique<FakeDaemon>(place));
    }
    for (auto& rank : ranks) {
      const auto card = rank->AwaitCard();
      ASSERT_TRUE(card.has_value());
      cards.push_back(*card);
    }
    for (auto& rank : ranks) rank->Connect(cards);
    Expect(v1::RANK_PHASE_READY);
  }
  void Order(uint64_t run, v1::RunGoal goal, const v1::RunSpec& spec) {
    for (auto& rank : ranks) rank->Order(run, goal, spec);
  }
  void Expect(v1::RankPhase phase) {
    for (auto& rank : ranks) {
      const auto status = rank->AwaitPhase(phase);
      ASSERT_TRUE(status.has_value());
      ASSERT_EQ(status->phase(), phase) << status->failure().detail();
    }
  }
  void RunToEnd(uint64_t run, const v1::RunSpec& spec) {
    Order(run, v1::RUN_GOAL_PREPARED, spec);
    Expect(v1::RANK_PHASE_PREPARED);
    Order(run, v1::RUN_GOAL_DONE, spec);
    Expect(v1::RANK_PHASE_DONE);
  }
};

using Points = std::vector<std::pair<int64_t, double>>;
std::map<std::string, Points> AllPoints(const FakeDaemon& rank) {
  std::map<std::string, Points> out;
  for (const v1::FromRank& frame : rank.frames()) {
    for (const v1::Column& column : frame.samples().columns()) {
      Points& points = out[frame.samples().dictionary(static_cast<int>(column.name()))];
      EXPECT_TRUE(ForEachPoint(column, [&](int64_t t, double v) { points.emplace_back(t, v); }));
    }
  }
  return out;
}

std::vector<v1::RankPhase> Phases(const FakeDaemon& rank) {
  std::vector<v1::RankPhase> out;
  for (const v1::FromRank& frame : rank.frames()) {
    const v1::RankPhase phase = frame.status().phase();
    // A slow rank gives a sign of life before it has its card.
    if (!frame.has_status() || (out.empty() && phase == v1::RANK_PHASE_STARTING)) continue;
    if (out.empty() || out.back() != phase) out.push_back(phase);
  }
  return out;
}

// Samples come before SamplesEnd, then only signs of life and DONE.
void ExpectOrderlyEnd(const FakeDaemon& rank) {
  auto at = rank.frames().rbegin();
  EXPECT_EQ(at->status().phase(), v1::RANK_PHASE_DONE);
  while (at != rank.frames().rend() && !at->has_samples_end() && !at->has_samples()) ++at;
  EXPECT_TRUE(at != rank.frames().rend() && at->has_samples_end());
}

int RunProgram(const std::string& arguments) {
  const pid_t pid = fork();
  if (pid == 0) {
    execl("/bin/sh", "sh", "-c",
          (std::string(RACKMARK_RANK_PROGRAM) + " " + arguments + " >/dev/null 2>&1").c_str(),
          nullptr);
    _exit(127);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(ProgramTest, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(RunProgram("--version"), kExitPass);
  EXPECT_EQ(RunProgram(""), kExitUsage);
  EXPECT_EQ(RunProgram("--fd"), kExitUsage);
  EXPECT_EQ(RunProgram("--fd 200"), kExitUsage);
  EXPECT_EQ(RunProgram("--fd 3 3</dev/null"), kExitUsage);
  EXPECT_EQ(RunProgram("--nonsense"), kExitUsage);
  EXPECT_EQ(RunProgram("word"), kExitUsage);
}

TEST(ProgramTest, TwoRanksMeasureTheNullWorkload) {
  TestGang gang;
  ASSERT_NO_FATAL_FAILURE(gang.Start(2));
  EXPECT_EQ(gang.cards[0].boot_id(), gang.cards[1].boot_id());
  EXPECT_FALSE(gang.cards[0].shm_name().empty());
  // A promise only: rank 1 would make one if it led another host.
  EXPECT_NE(gang.cards[1].shm_name(), gang.cards[0].shm_name());
  struct stat segment {};
  EXPECT_NE(stat(("/dev/shm/" + gang.cards[0].shm_name()).c_str(), &segment), 0)
      << "all have attached, so the name must be gone";
  ASSERT_NO_FATAL_FAILURE(gang.RunToEnd(1, NullSpec(300 * kMillisecond)));
  for (auto& rank : gang.ranks) {
    ExpectOrderlyEnd(*rank);
    EXPECT_EQ(Phases(*rank),
              (std::vector<v1::RankPhase>{v1::RANK_PHASE_CARDED, v1::RANK_PHASE_READY,
                                          v1::RANK_PHASE_PREPARING, v1::RANK_PHASE_PREPARED,
                                          v1::RANK_PHASE_WARMING, v1::RANK_PHASE_MEASURING,
                                          v1::RANK_PHASE_VERIFYING, v1::RANK_PHASE_DONE}));
    auto points = AllPoints(*rank);
    ASSERT_EQ(points["null.steps"].size(), 1U);
    EXPECT_EQ(points["null.steps"][0].second, 300);
    EXPECT_EQ(points["null.samples"][0].second, 900);
    EXPECT_EQ(points["step.host"].size(), 900U);
    EXPECT_GT(points["instrument.ns_per_sample"].at(0).second, 0);
    EXPECT_FALSE(points["rank.rss"].empty());
    EXPECT_EQ(rank->frames().back().identity().cluster_id(), "c1");
    EXPECT_EQ(rank->frames().back().identity().epoch(), 3U);
  }
  auto points = AllPoints(*gang.ranks[0]);
  ASSERT_EQ(points["window.start"].size(), 1U);
  EXPECT_EQ(points["window.end"].at(0).first - points["window.start"].at(0).first,
            300 * kMillisecond);
  EXPECT_EQ(AllPoints(*gang.ranks[1]).count("window.start"), 0U);
  ASSERT_EQ(points["gang.transport"].size(), 1U);
  EXPECT_EQ(points["gang.transport"][0].second, static_cast<double>(TransportCode::kShm));
  // The same processes take the next run, and end in order.
  ASSERT_NO_FATAL_FAILURE(gang.RunToEnd(2, NullSpec(20 * kMillisecond)));
  // A run that was only prepared can be given up without harm to the gang.
  gang.Order(3, v1::RUN_GOAL_PREPARED, NullSpec(20 * kMillisecond));
  gang.Expect(v1::RANK_PHASE_PREPARED);
  ASSERT_NO_FATAL_FAILURE(gang.RunToEnd(4, NullSpec(20 * kMillisecond)));
  for (auto& rank : gang.ranks) {
    rank->Stop();
    EXPECT_EQ(rank->AwaitExit(), kExitPass);
  }
}

TEST(ProgramTest, AFailedPrepareNamesItsCauseAndTheRankGoesOn) {
  TestGang gang;
  ASSERT_NO_FATAL_FAILURE(gang.Start(1));
  FakeDaemon& rank = *gang.ranks[0];
  v1::RunSpec spec = ServeSpec(1, kSecond);
  spec.mutable_serve()->set_model("no-such-model");
  rank.Order(1, v1::RUN_GOAL_PREPARED, spec);
  const auto failed = rank.AwaitPhase(v1::RANK_PHASE_PREPARED);
  ASSERT_TRUE(failed.has_value());
  EXPECT_EQ(failed->phase(), v1::RANK_PHASE_FAILED);
  EXPECT_EQ(failed->failure().phase(), v1::RANK_PHASE_PREPARING);
  EXPECT_EQ(failed->failure().rank(), 0U);
  EXPECT_THAT(failed->failure().detail(), HasSubstr("no-such-model"));
  EXPECT_EQ(failed->run_id(), 1U);
  ASSERT_NO_FATAL_FAILURE(gang.RunToEnd(2, NullSpec(20 * kMillisecond)));
}

TEST(ProgramTest, WithoutGlooRanksOnDifferentHostsHaveNoTransport) {
  FakeDaemon a({.rank = 0, .world = 2, .host_id = "one", .transport = v1::TRANSPORT_POLICY_SHM});
  FakeDaemon b({.rank = 1, .world = 2, .host_id = "two", .transport = v1::TRANSPORT_POLICY_SHM});
  const auto card_a = a.AwaitCard();
  const auto card_b = b.AwaitCard();
  ASSERT_TRUE(card_a && card_b);
  EXPECT_TRUE(card_a->gloo_addresses().empty());
  for (FakeDaemon* rank : {&a, &b}) {
    rank->Connect({*card_a, *card_b});
    const auto failed = rank->AwaitPhase(v1::RANK_PHASE_READY);
    ASSERT_TRUE(failed.has_value());
    EXPECT_EQ(failed->failure().kind(), v1::FAILURE_KIND_UNSUPPORTED);
    EXPECT_THAT(failed->failure().detail(),
                HasSubstr("no common transport: hosts one and two differ, and rank 0 offers no "
                          "Gloo"));
    EXPECT_THAT(failed->failure().detail(), HasSubstr("--transport"));
  }
  struct stat segment {};
  EXPECT_NE(stat(("/dev/shm/" + card_a->shm_name()).c_str(), &segment), 0)
      << "nobody will attach, so the name must be gone";
}

// How ranks said that they travel, and by the number in the record; each as rank 0 tells.
void ExpectTransport(const std::vector<FakeDaemon::Place>& places, TransportCode code,
                     const std::string& sentence) {
  TestGang gang;
  ASSERT_NO_FATAL_FAILURE(gang.StartAt(places));
  for (const auto& rank : gang.ranks) {
    const v1::RankStatus& ready = rank->frames().back().status();
    EXPECT_EQ(ready.phase(), v1::RANK_PHASE_READY);
    EXPECT_THAT(ready.transport(), HasSubstr(sentence));
  }
  v1::RunSpec spec = ServeSpec(static_cast<uint32_t>(places.size()), kSecond);
  spec.mutable_serve()->mutable_load()->set_requests_per_second(10);
  ASSERT_NO_FATAL_FAILURE(gang.RunToEnd(1, spec));
  const auto points = AllPoints(*gang.ranks[0]);
  ASSERT_EQ(points.count("gang.transport"), 1U);
  EXPECT_EQ(points.at("gang.transport")[0].second, static_cast<double>(code));
  ASSERT_EQ(points.count("verify.wrong"), 1U);
  EXPECT_EQ(points.at("verify.wrong")[0].second, 0);
  EXPECT_GT(points.at("verify.checked")[0].second, 0);
}

TEST(ProgramTest, RanksOfTwoHostsServeOverGloo) {
  ExpectTransport({{.rank = 0, .world = 2, .host_id = "one", .interface = "lo"},
                   {.rank = 1, .world = 2, .host_id = "two", .interface = "lo"}},
                  TransportCode::kGloo, "Gloo over lo: hosts one and two differ");
}

TEST(ProgramTest, FourRanksOfTwoHostsShareMemoryInsideThem) {
  ExpectTransport({{.rank = 0, .world = 4, .host_id = "one", .interface = "lo"},
                   {.rank = 1, .world = 4, .host_id = "two", .interface = "lo"},
                   {.rank = 2, .world = 4, .host_id = "one", .interface = "lo"},
                   {.rank = 3, .world = 4, .host_id = "two", .interface = "lo"}},
                  TransportCode::kMixed,
                  "Gloo over lo between 2 hosts, shared memory inside them: hosts one and two");
}

TEST(ProgramTest, GlooCanBeForcedOnOneHost) {
  ExpectTransport(
      {{.rank = 0, .world = 2, .transport = v1::TRANSPORT_POLICY_GLOO, .interface = "lo"},
       {.rank = 1, .world = 2, .transport = v1::TRANSPORT_POLICY_GLOO, .interface = "lo"}},
      TransportCode::kGloo, "Gloo over lo: forced");
}

// Same host, same /dev/shm, but what stands under the name is not what the card promises.
TEST(ProgramTest, WhoseNonceIsNotReadBackTravelsByGlooAndSaysWhy) {
  std::vector<std::unique_ptr<FakeDaemon>> ranks;
  std::vector<v1::AddressCard> cards;
  for (const uint32_t rank : {0U, 1U}) {
    ranks.push_back(std::make_unique<FakeDaemon>(
        FakeDaemon::Place{.rank = rank, .world = 2, .interface = "lo"}));
  }
  for (auto& rank : ranks) {
    const auto card = rank->AwaitCard();
    ASSERT_TRUE(card.has_value());
    cards.push_back(*card);
  }
  cards[0].mutable_shm_nonce()->back() ^= 1;
  for (auto& rank : ranks) rank->Connect(cards);
  for (auto& rank : ranks) {
    const auto ready = rank->AwaitPhase(v1::RANK_PHASE_READY);
    ASSERT_TRUE(ready.has_value());
    ASSERT_EQ(ready->phase(), v1::RANK_PHASE_READY) << ready->failure().detail();
    EXPECT_THAT(ready->transport(), HasSubstr("Gloo over lo: shared memory was not proven"));
  }
  EXPECT_THAT(ranks[1]->frames().back().status().transport(), HasSubstr("nonce"));
  struct stat segment {};
  EXPECT_NE(stat(("/dev/shm/" + cards[0].shm_name()).c_str(), &segment), 0);
}

TEST(ProgramTest, EndOfFileEndsBothSidesOfARunAtOnceAndLeavesNoSegment) {
  TestGang gang;
  ASSERT_NO_FATAL_FAILURE(gang.Start(2));
  gang.Order(1, v1::RUN_GOAL_PREPARED, NullSpec(600 * kSecond));
  gang.Expect(v1::RANK_PHASE_PREPARED);
  // Only rank 0 is told to measure: it waits in a barrier for rank 1.
  gang.ranks[0]->Order(1, v1::RUN_GOAL_DONE, NullSpec(600 * kSecond));
  ASSERT_EQ(gang.ranks[0]->AwaitPhase(v1::RANK_PHASE_WARMING)->phase(), v1::RANK_PHASE_WARMING);
  for (auto& rank : gang.ranks) {
    rank->Hang();
    EXPECT_EQ(rank->AwaitExit(), kExitError);
  }
  // A leader whose gang never met has a name to remove.
  FakeDaemon lonely({.rank = 0, .world = 2});
  const auto card = lonely.AwaitCard();
  ASSERT_TRUE(card.has_value());
  const std::string path = "/dev/shm/" + card->shm_name();
  struct stat segment {};
  EXPECT_EQ(stat(path.c_str(), &segment), 0);
  lonely.Hang();
  EXPECT_EQ(lonely.AwaitExit(), kExitError);
  EXPECT_NE(stat(path.c_str(), &segment), 0);
}

TEST(ProgramTest, ASilentDaemonMeansDeath) {
  FakeDaemon rank({.rank = 0, .world = 1, .dead_man = 50 * kMillisecond});
  EXPECT_EQ(rank.AwaitExit(), kExitFenced);
}

TEST(ProgramTest, AStopEndsARunThatIsOn) {
  TestGang gang;
  ASSERT_NO_FATAL_FAILURE(gang.Start(2));
  const v1::RunSpec spec = NullSpec(600 * kSecond);
  gang.Order(1, v1::RUN_GOAL_PREPARED, spec);
  gang.Expect(v1::RANK_PHASE_PREPARED);
  gang.Order(1, v1::RUN_GOAL_DONE, spec);
  gang.Expect(v1::RANK_PHASE_MEASURING);
  for (auto& rank : gang.ranks) rank->Stop();
  for (auto& rank : gang.ranks) EXPECT_EQ(rank->AwaitExit(), kExitPass);
}

TEST(ProgramTest, AnotherRunSupersedesTheOneThatIsOn) {
  TestGang gang;
  ASSERT_NO_FATAL_FAILURE(gang.Start(1));
  gang.Order(1, v1::RUN_GOAL_DONE, NullSpec(600 * kSecond));
  gang.Expect(v1::RANK_PHASE_MEASURING);
  gang.Order(2, v1::RUN_GOAL_PREPARED, NullSpec(20 * kMillisecond));
  const auto over = gang.ranks[0]->AwaitPhase(v1::RANK_PHASE_FAILED);
  ASSERT_TRUE(over.has_value());
  EXPECT_EQ(over->failure().kind(), v1::FAILURE_KIND_CANCELLED);
  EXPECT_EQ(over->run_id(), 1U);
  gang.Expect(v1::RANK_PHASE_PREPARED);
  EXPECT_EQ(gang.ranks[0]->frames().back().status().run_id(), 2U);
}

std::vector<v1::RequestRecord> Requests(const FakeDaemon& rank) {
  std::vector<v1::RequestRecord> out;
  for (const v1::FromRank& frame : rank.frames()) {
    out.insert(out.end(), frame.samples().requests().begin(), frame.samples().requests().end());
  }
  return out;
}

double Once(const std::map<std::string, Points>& points, const std::string& name) {
  const auto it = points.find(name);
  if (it == points.end() || it->second.size() != 1) {
    ADD_FAILURE() << name << " should be there exactly once";
    return -1;
  }
  return it->second[0].second;
}

void ExpectSaneRequest(const v1::RequestRecord& r, int64_t t0, int64_t t1) {
  EXPECT_EQ(r.finish(), v1::FINISH_REASON_LENGTH);
  EXPECT_EQ(r.phase(), v1::LOAD_PHASE_MEASURE);
  EXPECT_GE(r.t_sched_ns(), t0);
  EXPECT_LT(r.t_sched_ns(), t1);
  EXPECT_GE(r.t_issue_ns(), r.t_sched_ns());
  EXPECT_GT(r.t_first_token_ns(), r.t_issue_ns());
  EXPECT_EQ(r.output_tokens(), r.output_tokens_planned());
  ASSERT_EQ(r.token_delta_ns_size(), static_cast<int>(r.output_tokens()) - 1);
  int64_t t = r.t_first_token_ns();
  for (const int64_t gap : r.token_delta_ns()) {
    EXPECT_GT(gap, 0);
    t += gap;
  }
  EXPECT_EQ(t, r.t_last_ns());
  EXPECT_EQ(r.t_end_ns(), r.t_last_ns());
}

TEST(ProgramTest, TwoRanksServeTheMeasuredLoad) {
  TestGang gang;
  ASSERT_NO_FATAL_FAILURE(gang.Start(2));
  ASSERT_NO_FATAL_FAILURE(gang.RunToEnd(1, ServeSpec(2, kSecond)));
  for (auto& rank : gang.ranks) {
    ExpectOrderlyEnd(*rank);
    EXPECT_EQ(Phases(*rank),
              (std::vector<v1::RankPhase>{
                  v1::RANK_PHASE_CARDED, v1::RANK_PHASE_READY, v1::RANK_PHASE_PREPARING,
                  v1::RANK_PHASE_PREPARED, v1::RANK_PHASE_WARMING, v1::RANK_PHASE_CALIBRATING,
                  v1::RANK_PHASE_MEASURING, v1::RANK_PHASE_VERIFYING, v1::RANK_PHASE_DONE}));
    const auto points = AllPoints(*rank);
    EXPECT_GT(Once(points, "memory.read_bandwidth"), 1e8);
    EXPECT_GT(Once(points, "memory.weights"), 1e5);
    EXPECT_GT(Once(points, "memory.kv"), 1e5);
    EXPECT_GT(Once(points, "instrument.ns_per_sample"), 0);
    EXPECT_GT(points.at("step.compute").size(), 3U);
    EXPECT_EQ(points.at("allreduce.bytes").size(), points.at("allreduce.wait").size());
    EXPECT_GT(points.at("allreduce.bytes").size(), points.at("step.compute").size());
  }
  const auto points = AllPoints(*gang.ranks[0]);
  EXPECT_DOUBLE_EQ(Once(points, "load.rate"), 0.5 * Once(points, "load.capacity"));
  EXPECT_GT(Once(points, "verify.checked"), 0);
  EXPECT_EQ(Once(points, "verify.wrong"), 0);
  EXPECT_GT(Once(points, "floor.bytes_per_step"), 0);
  EXPECT_GT(Once(points, "floor.bytes_per_token"), 0);
  EXPECT_GT(Once(points, "kv.blocks_total"), 0);
  const int64_t t0 = points.at("window.start").at(0).first;
  const int64_t t1 = points.at("window.end").at(0).first;
  EXPECT_EQ(t1 - t0, kSecond);
  bool noted = false;
  for (const v1::FromRank& frame : gang.ranks[0]->frames()) {
    noted =
        noted || frame.status().note() ==
                     absl::StrCat("load ", FormatCount(Once(points, "load.rate")), " requests/s");
  }
  EXPECT_TRUE(noted);
  // Nothing of warm-up and calibration was recorded as a step.
  for (const auto& [t, value] : points.at("step.compute")) EXPECT_GE(t, t0);
  EXPECT_TRUE(Requests(*gang.ranks[1]).empty());
  std::vector<v1::RequestRecord> requests = Requests(*gang.ranks[0]);
  ASSERT_EQ(static_cast<double>(requests.size()), Once(points, "load.scheduled"));
  std::sort(requests.begin(), requests.end(),
            [](const auto& a, const auto& b) { return a.index() < b.index(); });
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(requests[i].index(), i);
    ExpectSaneRequest(requests[i], t0, t1);
  }
}

// A rank that waits for its daemon inside its run would hold up all others in a collective.
TEST(ProgramTest, ADaemonThatDoesNotReadHoldsUpNoPeer) {
  TestGang gang;
  // Rank 1's first samples fill its pipe, and nobody reads on until rank 0 is through.
  ASSERT_NO_FATAL_FAILURE(gang.Start(2, 4096));
  const v1::RunSpec spec = ServeSpec(2, kSecond);
  gang.Order(1, v1::RUN_GOAL_PREPARED, spec);
  gang.Expect(v1::RANK_PHASE_PREPARED);
  gang.Order(1, v1::RUN_GOAL_DONE, spec);
  const auto done = gang.ranks[0]->AwaitPhase(v1::RANK_PHASE_DONE);
  ASSERT_TRUE(done.has_value());
  EXPECT_EQ(done->phase(), v1::RANK_PHASE_DONE) << done->failure().detail();
  EXPECT_EQ(Phases(*gang.ranks[1]).back(), v1::RANK_PHASE_PREPARED) << "nobody has read on";
  const auto late = gang.ranks[1]->AwaitPhase(v1::RANK_PHASE_DONE);
  ASSERT_TRUE(late.has_value());
  EXPECT_EQ(late->phase(), v1::RANK_PHASE_DONE) << late->failure().detail();
  for (auto& rank : gang.ranks) ExpectOrderlyEnd(*rank);
}

TEST(ProgramTest, LoadOverCapacityIsCutAndSaysSo) {
  TestGang gang;
  ASSERT_NO_FATAL_FAILURE(gang.Start(1));
  v1::RunSpec spec = ServeSpec(1, kSecond);
  // Far more than the 2 s of grace can make up for.
  spec.mutable_serve()->mutable_load()->mutable_auto_()->set_share(12);
  ASSERT_NO_FATAL_FAILURE(gang.RunToEnd(1, spec));
  const std::vector<v1::RequestRecord> requests = Requests(*gang.ranks[0]);
  const auto unfinished = std::count_if(requests.begin(), requests.end(), [](const auto& r) {
    return r.finish() == v1::FINISH_REASON_UNFINISHED;
  });
  EXPECT_EQ(static_cast<double>(requests.size()),
            Once(AllPoints(*gang.ranks[0]), "load.scheduled"));
  EXPECT_GT(static_cast<double>(unfinished), 0.05 * static_cast<double>(requests.size()));
  EXPECT_GT(requests.size() - static_cast<size_t>(unfinished), 0U);
}

TEST(ProgramTest, WhatCannotFitIsRefusedWithTheRemedy) {
  TestGang gang;
  ASSERT_NO_FATAL_FAILURE(gang.Start(1));
  v1::RunSpec spec = ServeSpec(1, kSecond);
  spec.mutable_serve()->mutable_load()->mutable_output_tokens()->set_max(1 << 24);
  gang.ranks[0]->Order(1, v1::RUN_GOAL_PREPARED, spec);
  EXPECT_THAT(gang.ranks[0]->AwaitPhase(v1::RANK_PHASE_PREPARED)->failure().detail(),
              HasSubstr("output_tokens.max"));
  gang.ranks[0]->Order(2, v1::RUN_GOAL_PREPARED, ServeSpec(2, kSecond));
  EXPECT_THAT(gang.ranks[0]->AwaitPhase(v1::RANK_PHASE_PREPARED)->failure().detail(),
              HasSubstr("tensor_parallel is 2 on a gang of 1"));
}

}  // namespace
}  // namespace rackmark

// Every collective, the same tests: real processes, four ways to travel.
#include "kernels/collective.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <thread>

#include "common/random.h"
#include "kernels/ops.h"
#include "kernels/test_gang.h"
#include "kernels/verify.h"

namespace rackmark {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

class CollectiveTest : public testing::TestWithParam<Wiring> {
 protected:
  static void ExpectOk(const std::vector<RankEnd>& ends) {
    for (size_t rank = 0; rank < ends.size(); ++rank) {
      EXPECT_EQ(ends[rank].status, absl::OkStatus()) << "rank " << rank;
      EXPECT_FALSE(ends[rank].killed) << "rank " << rank;
    }
  }
};
INSTANTIATE_TEST_SUITE_P(All, CollectiveTest,
                         testing::Values(Wiring::kShm, Wiring::kGloo, Wiring::kTwoHosts,
                                         Wiring::kInterleaved),
                         [](const auto& of) { return NameOf(of.param); });

absl::Status Wrong(const std::optional<std::string>& fault) {
  return fault ? absl::DataLossError(*fault) : absl::OkStatus();
}

// Sizes around the borders of one-shot, slot and share.
absl::Status ExactValues(int rank, TestRank& self) {
  Collective& c = *self.collective;
  const int world = c.world();
  if (c.rank() != rank) return absl::InternalError("another rank");
  uint64_t seed = 100;
  for (const size_t n : {0U, 1U, 17U, 1024U, 1025U, 5000U, 40001U}) {
    std::vector<float> data(n);
    FillCheckValues(++seed, rank, n, data.data());
    const auto timing = c.AllReduceSum(data.data(), n);
    RETURN_IF_ERROR(timing);
    if (timing->bytes != n * 4 || timing->wait < 0 || timing->transfer < 0 ||
        timing->lateness < 0) {
      return absl::InternalError("timing makes no sense");
    }
    RETURN_IF_ERROR(Wrong(CheckAllReduced(seed, world, n, data.data())));
    std::vector<float> all(n * static_cast<size_t>(world));
    float* mine = all.data() + n * static_cast<size_t>(rank);
    FillCheckValues(++seed, rank, n, mine);
    const auto gathered = c.AllGather(mine, n * 4, all.data());
    RETURN_IF_ERROR(gathered);
    if (gathered->bytes != all.size() * 4) return absl::InternalError("other bytes");
    RETURN_IF_ERROR(Wrong(CheckAllGathered(seed, world, n, all.data())));
    const int root = static_cast<int>(seed) % world;
    ++seed;
    if (rank == root) FillCheckValues(seed, 0, n, data.data());
    RETURN_IF_ERROR(c.Broadcast(root, data.data(), n * 4));
    RETURN_IF_ERROR(Wrong(CheckAllGathered(seed, 1, n, data.data())));
  }
  return c.Barrier().status();
}

TEST_P(CollectiveTest, ExactValues) {
  for (const int world : {2, 3, 5, 8}) ExpectOk(RunGang(GetParam(), world, ExactValues));
}

// Not whole numbers: the order of additions shows.
TEST_P(CollectiveTest, SumsHaveTheTreesBitsOnEveryRank) {
  for (const int world : {2, 3, 6, 8}) {
    ExpectOk(RunGang(GetParam(), world, [world](int rank, TestRank& self) {
      for (const size_t n : {7U, 1024U, 30001U}) {
        std::vector<std::vector<float>> inputs;
        std::vector<const float*> rows;
        for (int r = 0; r < world; ++r) {
          Random random(static_cast<uint64_t>(r), n);
          std::vector<float> input(n);
          for (float& f : input) f = static_cast<float>(random.Uniform() - 0.3);
          inputs.push_back(std::move(input));
        }
        for (const auto& input : inputs) rows.push_back(input.data());
        std::vector<float> want(n);
        TreeSum(rows.data(), world, n, want.data());
        std::vector<float> data = inputs[static_cast<size_t>(rank)];
        RETURN_IF_ERROR(self.collective->AllReduceSum(data.data(), n));
        if (std::memcmp(data.data(), want.data(), n * sizeof(float)) != 0) {
          return absl::DataLossError(absl::StrCat("other bits for ", n));
        }
      }
      return absl::OkStatus();
    }));
  }
}

// The whole of deterministic mode: x W^T with K sharded, any degree, one bit pattern.
TEST_P(CollectiveTest, RowParallelProductIsBitIdenticalForEveryDegree) {
  constexpr int kM = 3;
  constexpr int kN = 50;
  constexpr int kK = 8 * 24;
  std::vector<float> x(kM * kK);
  std::vector<Bf16> w(kN * kK);
  Random random(4, 4);
  for (float& f : x) f = static_cast<float>(random.Uniform() - 0.5);
  for (Bf16& b : w) b = ToBf16(static_cast<float>(random.Uniform() - 0.5));
  std::vector<float> alone(kM * kN);
  MakeCpuOps()->MatMul({kM, kN, kK, ReduceSegmentsOf(1)}, x.data(), w.data(), alone.data());
  for (const int tp : {2, 4, 8}) {
    ExpectOk(RunGang(GetParam(), tp, [&](int rank, TestRank& self) {
      const int k = kK / tp;
      std::vector<float> my_x;
      std::vector<Bf16> my_w;
      for (int i = 0; i < kM; ++i) {
        const auto at = x.begin() + i * kK + rank * k;
        my_x.insert(my_x.end(), at, at + k);
      }
      for (int i = 0; i < kN; ++i) {
        const auto at = w.begin() + i * kK + rank * k;
        my_w.insert(my_w.end(), at, at + k);
      }
      std::vector<float> y(kM * kN);
      MakeCpuOps()->MatMul({kM, kN, k, ReduceSegmentsOf(tp)}, my_x.data(), my_w.data(), y.data());
      RETURN_IF_ERROR(self.collective->AllReduceSum(y.data(), y.size()));
      return std::memcmp(y.data(), alone.data(), y.size() * sizeof(float)) == 0
                 ? absl::OkStatus()
                 : absl::DataLossError("other bits");
    }));
  }
}

TEST_P(CollectiveTest, TheLateRankIsTheOneWithLateness) {
  const auto ends = RunGang(GetParam(), 4,
                            [](int rank, TestRank& self) {
                              RETURN_IF_ERROR(self.collective->Barrier());
                              if (rank == 2) {
                                self.await_go();
                              } else {
                                self.announce();
                              }
                              const auto timing = self.collective->Barrier();
                              RETURN_IF_ERROR(timing);
                              self.say(absl::StrCat(timing->wait));
                              self.say(absl::StrCat(timing->lateness));
                              return absl::OkStatus();
                            },
                            {.blocked = {0, 1, 3}, .release = 2});
  ExpectOk(ends);
  std::vector<int64_t> wait, lateness, sum;
  for (const RankEnd& end : ends) {
    ASSERT_EQ(end.said.size(), 2U);
    wait.push_back(std::stoll(end.said[0]));
    lateness.push_back(std::stoll(end.said[1]));
    sum.push_back(wait.back() + lateness.back());
  }
  for (const int64_t s : sum) EXPECT_EQ(s, sum[0]) << "first to last arrival, whoever looks";
  // Somebody is the last and waits for nobody, somebody the first and late for nobody: what
  // messages take on their way is neither.
  EXPECT_EQ(*std::min_element(wait.begin(), wait.end()), 0);
  EXPECT_EQ(*std::min_element(lateness.begin(), lateness.end()), 0);
  // The others slept while rank 2 was still to come. One clock sees that; between hosts a message
  // may be held up on a busy machine for longer than rank 2 was late.
  if (GetParam() != Wiring::kShm) return;
  EXPECT_EQ(std::max_element(lateness.begin(), lateness.end()) - lateness.begin(), 2);
  EXPECT_EQ(wait[2], 0);
  EXPECT_GT(lateness[2], 0);
}

// To the nanosecond, whoever of the two came first: what the early one waited is what the late one
// was late, and the late one waited for nobody, however long messages travelled.
TEST_P(CollectiveTest, OfTwoRanksTheOneWaitsForAsLongAsTheOtherIsLate) {
  const auto ends = RunGang(GetParam(), 2, [](int, TestRank& self) {
    std::vector<float> data(1000);
    std::vector<float> all(2 * data.size());
    for (int round = 0; round < 10; ++round) {
      for (const auto& timing :
           {self.collective->AllReduceSum(data.data(), data.size()),
            self.collective->AllGather(data.data(), data.size() * 4, all.data()),
            self.collective->Broadcast(1, data.data(), 64), self.collective->Barrier()}) {
        RETURN_IF_ERROR(timing);
        self.say(absl::StrCat(timing->wait));
        self.say(absl::StrCat(timing->lateness));
      }
    }
    return absl::OkStatus();
  });
  ExpectOk(ends);
  ASSERT_EQ(ends[0].said.size(), 80U);
  ASSERT_EQ(ends[1].said.size(), 80U);
  for (size_t i = 0; i < 80; i += 2) {
    const int64_t wait0 = std::stoll(ends[0].said[i]), wait1 = std::stoll(ends[1].said[i]);
    EXPECT_EQ(std::min(wait0, wait1), 0);
    EXPECT_EQ(std::stoll(ends[0].said[i + 1]), wait1);
    EXPECT_EQ(std::stoll(ends[1].said[i + 1]), wait0);
  }
}

TEST_P(CollectiveTest, ADeadlineNamesWhoDidNotArriveAndEndsTheCommunicator) {
  const auto ends = RunGang(GetParam(), 4, [](int rank, TestRank& self) {
    RETURN_IF_ERROR(self.collective->Barrier());
    if (rank == 3) {
      // Comes never; it learns of the others' end from what they close.
      std::string got;
      while (absl::IsDeadlineExceeded(self.channel->Receive(got, 100 * kMillisecond).status())) {
      }
      return absl::OkStatus();
    }
    self.collective->SetCallLimit(300 * kMillisecond);
    std::vector<float> data(10);
    const absl::Status status = self.collective->AllReduceSum(data.data(), data.size()).status();
    if (self.collective->Barrier().ok()) return absl::InternalError("a dead communicator works");
    self.abort();
    return status;
  });
  int in_time = 0;
  for (const int rank : {0, 1, 2}) {
    const absl::Status& status = ends[static_cast<size_t>(rank)].status;
    EXPECT_THAT(status.code(),
                AnyOf(absl::StatusCode::kDeadlineExceeded, absl::StatusCode::kUnavailable));
    in_time += absl::IsDeadlineExceeded(status) ? 1 : 0;
    EXPECT_THAT(std::string(status.message()), HasSubstr("AllReduceSum of 40 bytes"));
  }
  EXPECT_GE(in_time, 1);
  // Who shares memory with rank 3, or is its leader's peer, can name it or its host.
  std::string text;
  for (const RankEnd& end : ends) text += std::string(end.status.message()) + "\n";
  const std::map<Wiring, std::string> names = {
      {Wiring::kShm, "did not arrive: rank 3"},
      {Wiring::kGloo, "did not arrive: rank 3"},
      {Wiring::kTwoHosts, "did not arrive: the host of ranks 2, 3"},
      {Wiring::kInterleaved, "did not arrive: the host of ranks 1, 3"}};
  EXPECT_THAT(text, HasSubstr(names.at(GetParam())));
}

TEST_P(CollectiveTest, DifferentCallsAreFoundAndNamed) {
  const auto ends = RunGang(GetParam(), 4, [](int rank, TestRank& self) {
    std::vector<float> data(30);
    return self.collective->AllReduceSum(data.data(), rank >= 2 ? 20 : 10).status();
  });
  int named = 0;
  for (const RankEnd& end : ends) {
    EXPECT_THAT(end.status.code(),
                AnyOf(absl::StatusCode::kFailedPrecondition, absl::StatusCode::kUnavailable));
    if (!absl::IsFailedPrecondition(end.status)) continue;
    ++named;
    EXPECT_THAT(std::string(end.status.message()), HasSubstr("of 80 bytes"));
    EXPECT_THAT(std::string(end.status.message()), HasSubstr("of 40 bytes"));
  }
  EXPECT_GE(named, 1);
}

TEST_P(CollectiveTest, AnotherCallInTheSamePlaceIsFound) {
  const auto ends = RunGang(GetParam(), 2, [](int rank, TestRank& self) {
    std::vector<float> data(16);
    if (rank == 0) return self.collective->Barrier().status();
    return self.collective->Broadcast(1, data.data(), 64).status();
  });
  std::string text;
  for (const RankEnd& end : ends) {
    EXPECT_FALSE(end.status.ok());
    text += std::string(end.status.message());
  }
  EXPECT_THAT(text, HasSubstr("Barrier of 0 bytes"));
  EXPECT_THAT(text, HasSubstr("Broadcast of 64 bytes from rank 1"));
}

// A killed process frees its peers: by its closed connections, or, in shared memory, by the abort
// of whoever watches it.
TEST_P(CollectiveTest, TheSurvivorsOfAKilledRankAreFreed) {
  const auto ends = RunGang(GetParam(), 4,
                            [](int rank, TestRank& self) {
                              RETURN_IF_ERROR(self.collective->Barrier());
                              if (rank == 1) raise(SIGKILL);
                              return self.collective->Barrier().status();
                            },
                            {.dies = 1});
  EXPECT_TRUE(ends[1].killed);
  for (const size_t rank : {0U, 2U, 3U}) {
    EXPECT_TRUE(absl::IsUnavailable(ends[rank].status)) << rank << ": " << ends[rank].status;
    EXPECT_FALSE(ends[rank].killed);
  }
}

TEST_P(CollectiveTest, AbortFromAnotherThreadFreesTheBlockedRankAndItsPeers) {
  const auto ends = RunGang(GetParam(), 4,
                            [](int rank, TestRank& self) {
                              RETURN_IF_ERROR(self.collective->Barrier());
                              if (rank == 3) {
                                self.await_go();
                                std::thread([&] { self.abort(); }).join();
                                return self.collective->Barrier().status();
                              }
                              self.announce();
                              return self.collective->Barrier().status();
                            },
                            {.blocked = {0, 1, 2}, .release = 3});
  for (const RankEnd& end : ends) EXPECT_TRUE(absl::IsUnavailable(end.status)) << end.status;
}

// Sockets that this process has open.
int OpenSockets() {
  int sockets = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;  // the folder's own descriptor
    const std::string what = std::filesystem::read_symlink(entry.path(), gone).string();
    sockets += what.rfind("socket:", 0) == 0 ? 1 : 0;
  }
  return sockets;
}

// Those who do not lead their host keep no connections that nobody uses; the others go on with
// theirs.
TEST(HierCollectiveTest, WhoDoesNotLeadClosesItsConnectionsAfterTheFirstCall) {
  const auto ends = RunGang(Wiring::kTwoHosts, 4, [](int, TestRank& self) {
    const int before = OpenSockets();
    RETURN_IF_ERROR(self.collective->Barrier());
    self.say(absl::StrCat(before - OpenSockets()));
    std::vector<float> data(50'000, 1.0F);
    for (int round = 0; round < 5; ++round) {
      RETURN_IF_ERROR(self.collective->AllReduceSum(data.data(), data.size()));
    }
    return data[7] == 1024.0F ? absl::OkStatus() : absl::DataLossError("a wrong sum");
  });
  for (const size_t rank : {0U, 1U, 2U, 3U}) {
    ASSERT_EQ(ends[rank].status, absl::OkStatus()) << rank;
    ASSERT_EQ(ends[rank].said.size(), 1U);
  }
  EXPECT_EQ(ends[1].said[0], "3");
  EXPECT_EQ(ends[3].said[0], "3");
}

// Message i of the sender, of a size that varies from 0 to the bound.
std::string Message(uint64_t i) {
  const size_t size = i % 7 == 0 ? kHostMessageMax : Mix64(i) % 300;
  std::string text(size, static_cast<char>('a' + i % 26));
  if (size >= 8) std::memcpy(text.data(), &i, 8);
  return text;
}

TEST_P(CollectiveTest, EveryRankReceivesEveryPlanOnceAndInOrder) {
  for (const int world : {2, 5}) {
    ExpectOk(RunGang(GetParam(), world, [](int rank, TestRank& self) {
      std::string got;
      for (uint64_t i = 0; i < 300; ++i) {
        if (rank == 0) {
          RETURN_IF_ERROR(self.channel->Send(Message(i), kPlenty));
          continue;
        }
        RETURN_IF_ERROR(self.channel->Receive(got, kPlenty));
        if (got != Message(i)) return absl::DataLossError(absl::StrCat("message ", i, " differs"));
      }
      return self.collective->Barrier().status();
    }));
  }
}

// Nobody reads until rank 0 has found the channel full; then nothing is lost.
TEST_P(CollectiveTest, TheChannelIsBoundedAndNamesAReader) {
  const auto ends = RunGang(GetParam(), 4, [](int rank, TestRank& self) {
    std::string got;
    int64_t sent = 0;
    absl::Status full;
    if (rank == 0) {
      for (; sent < 100 && full.ok(); ++sent) {
        full = self.channel->Send(absl::StrCat(sent), 20 * kMillisecond).status();
      }
      if (!absl::IsDeadlineExceeded(full)) return absl::InternalError("the channel has no bound");
      self.say(std::string(full.message()));
      sent -= 1;
    }
    RETURN_IF_ERROR(self.collective->Barrier());
    RETURN_IF_ERROR(self.collective->Broadcast(0, &sent, sizeof(sent)));
    if (rank == 0) return self.channel->Send("last", kPlenty).status();
    for (int64_t i = 0; i <= sent; ++i) {
      RETURN_IF_ERROR(self.channel->Receive(got, kPlenty));
      if (got != (i == sent ? "last" : absl::StrCat(i))) return absl::DataLossError(got);
    }
    return absl::OkStatus();
  });
  ExpectOk(ends);
  ASSERT_EQ(ends[0].said.size(), 1U);
  EXPECT_THAT(ends[0].said[0], HasSubstr("is 8 messages behind"));
}

TEST_P(CollectiveTest, AbortFreesReadersOfTheChannel) {
  const auto ends = RunGang(GetParam(), 4,
                            [](int rank, TestRank& self) {
                              std::string got;
                              if (rank == 0) {
                                self.await_go();
                                self.abort();
                                return self.channel->Send("x", kPlenty).status();
                              }
                              self.announce();
                              return self.channel->Receive(got, kPlenty).status();
                            },
                            {.blocked = {1, 2, 3}, .release = 0});
  for (const RankEnd& end : ends) EXPECT_TRUE(absl::IsUnavailable(end.status)) << end.status;
}

}  // namespace
}  // namespace rackmark

// Real processes where a process matters (world, death), threads where only the protocol does.
#include "kernels/collective_shm.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "common/random.h"
#include "kernels/shm_layout.h"
#include "kernels/verify.h"

namespace rackmark {
namespace {

constexpr Nanos kPlenty = 60 * kSecond;  // of time, for what must not fail on a busy machine

using RankBody = std::function<absl::Status(ShmSegment& segment, Collective& collective)>;

absl::Status RunRank(std::shared_ptr<ShmSegment> segment, const RankBody& body) {
  RETURN_IF_ERROR(segment->AwaitAll(kPlenty));
  const auto collective = MakeShmCollective(segment);
  collective->SetCallLimit(kPlenty);
  return body(*segment, *collective);
}

// Runs body in `world` processes; this one is rank 0. The first error of any rank.
absl::Status RunProcesses(const ShmSegment::Options& options, const RankBody& body) {
  auto leader = ShmSegment::Create(options);
  RETURN_IF_ERROR(leader.status());
  std::vector<pid_t> children;
  for (int rank = 1; rank < options.world; ++rank) {
    const pid_t child = fork();
    if (child == 0) {
      auto segment = ShmSegment::Attach((*leader)->name(), (*leader)->nonce(), rank);
      const absl::Status status = segment.ok() ? RunRank(*segment, body) : segment.status();
      if (!status.ok()) fprintf(stderr, "rank %d: %s\n", rank, status.ToString().c_str());
      _exit(status.ok() ? 0 : 1);
    }
    children.push_back(child);
  }
  absl::Status result = RunRank(*leader, body);
  if (!result.ok()) (*leader)->Abort();
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    if (status != 0 && result.ok()) result = absl::InternalError("a child failed");
  }
  return result;
}

// The same with threads; every rank's status.
std::vector<absl::Status> RunThreads(const ShmSegment::Options& options, const RankBody& body) {
  std::vector<absl::Status> statuses(static_cast<size_t>(options.world));
  auto leader = ShmSegment::Create(options);
  if (!leader.ok()) return {leader.status()};
  std::vector<std::thread> threads;
  for (int rank = 1; rank < options.world; ++rank) {
    threads.emplace_back([&, rank] {
      auto segment = ShmSegment::Attach((*leader)->name(), (*leader)->nonce(), rank);
      statuses[static_cast<size_t>(rank)] =
          segment.ok() ? RunRank(*std::move(segment), body) : segment.status();
    });
  }
  statuses[0] = RunRank(*leader, body);
  for (std::thread& thread : threads) thread.join();
  return statuses;
}

// Returns once these ranks are inside their n-th meeting: tests order ranks by facts, not by time.
void AwaitArrivals(ShmSegment& segment, std::initializer_list<int> ranks, uint64_t n) {
  for (const int rank : ranks) {
    while (segment.header().ranks[rank].meetings.load() < n) std::this_thread::yield();
  }
}

absl::Status Wrong(const std::optional<std::string>& fault) {
  return fault ? absl::DataLossError(*fault) : absl::OkStatus();
}

// Every call at sizes around the borders of one-shot, slot and share.
absl::Status ExactValues(ShmSegment& segment, Collective& c) {
  const int world = c.world();
  uint64_t seed = 100;
  for (const size_t n : {0U, 1U, 3U, 17U, 1000U, 1024U, 1025U, 5000U, 40001U}) {
    for (int again = 0; again < 3; ++again) {
      std::vector<float> data(n);
      FillCheckValues(++seed, c.rank(), n, data.data());
      const auto timing = c.AllReduceSum(data.data(), n);
      RETURN_IF_ERROR(timing);
      if (timing->bytes != n * 4 || timing->wait < 0 || timing->transfer < 0 ||
          timing->lateness < 0) {
        return absl::InternalError("timing makes no sense");
      }
      RETURN_IF_ERROR(Wrong(CheckAllReduced(seed, world, n, data.data())));
      std::vector<float> all(n * static_cast<size_t>(world));
      float* mine = all.data() + n * static_cast<size_t>(c.rank());
      FillCheckValues(++seed, c.rank(), n, mine);
      RETURN_IF_ERROR(c.AllGather(mine, n * 4, all.data()));
      RETURN_IF_ERROR(Wrong(CheckAllGathered(seed, world, n, all.data())));
      const int root = static_cast<int>(seed) % world;
      if (c.rank() == root)
        FillCheckValues(++seed, 0, n, data.data());
      else
        ++seed;
      RETURN_IF_ERROR(c.Broadcast(root, data.data(), n * 4));
      RETURN_IF_ERROR(Wrong(CheckAllGathered(seed, 1, n, data.data())));
    }
  }
  if (segment.spins() != 0 && world > static_cast<int>(std::thread::hardware_concurrency())) {
    return absl::InternalError("spins although ranks outnumber cores");
  }
  RETURN_IF_ERROR(c.Barrier());
  return absl::OkStatus();
}

TEST(ShmCollective, ExactValuesBetweenTwoProcesses) {
  EXPECT_EQ(RunProcesses({2, 4096}, ExactValues), absl::OkStatus());
}
TEST(ShmCollective, ExactValuesBetweenThreeProcesses) {
  EXPECT_EQ(RunProcesses({3, 4096}, ExactValues), absl::OkStatus());
}
TEST(ShmCollective, ExactValuesBetweenEightProcesses) {
  EXPECT_EQ(RunProcesses({8, 8192}, ExactValues), absl::OkStatus());
}
TEST(ShmCollective, ExactValuesWithManyMoreRanksThanCores) {
  EXPECT_EQ(RunProcesses({16, 4096}, ExactValues), absl::OkStatus());
}
TEST(ShmCollective, ExactValuesBetweenThreadsAndAlone) {
  for (const int world : {1, 5}) {
    for (const auto& status : RunThreads({world, 4096}, ExactValues)) {
      EXPECT_EQ(status, absl::OkStatus());
    }
  }
}

TEST(TreeSum, IsTheTreeOfDoublingStrides) {
  for (int world = 1; world <= 17; ++world) {
    std::vector<std::vector<float>> rows;
    std::vector<const float*> pointers;
    for (int r = 0; r < world; ++r) {
      Random random(9, static_cast<uint64_t>(r));
      std::vector<float> row(700);
      for (float& f : row) f = static_cast<float>(random.Uniform());
      rows.push_back(row);
    }
    for (const auto& row : rows) pointers.push_back(row.data());
    std::vector<float> out(700);
    TreeSum(pointers.data(), world, 700, out.data());
    for (int stride = 1; stride < world; stride *= 2) {
      for (int r = 0; r + stride < world; r += 2 * stride) {
        for (size_t i = 0; i < 700; ++i) {
          rows[static_cast<size_t>(r)][i] += rows[static_cast<size_t>(r + stride)][i];
        }
      }
    }
    EXPECT_EQ(std::memcmp(out.data(), rows[0].data(), 700 * sizeof(float)), 0) << world;
  }
}

TEST(ShmCollective, TheLateRankIsTheOneWithLateness) {
  std::vector<CollectiveTiming> timings(3);
  const auto statuses = RunThreads({3, 4096}, [&](ShmSegment& segment, Collective& c) {
    RETURN_IF_ERROR(c.Barrier());
    if (c.rank() == 1) AwaitArrivals(segment, {0, 2}, 2);
    auto timing = c.Barrier();
    RETURN_IF_ERROR(timing);
    timings[static_cast<size_t>(c.rank())] = *timing;
    return absl::OkStatus();
  });
  for (const auto& status : statuses) ASSERT_EQ(status, absl::OkStatus());
  EXPECT_EQ(timings[1].wait, 0);
  EXPECT_GT(timings[1].lateness, 0);
  EXPECT_GT(timings[0].wait, 0);
  EXPECT_GT(timings[2].wait, 0);
  EXPECT_EQ(std::min(timings[0].lateness, timings[2].lateness), 0);
  // From first to last arrival, whoever looks.
  for (const auto& timing : timings) EXPECT_EQ(timing.wait + timing.lateness, timings[1].lateness);
}

TEST(ShmCollective, ADeadlineNamesTheRanksThatDidNotArrive) {
  const auto statuses = RunThreads({4, 4096}, [](ShmSegment& segment, Collective& c) {
    RETURN_IF_ERROR(c.Barrier());
    if (c.rank() == 2) return absl::OkStatus();  // never calls again
    if (c.rank() == 0) {
      AwaitArrivals(segment, {1, 3}, 2);
      c.SetCallLimit(20 * kMillisecond);
    }
    std::vector<float> data(10);
    const absl::Status status = c.AllReduceSum(data.data(), data.size()).status();
    if (c.Barrier().ok()) return absl::InternalError("a dead communicator works");
    return status;
  });
  EXPECT_EQ(statuses[2], absl::OkStatus());
  EXPECT_TRUE(absl::IsDeadlineExceeded(statuses[0])) << statuses[0];
  for (const int rank : {0, 1, 3}) {
    const auto& status = statuses[static_cast<size_t>(rank)];
    EXPECT_TRUE(rank == 0 || absl::IsUnavailable(status)) << status;
    EXPECT_NE(std::string(status.message()).find("did not arrive: rank 2"), std::string::npos)
        << status;
    EXPECT_NE(std::string(status.message()).find("AllReduceSum of 40 bytes"), std::string::npos);
  }
}

// A process that dies inside a collective is never noticed by memory: whoever watches it aborts.
TEST(ShmCollective, AbortFromAnotherThreadFreesTheSurvivorsOfADeadProcess) {
  auto leader = ShmSegment::Create({3, 4096});
  ASSERT_TRUE(leader.ok()) << leader.status();
  std::vector<pid_t> children;
  for (int rank = 1; rank < 3; ++rank) {
    const pid_t child = fork();
    if (child == 0) {
      auto segment = ShmSegment::Attach((*leader)->name(), (*leader)->nonce(), rank);
      const absl::Status status = RunRank(*segment, [&](ShmSegment&, Collective& c) {
        RETURN_IF_ERROR(c.Barrier());
        if (rank == 1) raise(SIGKILL);
        return c.Barrier().status();
      });
      _exit(absl::IsUnavailable(status) ? 0 : 1);
    }
    children.push_back(child);
  }
  ASSERT_EQ((*leader)->AwaitAll(kPlenty), absl::OkStatus());
  const auto collective = MakeShmCollective(*leader);
  collective->SetCallLimit(kPlenty);
  ASSERT_TRUE(collective->Barrier().ok());
  int status = 0;
  std::thread watcher([&] {
    waitpid(children[0], &status, 0);
    AwaitArrivals(**leader, {0, 2}, 2);
    collective->Abort();
  });
  const absl::Status blocked = collective->Barrier().status();
  watcher.join();
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_TRUE(absl::IsUnavailable(blocked)) << blocked;
  EXPECT_NE(std::string(blocked.message()).find("did not arrive: rank 1"), std::string::npos)
      << blocked;
  waitpid(children[1], &status, 0);
  EXPECT_EQ(status, 0) << "the other survivor was not freed";
}

TEST(ShmSegment, AnotherNonceAnotherRankOrAnotherNameIsRefused) {
  auto leader = ShmSegment::Create({3, 4096});
  ASSERT_TRUE(leader.ok());
  const std::string& name = (*leader)->name();
  std::string nonce = (*leader)->nonce();
  nonce[15] = static_cast<char>(nonce[15] ^ 1);
  EXPECT_TRUE(absl::IsPermissionDenied(ShmSegment::Attach(name, nonce, 1).status()));
  nonce[15] = static_cast<char>(nonce[15] ^ 1);
  EXPECT_TRUE(absl::IsInvalidArgument(ShmSegment::Attach(name, nonce, 0).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ShmSegment::Attach(name, nonce, 3).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ShmSegment::Attach(name, "short", 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ShmSegment::Attach("/../etc", nonce, 1).status()));
  EXPECT_TRUE(absl::IsNotFound(ShmSegment::Attach(name + "x", nonce, 1).status()));
  auto one = ShmSegment::Attach(name, nonce, 1);
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_TRUE(absl::IsAlreadyExists(ShmSegment::Attach(name, nonce, 1).status()));
  const absl::Status absent = (*one)->AwaitAll(20 * kMillisecond);
  EXPECT_TRUE(absl::IsDeadlineExceeded(absent));
  EXPECT_NE(std::string(absent.message()).find("rank 2"), std::string::npos) << absent;
}

TEST(ShmSegment, ADamagedOrForeignSegmentIsRefused) {
  auto leader = ShmSegment::Create({2, 4096});
  ASSERT_TRUE(leader.ok());
  const int fd = shm_open((*leader)->name().c_str(), O_RDWR, 0);
  ASSERT_GE(fd, 0);
  struct stat file;
  ASSERT_EQ(fstat(fd, &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600U);
  const auto attach = [&] {
    return ShmSegment::Attach((*leader)->name(), (*leader)->nonce(), 1).status();
  };
  ASSERT_EQ(ftruncate(fd, file.st_size + 4096), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(attach())) << attach();
  ASSERT_EQ(ftruncate(fd, file.st_size), 0);
  const uint32_t version = 999;
  uint32_t right = 0;
  ASSERT_EQ(pread(fd, &right, 4, 8), 4);
  ASSERT_EQ(pwrite(fd, &version, 4, 8), 4);
  EXPECT_TRUE(absl::IsFailedPrecondition(attach())) << attach();
  ASSERT_EQ(pwrite(fd, &right, 4, 8), 4);
  EXPECT_EQ(attach(), absl::OkStatus());
  close(fd);
}

TEST(ShmSegment, NoNameIsLeftOnceAllMet) {
  std::string name;
  const auto statuses = RunThreads({2, 4096}, [&](ShmSegment& segment, Collective& c) {
    RETURN_IF_ERROR(c.Barrier());
    if (c.rank() == 0) name = segment.name();
    return c.rank() == 0 && ShmSegment::Attach(name, segment.nonce(), 1).ok()
               ? absl::InternalError("still there")
               : absl::OkStatus();
  });
  for (const auto& status : statuses) EXPECT_EQ(status, absl::OkStatus());
  {
    auto lonely = ShmSegment::Create({2, 4096});
    ASSERT_TRUE(lonely.ok());
    name = (*lonely)->name();
  }
  EXPECT_LT(shm_open(name.c_str(), O_RDWR, 0), 0) << "the leader's end must remove the name";
}

TEST(ShmSegment, TooLittleSpaceIsAnErrorWithNumbersNotASigbus) {
  const auto status = ShmSegment::Create({8, size_t{1} << 46}).status();
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_NE(std::string(status.message()).find("/dev/shm has"), std::string::npos) << status;
  EXPECT_TRUE(absl::IsInvalidArgument(ShmSegment::Create({0, 4096}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ShmSegment::Create({kShmMaxWorld + 1, 4096}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ShmSegment::Create({2, 100}).status()));
}

TEST(SoloCollective, LeavesDataAndObeysAbort) {
  const auto solo = MakeSoloCollective();
  float x = 3;
  float y = 0;
  ASSERT_TRUE(solo->AllReduceSum(&x, 1).ok());
  ASSERT_TRUE(solo->AllGather(&x, sizeof(x), &y).ok());
  EXPECT_EQ(x, 3);
  EXPECT_EQ(y, 3);
  solo->Abort();
  EXPECT_TRUE(absl::IsUnavailable(solo->Barrier().status()));
}

// Message i of the sender, of a size that varies from 0 to the bound.
std::string Message(uint64_t i) {
  const size_t size = i % 7 == 0 ? kHostMessageMax : Mix64(i) % 300;
  std::string text(size, static_cast<char>('a' + i % 26));
  if (size >= 8) std::memcpy(text.data(), &i, 8);
  return text;
}

TEST(HostChannel, EveryRankReceivesEveryMessageOnceAndInOrder) {
  const auto body = [](ShmSegment& segment, Collective&) {
    const auto channel = MakeShmChannel(std::shared_ptr<ShmSegment>(&segment, [](auto*) {}));
    std::string got;
    for (uint64_t i = 0; i < 500; ++i) {
      if (channel->rank() == 0) {
        RETURN_IF_ERROR(channel->Send(Message(i), kPlenty));
        continue;
      }
      RETURN_IF_ERROR(channel->Receive(got, kPlenty));
      if (got != Message(i)) return absl::DataLossError(absl::StrCat("message ", i, " differs"));
    }
    return absl::OkStatus();
  };
  EXPECT_EQ(RunProcesses({2, 4096}, body), absl::OkStatus());
  EXPECT_EQ(RunProcesses({5, 4096}, body), absl::OkStatus());
  for (const auto& status : RunThreads({3, 4096}, body)) EXPECT_EQ(status, absl::OkStatus());
}

TEST(HostChannel, TheRingIsBoundedAndNamesTheSlowestReader) {
  auto leader = ShmSegment::Create({3, 4096});
  ASSERT_TRUE(leader.ok());
  std::vector<std::unique_ptr<HostChannel>> readers;
  for (const int rank : {1, 2}) {
    auto segment = ShmSegment::Attach((*leader)->name(), (*leader)->nonce(), rank);
    ASSERT_TRUE(segment.ok());
    readers.push_back(MakeShmChannel(*segment));
  }
  const auto sender = MakeShmChannel(*leader);
  std::string got;
  int sent = 0;
  absl::Status full;
  for (; sent < 100; ++sent) {
    full = sender->Send(absl::StrCat(sent), 5 * kMillisecond).status();
    if (!full.ok()) break;
    ASSERT_TRUE(readers[0]->Receive(got, kPlenty).ok());
    EXPECT_EQ(got, absl::StrCat(sent));
  }
  EXPECT_EQ(sent, 8);
  EXPECT_TRUE(absl::IsDeadlineExceeded(full)) << full;
  EXPECT_NE(std::string(full.message()).find("rank 2 is 8 messages behind"), std::string::npos);
  // A refused send sent nothing; room makes it work again.
  EXPECT_TRUE(absl::IsDeadlineExceeded(readers[0]->Receive(got, 5 * kMillisecond).status()));
  ASSERT_TRUE(readers[1]->Receive(got, kPlenty).ok());
  EXPECT_EQ(got, "0");
  ASSERT_TRUE(sender->Send("again", kPlenty).ok());
  ASSERT_TRUE(readers[0]->Receive(got, kPlenty).ok());
  EXPECT_EQ(got, "again");
  EXPECT_TRUE(absl::IsInvalidArgument(
      sender->Send(std::string(kHostMessageMax + 1, 'x'), kPlenty).status()));
}

TEST(HostChannel, AbortFreesReaderAndSender) {
  auto leader = ShmSegment::Create({2, 4096});
  ASSERT_TRUE(leader.ok());
  auto follower = ShmSegment::Attach((*leader)->name(), (*leader)->nonce(), 1);
  ASSERT_TRUE(follower.ok());
  absl::Status received;
  std::thread reader([&] {
    std::string got;
    received = MakeShmChannel(*follower)->Receive(got, kPlenty).status();
  });
  (*leader)->Abort();
  reader.join();
  EXPECT_TRUE(absl::IsUnavailable(received)) << received;
  EXPECT_TRUE(absl::IsUnavailable(MakeShmChannel(*leader)->Send("x", kPlenty).status()));
}

}  // namespace
}  // namespace rackmark

// The spool over restarts, cuts, damage and its bound; and the first format's fixture, for ever.
#include "worker/daemon/spool.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "common/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "samples/chunk_codec.h"
#include "worker/daemon/push_window.h"
#include "worker/daemon/sample_streams.h"
#include "worker/daemon/spool_format.h"

namespace rackmark {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr char kCluster[] = "0123456789abcdef0123456789abcdef";
const StreamKey kKey{7, 1, v1::STREAM_KIND_RANK, 0};

v1::Chunk Chunk(uint64_t seq, bool last = false, const StreamKey& key = kKey,
                const char* cluster = kCluster) {
  v1::ChunkHeader header;
  header.set_cluster_id(cluster);
  header.set_run(key.run);
  header.set_attempt(key.attempt);
  header.set_kind(key.kind);
  header.set_stream(key.stream);
  header.set_seq(seq);
  header.set_last(last);
  v1::ChunkPayload payload;
  PayloadBuilder(&payload).Add(SeriesId::kStepCompute, 1000, static_cast<double>(seq));
  return *PackChunk(header, payload);
}

std::string ReadFile(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class SpoolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "rm_spool_" + std::to_string(getpid());
    fs::remove_all(root_);
  }
  void TearDown() override { fs::remove_all(root_); }
  std::unique_ptr<Spool> Open(uint64_t bytes_max = 1 << 20) {
    auto spool = Spool::Open({root_ + "/spool", root_ + "/aside", bytes_max});
    EXPECT_TRUE(spool.ok()) << spool.status();
    return *std::move(spool);
  }
  std::vector<fs::path> Files(const char* folder) {
    std::vector<fs::path> files;
    for (const auto& item : fs::directory_iterator(root_ + "/" + folder)) files.push_back(item);
    return files;
  }
  std::string root_;
};

TEST_F(SpoolTest, ReloadsWhatWasNotAcked) {
  {
    auto spool = Open();
    for (uint64_t seq = 1; seq <= 3; ++seq)
      ASSERT_TRUE(spool->Append(Chunk(seq, seq == 3), 1).ok());
    EXPECT_TRUE(spool->Sync().ok());
  }
  auto spool = Open();
  const Spool::Stream& stream = spool->streams().at(kKey);
  EXPECT_EQ(stream.sealed_seq, 3U);
  EXPECT_EQ(stream.acked_seq, 0U);
  EXPECT_TRUE(stream.closed);
  EXPECT_FALSE(stream.drained());
  EXPECT_EQ(spool->Read(kKey, 2)->SerializeAsString(), Chunk(2).SerializeAsString());
  EXPECT_FALSE(spool->Read(kKey, 4).ok());
  spool->Ack(kKey, 99);  // more than was ever sealed
  EXPECT_TRUE(spool->streams().at(kKey).drained());
  EXPECT_EQ(spool->bytes(), 0U);
  EXPECT_TRUE(Files("spool").empty());
}

TEST_F(SpoolTest, ACutAtEveryByteLosesOnlyTheTornRecord) {
  std::string whole;
  std::vector<size_t> ends = {kSpoolHeader.size()};
  {
    auto spool = Open();
    for (uint64_t seq = 1; seq <= 3; ++seq) {
      ASSERT_TRUE(spool->Append(Chunk(seq), 1).ok());
      ends.push_back(ends.back() + spool->SizeOf(kKey, seq));
    }
    ASSERT_EQ(Files("spool").size(), 1U);
    whole = ReadFile(Files("spool")[0]);
  }
  const fs::path path = Files("spool")[0];
  ASSERT_EQ(whole.size(), ends.back());
  for (size_t cut = 0; cut <= whole.size(); ++cut) {
    std::ofstream(path, std::ios::binary) << whole.substr(0, cut);
    auto spool = Open();
    uint64_t expected = 0;
    while (expected < 3 && ends[expected + 1] <= cut) ++expected;
    const auto stream = spool->streams().find(kKey);
    EXPECT_EQ(stream == spool->streams().end() ? 0 : stream->second.sealed_seq, expected) << cut;
    EXPECT_TRUE(Files("aside").empty()) << cut;  // torn is not damaged
    // And it goes on from there.
    ASSERT_TRUE(spool->Append(Chunk(expected + 1), 1).ok()) << cut;
    auto again = Open();
    EXPECT_EQ(again->streams().at(kKey).sealed_seq, expected + 1) << cut;
    EXPECT_TRUE(again->Read(kKey, expected + 1).ok()) << cut;
    for (const auto& file : Files("spool")) fs::remove(file);
  }
}

TEST_F(SpoolTest, DamageInTheMiddleIsSetAsideAndTheGoodPartKept) {
  size_t second = kSpoolHeader.size();
  {
    auto spool = Open();
    for (uint64_t seq = 1; seq <= 3; ++seq) ASSERT_TRUE(spool->Append(Chunk(seq), 1).ok());
    second += spool->SizeOf(kKey, 1);
  }
  const fs::path path = Files("spool")[0];
  std::string bytes = ReadFile(path);
  bytes[second + kRecordPrefix + 3] = static_cast<char>(bytes[second + kRecordPrefix + 3] ^ 1);
  std::ofstream(path, std::ios::binary) << bytes;
  auto spool = Open();
  EXPECT_EQ(spool->streams().at(kKey).sealed_seq, 1U);
  EXPECT_EQ(Files("aside").size(), 1U);
}

TEST_F(SpoolTest, OtherVersionsAndForeignFilesAreSetAside) {
  fs::create_directories(root_ + "/spool");
  std::ofstream(root_ + "/spool/a.seg") << "RMSPOOL\x02later";
  std::ofstream(root_ + "/spool/b.seg") << "hello, I am no segment";
  auto spool = Open();
  EXPECT_TRUE(spool->streams().empty());
  EXPECT_EQ(Files("aside").size(), 2U);
  EXPECT_THAT(std::string(ScanSegment("RMSPOOL\x02later").status().message()), HasSubstr("\\x02"));
}

TEST_F(SpoolTest, ForeignClustersAndRefusedStreamsAreSetAside) {
  const StreamKey other{9, 1, v1::STREAM_KIND_RANK, 1};
  auto spool = Open();
  ASSERT_TRUE(spool->Append(Chunk(1), 1).ok());
  ASSERT_TRUE(spool->Append(Chunk(1, false, other, "ffff"), 1).ok());
  spool->SetAsideForeign(kCluster);
  EXPECT_EQ(spool->streams().count(other), 0U);
  EXPECT_EQ(spool->streams().count(kKey), 1U);
  EXPECT_EQ(Files("aside").size(), 1U);
  PushWindow window(spool.get());
  ASSERT_TRUE(window.NextBatch(kCluster).has_value());
  v1::Watermark refused;
  refused.set_run_id(kKey.run);
  refused.set_attempt(kKey.attempt);
  refused.set_kind(kKey.kind);
  refused.set_refused("unknown run");
  window.OnAck(refused);
  EXPECT_EQ(window.in_flight(), 0U);
  EXPECT_TRUE(spool->streams().empty());
  EXPECT_EQ(spool->bytes(), 0U);
  EXPECT_EQ(Files("aside").size(), 2U);
  EXPECT_THAT(spool->WhyAside(kKey), HasSubstr("unknown run"));
  spool->Forget(kKey);
  EXPECT_EQ(spool->WhyAside(kKey), "");
}

TEST_F(SpoolTest, TheBoundHoldsAndLeavesRoomForLastChunks) {
  auto spool = Open(4096);
  uint64_t seq = 0;
  while (spool->Append(Chunk(seq + 1), 1).ok()) ++seq;
  EXPECT_GT(seq, 3U);
  EXPECT_LE(spool->bytes(), 4096U);
  EXPECT_EQ(spool->Append(Chunk(seq + 1), 1).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(spool->Append(Chunk(seq + 1, true), 1).ok());
}

// The first format, written by this test once (RACKMARK_WRITE_FIXTURES=1) and loaded for ever.
TEST_F(SpoolTest, FixtureOfTheFirstFormatLoads) {
  const fs::path fixture = fs::path(RACKMARK_TESTDATA) / "spool_v1.seg";
  if (std::getenv("RACKMARK_WRITE_FIXTURES") != nullptr) {
    auto spool = Open();
    for (uint64_t seq = 1; seq <= 3; ++seq)
      ASSERT_TRUE(spool->Append(Chunk(seq, seq == 3), 1).ok());
    fs::create_directories(RACKMARK_TESTDATA);
    fs::copy_file(Files("spool")[0], fixture, fs::copy_options::overwrite_existing);
    fs::remove_all(root_);
  }
  fs::create_directories(root_ + "/spool");
  fs::copy_file(fixture, root_ + "/spool/r7-a1-k1-s0-000000000001.seg");
  auto spool = Open();
  ASSERT_EQ(spool->streams().count(kKey), 1U);
  EXPECT_EQ(spool->streams().at(kKey).sealed_seq, 3U);
  EXPECT_TRUE(spool->streams().at(kKey).closed);
  const auto payload = UnpackChunk(*spool->Read(kKey, 2));
  ASSERT_TRUE(payload.ok()) << payload.status();
  EXPECT_EQ(payload->columns(0).value(0), 2.0);
  EXPECT_EQ(payload->dictionary(0), "step.compute");
}

TEST_F(SpoolTest, WindowSendsInOrderInTurnsAndAgainAfterAReset) {
  const StreamKey second{7, 1, v1::STREAM_KIND_RANK, 1};
  auto spool = Open();
  for (uint64_t seq = 1; seq <= 2; ++seq) {
    ASSERT_TRUE(spool->Append(Chunk(seq), 1).ok());
    ASSERT_TRUE(spool->Append(Chunk(seq, false, second), 1).ok());
  }
  PushWindow window(spool.get());
  EXPECT_FALSE(window.NextBatch("another cluster").has_value());
  auto batch = window.NextBatch(kCluster);
  ASSERT_EQ(batch->chunks_size(), 4);
  EXPECT_EQ(batch->chunks(0).header().stream(), 0U);
  EXPECT_EQ(batch->chunks(1).header().stream(), 1U);
  EXPECT_EQ(batch->chunks(2).header().seq(), 2U);
  EXPECT_FALSE(window.NextBatch(kCluster).has_value());
  v1::Watermark mark;
  mark.set_run_id(7);
  mark.set_attempt(1);
  mark.set_kind(v1::STREAM_KIND_RANK);
  mark.set_seq(1);
  window.OnAck(mark);
  window.Reset();
  batch = window.NextBatch(kCluster);
  ASSERT_EQ(batch->chunks_size(), 3);  // all but the acked one
  mark.set_seq(2);
  window.OnAck(mark);
  mark.set_stream(1);
  window.OnAck(mark);
  EXPECT_EQ(window.in_flight(), 0U);
}

// The leader before stored all of it and died before it acked: what a new one says first is ahead
// of what was sent to it.
TEST_F(SpoolTest, AnAckOfMoreThanWasSentEndsTheStreamAndLosesNothing) {
  auto spool = Open(64 << 20);
  for (uint64_t seq = 1; seq <= 20; ++seq) {
    v1::Chunk chunk = Chunk(seq, seq == 20);
    chunk.set_payload(std::string(256 << 10, 'x'));  // what is in it is not looked at here
    ASSERT_TRUE(spool->Append(chunk, 1).ok());
  }
  PushWindow window(spool.get());
  const auto first = window.NextBatch(kCluster);
  ASSERT_TRUE(first.has_value());
  ASSERT_LT(first->chunks_size(), 20);
  v1::Watermark mark;
  mark.set_run_id(kKey.run);
  mark.set_attempt(kKey.attempt);
  mark.set_kind(kKey.kind);
  mark.set_seq(20);
  window.OnAck(mark);
  EXPECT_FALSE(window.NextBatch(kCluster).has_value());
  EXPECT_EQ(window.in_flight(), 0U);
  ASSERT_EQ(spool->streams().count(kKey), 1U);
  EXPECT_TRUE(spool->streams().at(kKey).drained());
  EXPECT_EQ(spool->WhyAside(kKey), "");
  EXPECT_TRUE(Files("aside").empty());
}

v1::ChunkPayload Points(SeriesId series, int n) {
  v1::ChunkPayload payload;
  PayloadBuilder builder(&payload);
  uint64_t x = 1;
  for (int i = 0; i < n; ++i) builder.Add(series, 1000 + i, static_cast<double>(x = Mix64(x)));
  return payload;
}

TEST_F(SpoolTest, StreamsSealAtOneSecondAtSizeAndAtTheEnd) {
  auto spool = Open(64 << 20);
  SampleStreams streams(spool.get());
  streams.SetProvenance({kCluster, 4, "boot"});
  streams.Open(kKey);
  ASSERT_TRUE(streams.Append(kKey, Points(SeriesId::kStepCompute, 1), 10 * kSecond).ok());
  streams.Tick(11 * kSecond - 1);
  EXPECT_EQ(spool->streams().count(kKey), 0U);
  EXPECT_EQ(streams.NextSeal(), 11 * kSecond);
  streams.Tick(11 * kSecond);
  EXPECT_EQ(spool->streams().at(kKey).sealed_seq, 1U);
  EXPECT_EQ(streams.NextSeal(), std::nullopt);
  ASSERT_TRUE(streams.Append(kKey, Points(SeriesId::kStepCompute, 40'000), 12 * kSecond).ok());
  EXPECT_EQ(spool->streams().at(kKey).sealed_seq, 2U);  // over 256 KiB
  streams.Close(kKey);
  EXPECT_EQ(spool->streams().at(kKey).sealed_seq, 3U);
  const v1::Chunk last = *spool->Read(kKey, 3);
  EXPECT_TRUE(last.header().last());
  EXPECT_EQ(last.header().node_id(), 4U);
  EXPECT_EQ(last.header().boot_id(), "boot");
  EXPECT_FALSE(streams.Append(kKey, Points(SeriesId::kStepCompute, 1), 13 * kSecond).ok());
  EXPECT_EQ(streams.orphan_payloads(), 1U);
  EXPECT_FALSE(streams.Reports()[0].drained());
  spool->Ack(kKey, 3);
  EXPECT_TRUE(streams.Reports()[0].drained());
  const auto drop = [&](Nanos now, Interest interest) {
    streams.Drop(now, [interest](const StreamKey&) { return interest; });
  };
  drop(14 * kSecond, Interest::kPerhaps);
  drop(14 * kSecond + kReportLinger, Interest::kWanted);
  EXPECT_EQ(streams.Reports().size(), 1U);
  drop(14 * kSecond + kReportLinger, Interest::kPerhaps);
  EXPECT_TRUE(streams.Reports().empty());
}

TEST_F(SpoolTest, AStreamOfARunThatIsOverIsKeptUntilItIsDrainedAndNoLonger) {
  auto spool = Open();
  SampleStreams streams(spool.get());
  streams.SetProvenance({kCluster, 4, "boot"});
  streams.Open(kKey);
  streams.Close(kKey);
  const auto drop = [&] {
    streams.Drop(kSecond, [](const StreamKey&) { return Interest::kOver; });
  };
  drop();
  ASSERT_EQ(streams.Reports().size(), 1U);
  spool->Ack(kKey, 1);
  drop();
  EXPECT_TRUE(streams.Reports().empty());
  EXPECT_TRUE(spool->streams().empty());
}

TEST_F(SpoolTest, TelemetryIsDroppedBeforeResultsAndBothAreCounted) {
  const StreamKey node{7, 1, v1::STREAM_KIND_NODE, 0};
  auto spool = Open(200'000);
  SampleStreams streams(spool.get());
  streams.SetProvenance({kCluster, 4, "boot"});
  streams.Open(kKey);
  streams.Open(node);
  // Fill it to about 80 %: telemetry finds no room any more, results do.
  ASSERT_TRUE(streams.Append(kKey, Points(SeriesId::kStepCompute, 21'000), kSecond).ok());
  streams.Tick(2 * kSecond);
  ASSERT_GT(spool->bytes(), 150'000U);
  ASSERT_TRUE(streams.Append(node, Points(SeriesId::kHostCpuBusy, 100), 3 * kSecond).ok());
  ASSERT_TRUE(streams.Append(kKey, Points(SeriesId::kStepHost, 10), 3 * kSecond).ok());
  streams.Tick(4 * kSecond);
  const auto report = [&](v1::StreamKind kind) {
    for (const auto& r : streams.Reports()) {
      if (r.kind() == kind) return r;
    }
    return v1::StreamReport();
  };
  EXPECT_EQ(report(v1::STREAM_KIND_NODE).dropped_telemetry(), 100U);
  EXPECT_EQ(report(v1::STREAM_KIND_RANK).dropped_results(), 0U);
  // Telemetry of a rank goes before the same rank's results.
  v1::ChunkPayload both = Points(SeriesId::kStepHost, 50);
  ASSERT_TRUE(PayloadBuilder(&both).Append(Points(SeriesId::kRankRss, 20'000)).ok());
  ASSERT_TRUE(streams.Append(kKey, both, 5 * kSecond).ok());
  streams.Tick(6 * kSecond);
  EXPECT_EQ(report(v1::STREAM_KIND_RANK).dropped_telemetry(), 20'000U);
  EXPECT_EQ(report(v1::STREAM_KIND_RANK).dropped_results(), 0U);
  ASSERT_TRUE(streams.Append(kKey, Points(SeriesId::kStepHost, 20'000), 7 * kSecond).ok());
  streams.Tick(8 * kSecond);
  EXPECT_EQ(report(v1::STREAM_KIND_RANK).dropped_results(), 20'000U);
  // Full as it is, the streams still close, and the last chunk carries the count.
  streams.Close(kKey);
  streams.Close(node);
  EXPECT_TRUE(report(v1::STREAM_KIND_RANK).closed());
  EXPECT_TRUE(report(v1::STREAM_KIND_NODE).closed());
  EXPECT_LE(spool->bytes(), 200'000U + (1U << 20));
  uint64_t counted = 0;
  for (uint64_t seq = 1; seq <= spool->streams().at(kKey).sealed_seq; ++seq) {
    counted += UnpackChunk(*spool->Read(kKey, seq))->dropped_results();
  }
  EXPECT_EQ(counted, 20'000U);
}

TEST_F(SpoolTest, ARefusedStreamTakesNoMoreAndStillCloses) {
  auto spool = Open();
  SampleStreams streams(spool.get());
  streams.SetProvenance({kCluster, 4, "boot"});
  streams.Open(kKey);
  ASSERT_TRUE(streams.Append(kKey, Points(SeriesId::kStepHost, 1), kSecond).ok());
  streams.Tick(2 * kSecond);
  spool->SetAside(kKey, "refused");
  ASSERT_TRUE(streams.Append(kKey, Points(SeriesId::kStepHost, 1), 3 * kSecond).ok());
  streams.Tick(4 * kSecond);
  streams.Close(kKey);
  EXPECT_TRUE(spool->streams().empty());
  EXPECT_FALSE(streams.IsOpen(kKey));
  ASSERT_EQ(streams.Reports().size(), 1U);  // the coordinator hears that nothing more will come
  EXPECT_EQ(streams.Reports()[0].refused(), "refused");
  EXPECT_FALSE(streams.Reports()[0].drained());
}

}  // namespace
}  // namespace rackmark

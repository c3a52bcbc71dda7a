// The frame codec over a real socket pair and byte by byte.
#include "common/frame.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

class FramePair : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds_.data()), 0);
  }
  void TearDown() override {
    close(fds_[0]);
    if (fds_[1] >= 0) close(fds_[1]);
  }
  void CloseFar() {
    close(fds_[1]);
    fds_[1] = -1;
  }
  std::array<int, 2> fds_{};
};

std::string Prefix(uint32_t length) {
  std::string out;
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>((length >> shift) & 0xff);
  return out;
}

TEST_F(FramePair, FramesArriveWholeAndInOrder) {
  ASSERT_TRUE(WriteFrame(fds_[1], "one").ok());
  ASSERT_TRUE(WriteFrame(fds_[1], "").ok());
  ASSERT_TRUE(WriteFrame(fds_[1], std::string("t\0wo", 4)).ok());
  FrameReader reader;
  ASSERT_TRUE(reader.ReadSome(fds_[0]).ok());
  EXPECT_EQ(reader.Next(), "one");
  EXPECT_EQ(reader.Next(), "");
  EXPECT_EQ(reader.Next(), std::string("t\0wo", 4));
  EXPECT_EQ(reader.Next(), std::nullopt);
}

TEST_F(FramePair, AFrameLargerThanTheSocketBufferPasses) {
  std::string big(kFrameBytesMax, 'x');
  big.back() = 'y';
  fcntl(fds_[1], F_SETFL, O_NONBLOCK);  // the writer must wait, not fail
  std::thread writer([&] { EXPECT_TRUE(WriteFrame(fds_[1], big).ok()); });
  FrameReader reader;
  std::optional<std::string> frame;
  while (!frame) {
    ASSERT_TRUE(reader.ReadSome(fds_[0]).ok());
    frame = reader.Next();
  }
  writer.join();
  EXPECT_EQ(*frame, big);
}

TEST_F(FramePair, TooLargeIsRefusedOnBothSides) {
  EXPECT_EQ(WriteFrame(fds_[1], std::string(kFrameBytesMax + 1, 'x')).code(),
            absl::StatusCode::kResourceExhausted);
  FrameReader reader;
  EXPECT_EQ(reader.Feed(Prefix(kFrameBytesMax + 1)).code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(reader.Next(), std::nullopt);
}

TEST(FrameReader, AnOversizedFrameBehindAGoodOneIsToldAtOnceAndNeverDelivered) {
  FrameReader reader;
  // Nobody may send another byte after it: waiting for one would be waiting for ever.
  EXPECT_EQ(reader.Feed(Prefix(1) + "a" + Prefix(kFrameBytesMax + 1)).code(),
            absl::StatusCode::kDataLoss);
  EXPECT_EQ(reader.Next(), "a");
  EXPECT_EQ(reader.Next(), std::nullopt);
  EXPECT_EQ(reader.Feed("x").code(), absl::StatusCode::kDataLoss);
}

TEST_F(FramePair, TheEndIsUnavailableAndNeverASignal) {
  FrameReader reader;
  CloseFar();
  EXPECT_EQ(reader.ReadSome(fds_[0]).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(WriteFrame(fds_[0], "x").code(), absl::StatusCode::kUnavailable);
}

TEST_F(FramePair, AnEmptyNonBlockingPipeIsFine) {
  fcntl(fds_[0], F_SETFL, O_NONBLOCK);
  FrameReader reader;
  EXPECT_TRUE(reader.ReadSome(fds_[0]).ok());
  EXPECT_EQ(reader.Next(), std::nullopt);
}

TEST(FrameReader, ByteByByteAndCutAtEveryByte) {
  const std::string stream = Prefix(3) + "abc" + Prefix(0) + Prefix(2) + "de";
  for (size_t cut = 0; cut <= stream.size(); ++cut) {
    FrameReader reader;
    std::vector<std::string> frames;
    for (size_t i = 0; i < cut; ++i) {
      ASSERT_TRUE(reader.Feed(stream.substr(i, 1)).ok());
      while (auto frame = reader.Next()) frames.push_back(*frame);
    }
    const size_t expected = cut >= 17 ? 3U : cut >= 11 ? 2U : cut >= 7 ? 1U : 0U;
    EXPECT_EQ(frames.size(), expected) << "cut at " << cut;
  }
}

TEST(FrameReader, TheBufferIsReusedOverManyFrames) {
  FrameReader reader;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(reader.Feed(Prefix(100'000) + std::string(100'000, static_cast<char>(i))).ok());
    const auto frame = reader.Next();
    ASSERT_TRUE(frame.has_value());
    EXPECT_EQ(frame->at(99'999), static_cast<char>(i));
  }
}

}  // namespace
}  // namespace rackmark

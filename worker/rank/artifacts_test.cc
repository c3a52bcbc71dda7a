#include "worker/rank/artifacts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/sha256.h"

namespace rackmark {
namespace {

v1::ArtifactPart Part(const std::string& whole, uint64_t offset, const std::string& piece) {
  v1::ArtifactPart part;
  part.set_sha256(Sha256Hex(whole));
  part.set_total_bytes(whole.size());
  part.set_offset(offset);
  part.set_piece(piece);
  return part;
}

TEST(Artifacts, PartsMakeTheFile) {
  Artifacts artifacts;
  ASSERT_TRUE(artifacts.Add(Part("abcdef", 0, "abc")).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(artifacts.Find(Sha256Hex("abcdef")).status()));
  ASSERT_TRUE(artifacts.Add(Part("abcdef", 3, "def")).ok());
  const auto file = artifacts.Find(Sha256Hex("abcdef"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(**file, "abcdef");
  // Sent again, as after a daemon's restart: whoever holds it keeps it.
  ASSERT_TRUE(artifacts.Add(Part("abcdef", 0, "ab")).ok());
  EXPECT_EQ(**file, "abcdef");
}

TEST(Artifacts, WrongBytesAreFoundOut) {
  Artifacts artifacts;
  ASSERT_TRUE(artifacts.Add(Part("abcdef", 0, "abcdeX")).ok());
  EXPECT_TRUE(absl::IsDataLoss(artifacts.Find(Sha256Hex("abcdef")).status()));
}

TEST(Artifacts, BrokenDaemonsAreRefused) {
  Artifacts artifacts;
  EXPECT_FALSE(artifacts.Add(Part("abcdef", 3, "def")).ok()) << "no beginning";
  ASSERT_TRUE(artifacts.Add(Part("abcdef", 0, "abc")).ok());
  EXPECT_FALSE(artifacts.Add(Part("abcdef", 4, "ef")).ok()) << "a gap";
  EXPECT_FALSE(artifacts.Add(Part("abcdef", 3, "defg")).ok()) << "too much";
  v1::ArtifactPart part = Part("abc", 0, "abc");
  part.set_total_bytes(kArtifactFileBytesMax + 1);
  EXPECT_FALSE(artifacts.Add(part).ok());
  part = Part("abc", 0, "abc");
  part.set_sha256("abc");
  EXPECT_FALSE(artifacts.Add(part).ok());
}

TEST(Artifacts, TheLastOneIsKept) {
  Artifacts artifacts;
  ASSERT_TRUE(artifacts.Add(Part("first", 0, "first")).ok());
  ASSERT_TRUE(artifacts.Add(Part("second", 0, "second")).ok());
  EXPECT_FALSE(artifacts.Find(Sha256Hex("first")).ok());
  EXPECT_TRUE(artifacts.Find(Sha256Hex("second")).ok());
}

}  // namespace
}  // namespace rackmark

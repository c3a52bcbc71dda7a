#include "worker/daemon/artifact_cache.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "common/hashed_file.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

namespace fs = std::filesystem;

class ArtifactCacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "rm_cache_XXXXXX";
    ASSERT_NE(mkdtemp(root_.data()), nullptr);
    folder_ = root_ + "/artifacts";
  }
  void TearDown() override { fs::remove_all(root_); }
  ArtifactCache Open(uint64_t bytes_max) { return *ArtifactCache::Open(folder_, bytes_max); }
  std::string Write(ArtifactCache& cache, const std::string& content) {
    const std::string sha256 = Sha256Hex(content);
    std::ofstream(folder_ + "/" + sha256) << content;
    cache.Added(sha256, content.size());
    return sha256;
  }
  static std::string Drain(ArtifactFeed& feed) {
    std::string all;
    while (!feed.done()) {
      const auto part = feed.Next();
      if (!part.ok()) return std::string(part.status().message());
      EXPECT_EQ(part->offset(), all.size());
      EXPECT_EQ(part->sha256(), feed.sha256());
      all += part->piece();
      EXPECT_LE(all.size(), part->total_bytes());
    }
    return all;
  }
  std::string root_, folder_;
};

TEST_F(ArtifactCacheTest, GivesWhatItHasPartByPart) {
  ArtifactCache cache = Open(10 << 20);
  std::string content(700'000, 'a');
  content[300'000] = 'b';
  const std::string sha256 = Write(cache, content);
  EXPECT_TRUE(cache.Has(sha256));
  auto feed = cache.Feed(sha256);
  ASSERT_TRUE(feed.ok());
  EXPECT_EQ(Drain(**feed), content);
  EXPECT_EQ(cache.Feed(Sha256Hex("none")).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ArtifactCacheTest, TheOneNotUsedForLongestMakesRoom) {
  ArtifactCache cache = Open(100);
  const std::string a = Write(cache, std::string(40, 'a'));
  const std::string b = Write(cache, std::string(40, 'b'));
  auto feed = cache.Feed(a);  // a use; and what is on its way is not cut off
  const std::string c = Write(cache, std::string(40, 'c'));
  EXPECT_TRUE(cache.Has(a) && !cache.Has(b) && cache.Has(c));
  const std::string d = Write(cache, std::string(101, 'd'));
  EXPECT_TRUE(!cache.Has(a) && !cache.Has(c) && cache.Has(d));
  EXPECT_EQ(Drain(**feed), std::string(40, 'a'));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()), 1);
}

TEST_F(ArtifactCacheTest, WhatAnEarlierProcessLeftIsNotTrusted) {
  {
    ArtifactCache cache = Open(100);
    Write(cache, "whole");
    std::ofstream(folder_ + "/" + std::string(kPartialPrefix) + "x") << "half";
  }
  ArtifactCache cache = Open(100);
  EXPECT_FALSE(cache.Has(Sha256Hex("whole")));
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(ArtifactCacheTest, AFileThatWasTakenAwayIsForgotten) {
  ArtifactCache cache = Open(100);
  const std::string a = Write(cache, "a");
  fs::remove(folder_ + "/" + a);
  EXPECT_EQ(cache.Feed(a).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(cache.Has(a));
}

}  // namespace
}  // namespace rackmark

// What is on disk is found again, what is half there is not, and the bounds hold over restarts.
#include "coordinator/store/artifact_store.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class ArtifactStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = testing::TempDir() + "rm_artifacts_XXXXXX";
    ASSERT_NE(mkdtemp(root_.data()), nullptr);
    options_.folder = root_ + "/artifacts";
    options_.total_bytes_max = 100;
    options_.bytes_max = 60;
    options_.uploads_max = 2;
    Reopen();
  }
  void TearDown() override {
    store_.reset();
    fs::remove_all(root_);
  }
  void Reopen() {
    store_.reset();
    auto store = ArtifactStore::Open(options_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  absl::Status Put(const std::string& content) {
    ASSIGN_OR_RETURN(auto upload, store_->Begin(Sha256Hex(content), content.size()));
    RETURN_IF_ERROR(upload->Append(content));
    return upload->Commit();
  }
  std::string root_;
  ArtifactStore::Options options_;
  std::unique_ptr<ArtifactStore> store_;
};

TEST_F(ArtifactStoreTest, WhatIsCommittedIsThereAfterARestart) {
  const std::string a(40, 'a'), b(30, 'b');
  ASSERT_TRUE(Put(a).ok());
  ASSERT_TRUE(Put(b).ok());
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(store_->Find(Sha256Hex(a)), 40U);
    EXPECT_EQ(*store_->FindWhole(Sha256Hex(b)), 30U);
    EXPECT_EQ(*store_->Read(Sha256Hex(b), 10, 15), b.substr(10, 15));
    EXPECT_EQ(*store_->Read(Sha256Hex(b), 25, 15), b.substr(25));
    EXPECT_EQ(*store_->Read(Sha256Hex(b), 30, 15), "");
    EXPECT_EQ(store_->List().size(), 2U);
    Reopen();
  }
  EXPECT_EQ(store_->Read(Sha256Hex("none"), 0, 1).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(store_->Read("../x", 0, 1).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ArtifactStoreTest, WhatAKilledProcessLeftIsRemoved) {
  std::ofstream(options_.folder + "/" + std::string(kPartialPrefix) + "abc") << "half";
  std::ofstream(options_.folder + "/notes.txt") << "somebody's";
  Reopen();
  EXPECT_TRUE(store_->List().empty());
  EXPECT_FALSE(fs::exists(options_.folder + "/" + std::string(kPartialPrefix) + "abc"));
  EXPECT_TRUE(fs::exists(options_.folder + "/notes.txt"));
}

TEST_F(ArtifactStoreTest, TheRoomIsBoundedOverRestartsAndGivenBack) {
  ASSERT_TRUE(Put(std::string(60, 'a')).ok());
  Reopen();
  {
    auto under_way = store_->Begin(Sha256Hex("x"), 30);
    ASSERT_TRUE(under_way.ok());
    const absl::Status full = Put(std::string(20, 'b'));
    EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(std::string(full.message()), HasSubstr("90 are taken and 20 more do not fit"));
  }
  EXPECT_TRUE(Put(std::string(20, 'b')).ok());
  EXPECT_TRUE(Put(std::string(20, 'b')).ok());  // the same again takes no more room
  EXPECT_EQ(Put(std::string(21, 'c')).code(), absl::StatusCode::kResourceExhausted);
  const std::string a = Sha256Hex(std::string(60, 'a'));
  const int64_t now = SystemClock().Unix();
  EXPECT_FALSE(*store_->Remove(a, now - 60 * kSecond));  // it was used since
  EXPECT_GT(store_->BytesOver(), 0U);
  EXPECT_TRUE(*store_->Remove(a, now + 60 * kSecond));
  EXPECT_FALSE(*store_->Remove(Sha256Hex("never there"), now + 60 * kSecond));
  EXPECT_TRUE(Put(std::string(60, 'c')).ok());
  EXPECT_EQ(Put(std::string(61, 'd')).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(store_->List().size(), 2U);
}

TEST_F(ArtifactStoreTest, UploadsAtOneTimeAreBounded) {
  auto one = store_->Begin(Sha256Hex("1"), 1);
  auto two = store_->Begin(Sha256Hex("2"), 1);
  EXPECT_TRUE(one.ok() && two.ok());
  EXPECT_THAT(std::string(store_->Begin(Sha256Hex("3"), 1).status().message()),
              HasSubstr("try again"));
  one->reset();
  EXPECT_TRUE(store_->Begin(Sha256Hex("3"), 1).ok());
}

// As a bad disk may leave it: found by name, until somebody reads it whole.
TEST_F(ArtifactStoreTest, ADamagedOneIsMissingAndCanBeUploadedAgain) {
  const std::string content(50, 'a');
  const std::string path = options_.folder + "/" + Sha256Hex(content);
  std::ofstream(path) << std::string(50, 'x');
  Reopen();
  EXPECT_EQ(store_->Find(Sha256Hex(content)), 50U);
  EXPECT_EQ(*store_->FindWhole(Sha256Hex(content)), std::nullopt);
  EXPECT_EQ(store_->Find(Sha256Hex(content)), std::nullopt);
  EXPECT_TRUE(fs::exists(path + ".damaged"));
  ASSERT_TRUE(Put(content).ok());
  EXPECT_EQ(*store_->FindWhole(Sha256Hex(content)), 50U);
  std::ofstream(options_.folder + "/notes.damaged") << "somebody's";
  Reopen();
  EXPECT_FALSE(fs::exists(path + ".damaged"));
  EXPECT_TRUE(fs::exists(options_.folder + "/notes.damaged"));
  EXPECT_EQ(*store_->FindWhole(Sha256Hex(content)), 50U);
}

// A folder in its place opens and does not read, for root too; as a disk's error does.
TEST_F(ArtifactStoreTest, OneThatCannotBeReadNowIsLeftAsItIs) {
  const std::string content(50, 'a');
  const std::string path = options_.folder + "/" + Sha256Hex(content);
  ASSERT_TRUE(Put(content).ok());
  Reopen();
  fs::rename(path, path + ".away");
  fs::create_directory(path);
  EXPECT_EQ(store_->FindWhole(Sha256Hex(content)).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(fs::exists(path));
  EXPECT_FALSE(fs::exists(path + ".damaged"));
  fs::remove(path);
  fs::rename(path + ".away", path);
  EXPECT_EQ(*store_->FindWhole(Sha256Hex(content)), 50U);
}

TEST_F(ArtifactStoreTest, OneThatSomebodyRemovedIsMissingAndTakesNoRoom) {
  const std::string content(60, 'a');
  ASSERT_TRUE(Put(content).ok());
  Reopen();
  fs::remove(options_.folder + "/" + Sha256Hex(content));
  EXPECT_EQ(*store_->FindWhole(Sha256Hex(content)), std::nullopt);
  EXPECT_TRUE(store_->List().empty());
  EXPECT_TRUE(Put(std::string(60, 'b')).ok());
}

TEST_F(ArtifactStoreTest, AUseIsRememberedOverRestarts) {
  ASSERT_TRUE(Put("a").ok());
  fs::last_write_time(options_.folder + "/" + Sha256Hex("a"), fs::file_time_type::min());
  Reopen();
  const int64_t old = store_->List()[0].used_unix_ns;
  EXPECT_TRUE(store_->Find(Sha256Hex("a")));
  EXPECT_GT(store_->List()[0].used_unix_ns, old);
  Reopen();
  EXPECT_GT(store_->List()[0].used_unix_ns, old);
}

}  // namespace
}  // namespace rackmark

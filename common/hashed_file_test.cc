#include "common/hashed_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace rackmark {
namespace {

namespace fs = std::filesystem;

class HashedFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "rm_hashed_XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::unique_ptr<HashedFile> Begin(const std::string& content, bool durable = true) {
    auto file = HashedFile::Begin({folder_, Sha256Hex(content), content.size(), durable});
    EXPECT_TRUE(file.ok()) << file.status();
    return *std::move(file);
  }
  size_t Files() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  std::string folder_;
};

TEST_F(HashedFileTest, HasItsNameOnlyOnceItIsWhole) {
  for (const bool durable : {false, true}) {
    const std::string content = durable ? "what is written" : "in two pieces";
    const fs::path path = folder_ + "/" + Sha256Hex(content);
    auto file = Begin(content, durable);
    ASSERT_TRUE(file->Append(content.substr(0, 4)).ok());
    ASSERT_TRUE(file->Append(content.substr(4)).ok());
    EXPECT_FALSE(fs::exists(path));
    ASSERT_TRUE(file->Commit().ok());
    file.reset();
    std::ifstream in(path);
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), content);
  }
  EXPECT_EQ(Files(), 2U);
}

TEST_F(HashedFileTest, WrongBytesLeaveNothing) {
  auto other = Begin("four");
  ASSERT_TRUE(other->Append("five").ok());
  EXPECT_EQ(other->Commit().code(), absl::StatusCode::kInvalidArgument);
  auto less = Begin("four");
  ASSERT_TRUE(less->Append("fou").ok());
  EXPECT_EQ(less->Commit().code(), absl::StatusCode::kInvalidArgument);
  auto more = Begin("four");
  ASSERT_TRUE(more->Append("four").ok());
  EXPECT_EQ(more->Append("!").code(), absl::StatusCode::kInvalidArgument);
  other.reset();
  less.reset();
  more.reset();
  EXPECT_EQ(Files(), 0U);
}

TEST_F(HashedFileTest, AFileThatIsThereIsReplacedByTheSameContent) {
  const std::string path = folder_ + "/" + Sha256Hex("right");
  std::ofstream(path) << "damaged";
  auto file = Begin("right");
  ASSERT_TRUE(file->Append("right").ok());
  ASSERT_TRUE(file->Commit().ok());
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(*HashOfFile(fd), Sha256Hex("right"));
  close(fd);
}

}  // namespace
}  // namespace rackmark

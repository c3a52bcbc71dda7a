// The WAL stays bounded whatever the pace of the copying thread, and nothing that was committed is
// missing from what a reader sees.
#include "coordinator/store/checkpointer.h"

#include <stdlib.h>

#include <filesystem>
#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace rackmark {
namespace {

constexpr Database::Kind kKind = {
    "test", 1234, 1,   "CREATE TABLE meta (cluster_id TEXT); CREATE TABLE t (bytes BLOB)",
    {},     {},   8192};
constexpr Checkpointer::Bounds kBounds = {64 << 10, 512 << 10};
constexpr size_t kRow = 32 << 10;
constexpr uint64_t kRows = 80;  // five times the bound

class CheckpointerTest : public testing::Test {
 protected:
  CheckpointerTest() {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    path_ = folder_ + "/t.db";
    writer_ = *Database::Open(path_, kKind, "c");
    EXPECT_TRUE(writer_->CheckpointByHand().ok());
  }
  ~CheckpointerTest() override { std::filesystem::remove_all(folder_); }

  void Insert(Checkpointer& checkpointer) {
    const std::string row(kRow, 'x');
    auto insert = *writer_->Prepare("INSERT INTO t VALUES (?)");
    ASSERT_TRUE(insert.BindBlob(row).Run().ok());
    ASSERT_TRUE(checkpointer.AfterCommit().ok());
  }
  uint64_t Rows() {
    auto reader = *Database::OpenAgain(path_);
    auto select = *reader->Prepare("SELECT count(*) FROM t WHERE length(bytes) = 32768");
    EXPECT_TRUE(*select.Step());
    return select.Integer(0);
  }
  uint64_t WalFileBytes() const { return std::filesystem::file_size(path_ + "-wal"); }

  std::string folder_ = testing::TempDir() + "/checkpointer-XXXXXX";
  std::string path_;
  std::unique_ptr<Database> writer_;
};

TEST_F(CheckpointerTest, TheWalBeginsAnewAtItsBoundAndEveryRowIsThere) {
  Checkpointer checkpointer(writer_.get(), *Database::OpenAgain(path_), kBounds);
  for (uint64_t i = 1; i <= kRows; ++i) {
    Insert(checkpointer);
    // One commit over the bound, and each page has a header in the file.
    ASSERT_LE(WalFileBytes(), kBounds.bound + 3 * kRow);
    ASSERT_EQ(Rows(), i);
  }
  EXPECT_GT(std::filesystem::file_size(path_), kBounds.bound);
}

TEST_F(CheckpointerTest, AReaderHoldsTheWalBackAndItBeginsAnewAfterIt) {
  Checkpointer checkpointer(writer_.get(), *Database::OpenAgain(path_), kBounds);
  {
    auto reader = *Database::OpenAgain(path_);
    ASSERT_TRUE(reader->Execute("BEGIN; SELECT count(*) FROM t").ok());
    for (uint64_t i = 0; i < kRows; ++i) Insert(checkpointer);
    EXPECT_GT(writer_->WalBytes(), kRows * kRow);
    auto select = *reader->Prepare("SELECT count(*) FROM t");
    ASSERT_TRUE(*select.Step());
    EXPECT_EQ(select.Integer(0), 0U);  // its instant
  }
  Insert(checkpointer);  // copies everything
  Insert(checkpointer);  // and so this one begins anew
  EXPECT_LT(writer_->WalBytes(), 3 * kRow);
  EXPECT_EQ(Rows(), kRows + 2);
}

}  // namespace
}  // namespace rackmark

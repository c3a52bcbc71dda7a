// A folder for a test's files: new, empty, under gtest's temporary folder, and gone when the test
// program ends. Only tests include this; any thread of the test.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <mutex>
#include <string>
#include <vector>

namespace rackmark {

class TestFolders {
 public:
  // `name` tells, while the test runs, whose it is.
  static std::string New(const std::string& name) {
    static TestFolders all;
    std::string folder = testing::TempDir() + name + "_XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr) << folder;
    const std::lock_guard lock(all.mutex_);
    all.folders_.push_back(folder);
    return folder;
  }

 private:
  TestFolders() = default;
  ~TestFolders() {
    if (getpid() != owner_) return;  // a child that ends leaves its parent's files alone
    std::error_code ignored;
    for (const std::string& folder : folders_) std::filesystem::remove_all(folder, ignored);
  }

  const pid_t owner_ = getpid();
  std::mutex mutex_;
  std::vector<std::string> folders_;
};

}  // namespace rackmark

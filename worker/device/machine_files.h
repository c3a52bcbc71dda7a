// The seam to the machine's files: reads kernel text under a root folder, "/" or a test's fixture.
// A value; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rackmark {

class MachineFiles {
 public:
  static constexpr size_t kFileBytesMax = 1 << 20;  // more than any file that is read here has

  MachineFiles() = default;
  // `root` stands before every absolute path.
  explicit MachineFiles(std::string root) : root_(std::move(root)) {}

  // At most the first kFileBytesMax bytes; missing if it cannot be read.
  std::optional<std::string> Read(std::string_view path) const;
  // The same without white space at the end; missing if empty.
  std::optional<std::string> ReadLine(std::string_view path) const;
  // Free space of the file system that holds `path`.
  std::optional<uint64_t> FreeBytes(std::string_view path) const;

 private:
  std::string root_;
};

}  // namespace rackmark

#include "worker/device/machine_files.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace rackmark {

std::optional<std::string> MachineFiles::Read(std::string_view path) const {
  const std::string full = root_ + std::string(path);
  const int fd = open(full.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::nullopt;
  std::string text;
  std::array<char, 16384> part;  // not cleared: read fills what is used
  ssize_t n = 0;
  while (text.size() < kFileBytesMax) {
    n = read(fd, part.data(), part.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text.append(part.data(), static_cast<size_t>(n));
  }
  close(fd);
  if (n < 0) return std::nullopt;
  return text;
}

std::optional<std::string> MachineFiles::ReadLine(std::string_view path) const {
  std::optional<std::string> text = Read(path);
  if (!text) return std::nullopt;
  while (!text->empty() && static_cast<unsigned char>(text->back()) <= ' ') text->pop_back();
  if (text->empty()) return std::nullopt;
  return text;
}

std::optional<uint64_t> MachineFiles::FreeBytes(std::string_view path) const {
  struct statvfs info {};
  if (statvfs((root_ + std::string(path)).c_str(), &info) != 0) return std::nullopt;
  return uint64_t{info.f_bavail} * info.f_frsize;
}

}  // namespace rackmark

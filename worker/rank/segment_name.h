// The name of a shared-memory segment that this process made and that still stands in /dev/shm. Who
// ends the process in a hurry removes it, because no destructor will. Thread-safe.
#pragma once

#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace rackmark {

class SegmentName {
 public:
  SegmentName() = default;
  // The daemon chose the name, so that it can remove it whatever becomes of this process.
  explicit SegmentName(std::string given) : given_(std::move(given)) {}
  const std::string& given() const { return given_; }  // empty: none was

  void Made(std::string_view name);
  // All have attached: the name is gone.
  void Gone();
  // For the last words of the process. Harmless if nothing is left.
  void Remove();

 private:
  const std::string given_;
  std::mutex mutex_;
  std::string name_;  // empty: nothing to remove
};

}  // namespace rackmark

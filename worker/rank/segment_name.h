// The name of a shared-memory segment that this process made and that still stands in /dev/shm. Who
// ends the process in a hurry removes it, because no destructor will. Thread-safe.
#pragma once

#include <mutex>
#include <string>
#include <string_view>

namespace rackmark {

class SegmentName {
 public:
  void Made(std::string_view name);
  // All have attached: the name is gone.
  void Gone();
  // For the last words of the process. Harmless if nothing is left.
  void Remove();

 private:
  std::mutex mutex_;
  std::string name_;  // empty: nothing to remove
};

}  // namespace rackmark

#include "worker/rank/segment_name.h"

#include <sys/mman.h>

namespace rackmark {

void SegmentName::Made(std::string_view name) {
  std::lock_guard lock(mutex_);
  name_ = name;
}

void SegmentName::Gone() {
  std::lock_guard lock(mutex_);
  name_.clear();
}

void SegmentName::Remove() {
  std::lock_guard lock(mutex_);
  if (!name_.empty()) shm_unlink(name_.c_str());
  name_.clear();
}

}  // namespace rackmark

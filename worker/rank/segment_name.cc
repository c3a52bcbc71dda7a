#include "worker/rank/segment_name.h"

#include <sys/mman.h>

#include "worker/rank/parting.h"

namespace rackmark {

void SegmentName::Made(std::string_view name) {
  std::lock_guard lock(mutex_);
  name_ = name;
  NoteStandingSegment(name);
}

void SegmentName::Gone() {
  std::lock_guard lock(mutex_);
  NoteStandingSegment("");
  name_.clear();
}

void SegmentName::Remove() {
  std::lock_guard lock(mutex_);
  if (!name_.empty()) shm_unlink(name_.c_str());
  NoteStandingSegment("");
  name_.clear();
}

}  // namespace rackmark

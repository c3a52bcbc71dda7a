// What a rank still does when its daemon dies under it: remove the name of a segment that others
// have not attached to yet, which nobody else knows any more. A signal handler does it, because the
// kernel tells of a parent's death by a signal only. One name per process; any thread.
#pragma once

#include <string_view>

namespace rackmark {

// `name` may stand in /dev/shm from now on; empty: none does.
void NoteStandingSegment(std::string_view name);

// From now on the daemon's death, and SIGTERM or SIGHUP from anybody, ends this process at once,
// and the name with it. Of the main thread, before others are.
void EndWithDaemon();

}  // namespace rackmark

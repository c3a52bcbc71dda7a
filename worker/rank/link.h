// The reading half of the socket pair, on a thread of its own: frames go to the inbox, every frame
// renews the dead-man timer. End of file, an expired timer or a broken stream end the *process* at
// once, in the middle of whatever the runner does: it may be inside a collective whose peers are
// dead. The only thing done before that is `end_process`.
#pragma once

#include <functional>
#include <string_view>
#include <thread>

#include "common/frame.h"
#include "common/time.h"
#include "worker/rank/artifacts.h"
#include "worker/rank/dead_man.h"
#include "worker/rank/inbox.h"
#include "worker/rank/pipe.h"

namespace rackmark {

class Link {
 public:
  struct Options {
    int fd = -1;
    Inbox* inbox = nullptr;
    Pipe* pipe = nullptr;
    Artifacts* artifacts = nullptr;
    const Clock* clock = nullptr;
    // Ends the process; must not return. Tests put in their own.
    std::function<void(int exit_code, std::string_view why)> end_process;
  };
  explicit Link(Options options);
  // Stops and joins the thread.
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

 private:
  void Loop();
  bool Wait();  // false: the link is being destroyed
  void Take(std::string_view payload);

  const Options options_;
  DeadMan dead_man_;
  FrameReader reader_;
  int wake_fd_ = -1;
  std::thread thread_;
};

}  // namespace rackmark

// Accepts connections on a unix socket that only our own user may use. Owns the socket file, one
// thread, and nothing of what it accepted.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "common/status.h"

namespace rackmark {

class UnixAcceptor {
 public:
  // Creates the socket with mode 0600. ALREADY_EXISTS if a live process listens there; a socket
  // file that nobody answers is replaced. `take` gets each admitted connection, non-blocking, and
  // owns it.
  static absl::StatusOr<std::unique_ptr<UnixAcceptor>> Start(const std::string& path,
                                                             std::function<void(int fd)> take);
  ~UnixAcceptor();  // stops the thread and removes the socket file

 private:
  UnixAcceptor(std::string path, int listen_fd, int wake_fd, std::function<void(int)> take);
  void Loop();

  const std::string path_;
  const int listen_fd_;
  const int wake_fd_;
  const std::function<void(int)> take_;
  std::thread thread_;
};

}  // namespace rackmark

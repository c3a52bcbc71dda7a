#include "rpc/unix_acceptor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/log.h"

namespace rackmark {
namespace {

sockaddr_un AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  RACKMARK_CHECK(path.size() < sizeof(address.sun_path));
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::StatusOr<bool> SomebodyAnswers(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return ErrnoStatus(errno, "socket");
  const sockaddr_un address = AddressOf(path);
  const int result = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  close(fd);
  return result == 0;
}

bool IsOurUser(int fd) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == geteuid();
}

}  // namespace

absl::StatusOr<std::unique_ptr<UnixAcceptor>> UnixAcceptor::Start(const std::string& path,
                                                                  std::function<void(int)> take) {
  ASSIGN_OR_RETURN(const bool in_use, SomebodyAnswers(path));
  if (in_use) {
    return absl::AlreadyExistsError(absl::StrCat(
        "socket ", path, " is in use by another coordinator; stop it or listen on another path"));
  }
  struct stat info {};
  if (lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) {
      return absl::AlreadyExistsError(
          absl::StrCat(path, " exists and is no socket; move it away or listen on another path"));
    }
    unlink(path.c_str());
  }
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return ErrnoStatus(errno, "socket");
  const sockaddr_un address = AddressOf(path);
  // The mode is set on the descriptor before bind, so that no moment exists in which others may
  // connect.
  if (fchmod(fd, 0600) != 0 ||
      bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      chmod(path.c_str(), 0600) != 0 || listen(fd, 128) != 0) {
    const int error = errno;
    close(fd);
    return ErrnoStatus(error, absl::StrCat("listen on unix socket ", path));
  }
  const int wake = eventfd(0, EFD_CLOEXEC);
  if (wake < 0) {
    const int error = errno;
    close(fd);
    unlink(path.c_str());
    return ErrnoStatus(error, "eventfd");
  }
  return std::unique_ptr<UnixAcceptor>(new UnixAcceptor(path, fd, wake, std::move(take)));
}

UnixAcceptor::UnixAcceptor(std::string path, int listen_fd, int wake_fd,
                           std::function<void(int)> take)
    : path_(std::move(path)), listen_fd_(listen_fd), wake_fd_(wake_fd), take_(std::move(take)) {
  thread_ = std::thread([this] { Loop(); });
}

UnixAcceptor::~UnixAcceptor() {
  const uint64_t one = 1;
  (void)!write(wake_fd_, &one, sizeof(one));
  thread_.join();
  unlink(path_.c_str());
  close(listen_fd_);
  close(wake_fd_);
}

void UnixAcceptor::Loop() {
  while (true) {
    std::array<pollfd, 2> wait = {pollfd{listen_fd_, POLLIN, 0}, pollfd{wake_fd_, POLLIN, 0}};
    if (poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR) return;
    if (wait[1].revents != 0) return;
    const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      // Out of descriptors: the pending connection would make poll spin; wait for one to be freed.
      if (errno == EMFILE || errno == ENFILE) poll(&wait[1], 1, 100);
      continue;
    }
    if (IsOurUser(fd)) {
      take_(fd);
    } else {
      Log(LogLevel::kWarning, "refused a connection of another user on the unix socket");
      close(fd);
    }
  }
}

}  // namespace rackmark

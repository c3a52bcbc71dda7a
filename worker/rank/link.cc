#include "worker/rank/link.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <string>
#include <utility>

#include "common/exit_codes.h"

namespace rackmark {

Link::Link(Options options) : options_(std::move(options)), dead_man_(options_.clock->Boottime()) {
  wake_fd_ = eventfd(0, EFD_CLOEXEC);
  RACKMARK_CHECK(wake_fd_ >= 0);
  thread_ = std::thread([this] { Loop(); });
}

Link::~Link() {
  const uint64_t one = 1;
  RACKMARK_CHECK(write(wake_fd_, &one, sizeof one) == sizeof one);
  thread_.join();
  close(wake_fd_);
}

bool Link::Wait() {
  std::array<pollfd, 2> fds = {{{options_.fd, POLLIN, 0}, {wake_fd_, POLLIN, 0}}};
  const Nanos wait = dead_man_.Wait(options_.clock->Boottime());
  // Rounded up, or the last millisecond would be spun away.
  poll(fds.data(), fds.size(), static_cast<int>((wait + kMillisecond - 1) / kMillisecond));
  if (fds[1].revents != 0) return false;
  if (fds[0].revents != 0) {
    const absl::Status status = reader_.ReadSome(options_.fd);
    if (!status.ok()) {
      options_.end_process(kExitError, FromAbsl(status.message()));
      return false;
    }
  }
  return true;
}

void Link::Loop() {
  while (Wait()) {
    while (auto payload = reader_.Next()) Take(*payload);
    if (dead_man_.Expired(options_.clock->Boottime())) {
      const std::string why =
          absl::StrCat("no frame from the daemon for ",
                       ToAbsl(FormatDuration(dead_man_.deadline())), ", the dead-man deadline");
      options_.end_process(kExitFenced, why);
      return;
    }
  }
}

void Link::Take(std::string_view payload) {
  v1::ToRank frame;
  if (!frame.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    options_.end_process(kExitProtocol, "the daemon sent a frame that is no message");
    return;
  }
  dead_man_.Frame(options_.clock->Boottime());
  if (const absl::Status status = options_.pipe->Heard(frame.identity()); !status.ok()) {
    options_.end_process(kExitProtocol, FromAbsl(status.message()));
    return;
  }
  if (frame.has_keep_alive()) return;
  if (frame.has_init() && frame.init().dead_man_ns() > 0) {
    dead_man_.SetDeadline(frame.init().dead_man_ns());
  }
  if (frame.has_artifact() && options_.artifacts != nullptr) {
    if (const absl::Status status = options_.artifacts->Add(frame.artifact()); !status.ok()) {
      options_.end_process(kExitProtocol, FromAbsl(status.message()));
    }
    return;
  }
  if (!options_.inbox->Post(std::move(frame))) {
    options_.end_process(kExitProtocol, "the daemon is too many orders ahead of this rank");
  }
}

}  // namespace rackmark

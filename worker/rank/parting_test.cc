#include "worker/rank/parting.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "common/ids.h"
#include "worker/rank/segment_name.h"

namespace rackmark {
namespace {

bool Stands(const std::string& name) {
  const int fd = shm_open(name.c_str(), O_RDWR | O_CLOEXEC, 0);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

// A rank whose segment nobody has attached to. Says so, then waits for ever.
[[noreturn]] void BeRank(const std::string& name, int told) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // as its daemon starts it
  EndWithDaemon();
  SegmentName segment;
  segment.Made(name);
  const int fd = shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0 || write(told, "r", 1) != 1) _exit(1);
  while (true) pause();
}

TEST(Parting, NoNameOutlivesADaemonThatWasKilled) {
  const std::string name = "/rackmark-" + RandomHex(16);
  int told[2];
  ASSERT_EQ(pipe(told), 0);
  const pid_t daemon = fork();
  ASSERT_GE(daemon, 0);
  if (daemon == 0) {
    const pid_t rank = fork();
    if (rank == 0) BeRank(name, told[1]);
    while (true) pause();
  }
  close(told[1]);
  char byte = 0;
  ASSERT_EQ(read(told[0], &byte, 1), 1);
  EXPECT_TRUE(Stands(name));
  kill(daemon, SIGKILL);
  EXPECT_EQ(waitpid(daemon, nullptr, 0), daemon);
  EXPECT_EQ(read(told[0], &byte, 1), 0);  // the rank is gone, too: nobody holds the pipe
  close(told[0]);
  EXPECT_FALSE(Stands(name));
  shm_unlink(name.c_str());
}

TEST(Parting, ASignalEndsTheProcessAndTakesOnlyANameThatStands) {
  const std::string name = "/rackmark-" + RandomHex(16);
  const pid_t rank = fork();
  ASSERT_GE(rank, 0);
  if (rank == 0) {
    EndWithDaemon();
    SegmentName segment;
    segment.Made(name);
    segment.Gone();  // all have attached; should the name come again, it is another's
    close(shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    raise(SIGHUP);
    _exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(rank, &status, 0), rank);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP) << status;
  EXPECT_TRUE(Stands(name));
  shm_unlink(name.c_str());
}

}  // namespace
}  // namespace rackmark

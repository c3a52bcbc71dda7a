// A PostgreSQL server of a test's own, of the distribution's programs: in a temporary folder, on a
// unix socket, without TCP, and never as root, which PostgreSQL refuses. It dies with the test. For
// tests only; the thread that made it.
#pragma once

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/store/pg_connection.h"
#include "gtest/gtest.h"

namespace rackmark {

class PgTestServer {
 public:
  // Whether it waits for the disk. Only a power cut shows the difference, and it takes long.
  enum class Disk { kForgets, kKeeps };

  // One for all tests of this program; null with `why` if it cannot be had here. Ends at exit.
  static PgTestServer* Shared(std::string& why) {
    static std::string reason;
    static const std::unique_ptr<PgTestServer> server = Make(Disk::kForgets, reason);
    why = reason;
    return server.get();
  }

  static std::unique_ptr<PgTestServer> Make(Disk disk, std::string& why) {
    const std::string programs = Programs();
    if (programs.empty()) {
      why = "PostgreSQL is not installed (Debian package postgresql)";
      return nullptr;
    }
    std::unique_ptr<PgTestServer> server(new PgTestServer(programs, disk));
    why = server->Init();
    if (why.empty()) why = server->Start();
    if (why.empty()) return server;
    ADD_FAILURE() << why;  // installed, and yet it does not run: nobody should take that for a skip
    return nullptr;
  }

  ~PgTestServer() {
    Kill(SIGQUIT);
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  PgTestServer(const PgTestServer&) = delete;
  PgTestServer& operator=(const PgTestServer&) = delete;

  // For a machine that is slow beyond reason: what a test wants to end soon, it says itself.
  static PgOptions Patient() {
    PgOptions options;
    options.connect_timeout = options.statement_timeout = options.lock_timeout = 600 * kSecond;
    options.idle_in_transaction_timeout = options.answer_timeout = 600 * kSecond;
    return options;
  }
  // Of a database that is there.
  std::string Target(const std::string& database) const {
    return "postgresql:///" + database + "?host=" + folder_ + "&user=rackmark";
  }
  PgOptions NewDatabase() {
    PgOptions admin = Patient();
    admin.target = Target("postgres");
    const std::string name = "t" + std::to_string(++databases_);
    auto connection = PgConnection::Open(admin, "test");
    EXPECT_TRUE(connection.ok()) << connection.status();
    const auto made = (*connection)->Execute("CREATE DATABASE " + name + " TEMPLATE template0");
    EXPECT_TRUE(made.ok()) << made;
    PgOptions options = Patient();
    options.target = Target(name);
    return options;
  }

  // SIGKILL goes to all its processes at once: a power cut, but for what the kernel keeps.
  void Kill(int signal) {
    if (pid_ <= 0) return;
    if (signal == SIGKILL) KillSessions();
    kill(pid_, signal);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
    if (drain_.joinable()) drain_.join();
  }
  // Empty: it takes connections. Else why not.
  std::string Start() {
    std::array<int, 2> out{};
    if (pipe2(out.data(), O_CLOEXEC) != 0) return "no pipe";
    pid_ =
        Spawn({programs_ + "/postgres", "-D", folder_ + "/data", "-k", folder_, "-c",
               "listen_addresses=", "-c", "shared_buffers=16MB", "-c", "max_connections=60", "-c",
               "logging_collector=off", "-c", disk_ == Disk::kKeeps ? "fsync=on" : "fsync=off"},
              out[1]);
    close(out[1]);
    std::promise<std::string> ready;
    auto answer = ready.get_future();
    // Reads to the end, or the server would wait for room in the pipe.
    drain_ = std::thread([fd = out[0], ready = std::move(ready)]() mutable { Drain(fd, ready); });
    const std::string why = answer.get();
    if (!why.empty()) Kill(SIGKILL);
    return why;
  }

 private:
  // The postmaster stands still meanwhile, so that it starts no other. Its log's end tells when all
  // are gone: each of them has it open.
  void KillSessions() {
    kill(pid_, SIGSTOP);
    const std::string self = std::to_string(pid_);
    std::ifstream children("/proc/" + self + "/task/" + self + "/children");
    for (pid_t child = 0; children >> child;) kill(child, SIGKILL);
  }

  PgTestServer(std::string programs, Disk disk) : programs_(std::move(programs)), disk_(disk) {}

  // Of the newest version.
  static std::string Programs() {
    std::string best;
    std::error_code error;
    int version = 0;
    for (std::filesystem::directory_iterator it("/usr/lib/postgresql", error), end;
         !error && it != end; it.increment(error)) {
      const int found = std::atoi(it->path().filename().c_str());
      const std::string bin = it->path().string() + "/bin";
      if (found <= version || access((bin + "/postgres").c_str(), X_OK) != 0) continue;
      version = found;
      best = bin;
    }
    return best;
  }

  // By read(2): a thread that waits in a FILE holds its lock, and fflush(nullptr) of a death test
  // would wait for it.
  static void Drain(int fd, std::promise<std::string>& ready) {
    std::string text;
    bool told = false;
    std::array<char, 4096> piece{};
    while (true) {
      const ssize_t got = read(fd, piece.data(), piece.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      if (told) continue;
      text.append(piece.data(), static_cast<size_t>(got));
      if (text.find("ready to accept connections") == std::string::npos) continue;
      told = true;
      ready.set_value("");
    }
    close(fd);
    if (!told) ready.set_value("PostgreSQL did not start: " + text);
  }

  std::string Init() {
    folder_ = testing::TempDir() + "rm_pg_XXXXXX";
    if (mkdtemp(folder_.data()) == nullptr) return "no temporary folder";
    if (geteuid() == 0) {
      const passwd* user = getpwnam("postgres");
      if (user == nullptr) user = getpwnam("nobody");
      if (user == nullptr)
        return "PostgreSQL refuses root, and there is no user postgres or nobody";
      user_ = *user;
      if (chown(folder_.c_str(), user->pw_uid, user->pw_gid) != 0) return "chown failed";
    }
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const pid_t pid = Spawn({programs_ + "/initdb", "-D", folder_ + "/data", "-U", "rackmark", "-A",
                             "trust", "-E", "UTF8", "--locale=C", "--no-sync"},
                            null);
    close(null);
    int status = 0;
    waitpid(pid, &status, 0);
    return status == 0 ? "" : "initdb failed in " + folder_;
  }

  // In a process group of its own, with both outputs on `out`.
  pid_t Spawn(const std::vector<std::string>& command, int out) {
    std::vector<char*> argv;
    for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid != 0) return pid;
    setpgid(0, 0);
    if (user_ &&
        (setgroups(0, nullptr) != 0 || setgid(user_->pw_gid) != 0 || setuid(user_->pw_uid) != 0)) {
      _exit(126);
    }
    prctl(PR_SET_PDEATHSIG, SIGQUIT);  // after setuid, which clears it
    if (getppid() != parent || chdir(folder_.c_str()) != 0) _exit(126);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    setenv("LC_ALL", "C", 1);
    execv(argv[0], argv.data());
    _exit(127);
  }

  const std::string programs_;
  const Disk disk_;
  std::string folder_;
  std::optional<passwd> user_;
  pid_t pid_ = -1;
  int databases_ = 0;
  std::thread drain_;
};

}  // namespace rackmark

// In a test's or fixture's body: the shared server, or skipped with the reason.
#define RACKMARK_PG_OR_SKIP(name)                                                      \
  std::string name##_why;                                                              \
  ::rackmark::PgTestServer* const name = ::rackmark::PgTestServer::Shared(name##_why); \
  if (name == nullptr) GTEST_SKIP() << name##_why

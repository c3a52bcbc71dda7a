#include "kernels/test_gang.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <thread>
#include <utility>

#include "common/frame.h"
#include "kernels/collective_gloo.h"
#include "kernels/collective_hier.h"
#include "kernels/collective_shm.h"
#include "kernels/host_channel_tcp.h"

namespace rackmark {
namespace {

// Frames between a rank and the parent begin with one letter.
constexpr char kCardPart = 'c', kAllParts = 'C', kAnnounce = 'a', kGo = 'g', kAbort = 'x',
               kSays = 'y', kStatus = 's';

class Pipe {
 public:
  explicit Pipe(int fd) : fd_(fd) {}
  void Send(char kind, const std::string& text) { (void)WriteFrame(fd_, kind + text).ok(); }
  std::optional<std::string> Next() {
    while (true) {
      if (auto frame = reader_.Next()) return std::string(*frame);
      if (!reader_.ReadSome(fd_).ok()) return std::nullopt;
    }
  }
  std::optional<std::string> Ready() {
    if (auto frame = reader_.Next()) return std::string(*frame);
    return std::nullopt;
  }
  bool Read() { return reader_.ReadSome(fd_).ok(); }
  int fd() const { return fd_; }

 private:
  int fd_;
  FrameReader reader_;
};

struct Card {
  std::string gloo, shm_name, shm_nonce, address, nonce;
  std::string Text() const {
    std::string text;
    for (const std::string* part : {&gloo, &shm_name, &shm_nonce, &address, &nonce}) {
      text += absl::StrCat(part->size(), ":") + *part;
    }
    return text;
  }
  static Card Take(std::string& text) {
    Card card;
    for (std::string* part :
         {&card.gloo, &card.shm_name, &card.shm_nonce, &card.address, &card.nonce}) {
      const size_t colon = text.find(':');
      const size_t bytes = std::strtoul(text.c_str(), nullptr, 10);
      *part = text.substr(colon + 1, bytes);
      text.erase(0, colon + 1 + bytes);
    }
    return card;
  }
};

// What one rank's process holds.
class Member {
 public:
  Member(Wiring wiring, int rank, int world)
      : groups_(GroupsOf(wiring, world)), rank_(rank), world_(world) {
    for (const auto& ranks : groups_) {
      for (size_t i = 0; i < ranks.size(); ++i) {
        if (ranks[i] == rank) local_rank_ = static_cast<int>(i), mine_ = ranks;
      }
    }
  }

  absl::Status MakeCard() {
    if (groups_.size() > 1) {
      ASSIGN_OR_RETURN(mesh_, GlooMesh::Create({rank_, world_, "lo", kPlenty}));
      card_.gloo = mesh_->addresses();
      if (rank_ == 0) {
        ASSIGN_OR_RETURN(listener_, ChannelListener::Open("lo"));
        card_.address = listener_->address();
        card_.nonce = listener_->nonce();
      }
    }
    if (mine_.size() == 1 || local_rank_ != 0) return absl::OkStatus();
    // Small slots: messages of a few kilobytes go in pieces.
    ASSIGN_OR_RETURN(segment_, ShmSegment::Create({static_cast<int>(mine_.size()), 4096}));
    card_.shm_name = segment_->name();
    card_.shm_nonce = segment_->nonce();
    return absl::OkStatus();
  }

  absl::Status Connect(const std::vector<Card>& cards) {
    if (mesh_) {
      std::vector<std::string> addresses;
      for (const Card& card : cards) addresses.push_back(card.gloo);
      RETURN_IF_ERROR(mesh_->Connect(addresses));
    }
    std::unique_ptr<Collective> local;
    std::unique_ptr<HostChannel> ring;
    if (mine_.size() > 1) {
      const Card& leader = cards[static_cast<size_t>(mine_.front())];
      if (local_rank_ != 0) {
        ASSIGN_OR_RETURN(segment_,
                         ShmSegment::Attach(leader.shm_name, leader.shm_nonce, local_rank_));
      }
      RETURN_IF_ERROR(segment_->AwaitAll(kPlenty));
      local = MakeShmCollective(segment_);
      ring = MakeShmChannel(segment_);
    }
    if (!mesh_) {
      collective_ = std::move(local);
      channel_ = std::move(ring);
      return absl::OkStatus();
    }
    collective_ = MakeHierCollective({groups_, mesh_, std::move(local)});
    TcpChannelOptions options{groups_, rank_, world_, std::move(ring), abort_, kPlenty};
    auto channel = rank_ == 0
                       ? listener_->Accept(std::move(options))
                       : DialHostChannel(std::move(options), cards[0].address, cards[0].nonce);
    if (!channel.ok()) return channel.status();
    channel_ = *std::move(channel);
    return absl::OkStatus();
  }

  const Card& card() const { return card_; }
  Collective* collective() { return collective_.get(); }
  HostChannel* channel() { return channel_.get(); }
  void Abort() {
    abort_->Trigger();
    collective_->Abort();
  }

 private:
  const HostGroups groups_;
  const int rank_;
  const int world_;
  int local_rank_ = 0;
  std::vector<int> mine_;
  Card card_;
  std::shared_ptr<GlooMesh> mesh_;
  std::shared_ptr<ShmSegment> segment_;
  std::unique_ptr<ChannelListener> listener_;
  std::shared_ptr<ChannelAbort> abort_ = std::make_shared<ChannelAbort>();
  std::unique_ptr<Collective> collective_;
  std::unique_ptr<HostChannel> channel_;
};

// Memory notices no death: on each host whose ranks share some, one survivor is told, as by a
// daemon.
std::set<int> WatchedOf(Wiring wiring, int world, std::optional<int> dies) {
  std::set<int> watched;
  if (!dies) return watched;
  for (const auto& ranks : GroupsOf(wiring, world)) {
    if (ranks.size() > 1) watched.insert(ranks.front() == *dies ? ranks[1] : ranks.front());
  }
  return watched;
}

absl::Status Live(Member& member, int rank, Pipe& pipe, const RankBody& body, bool watched) {
  RETURN_IF_ERROR(member.MakeCard());
  pipe.Send(kCardPart, member.card().Text());
  std::optional<std::string> all = pipe.Next();
  if (!all || (*all)[0] != kAllParts) return absl::AbortedError("the parent is gone");
  all->erase(0, 1);
  std::vector<Card> cards;
  while (!all->empty()) cards.push_back(Card::Take(*all));
  RETURN_IF_ERROR(member.Connect(cards));
  member.collective()->SetCallLimit(kPlenty);
  TestRank self{member.collective(),
                member.channel(),
                [&] { member.Abort(); },
                [&] { pipe.Send(kAnnounce, ""); },
                [&] {
                  const auto go = pipe.Next();
                  if (!go || (*go)[0] != kGo) _exit(3);
                },
                [&](const std::string& text) { pipe.Send(kSays, text); }};
  std::thread watcher;
  if (watched) {
    watcher = std::thread([&] {
      const auto order = pipe.Next();
      if (order && (*order)[0] == kAbort) member.Abort();
    });
  }
  const absl::Status status = body(rank, self);
  if (watcher.joinable()) watcher.join();
  // A failed rank tells the others, as the runner does.
  if (!status.ok()) member.Abort();
  return status;
}

[[noreturn]] void RankProcess(Wiring wiring, int rank, int world, int fd, const RankBody& body,
                              const GangScript& script) {
  Pipe pipe(fd);
  int code = 0;
  {
    Member member(wiring, rank, world);
    const absl::Status status =
        Live(member, rank, pipe, body, WatchedOf(wiring, world, script.dies).count(rank) > 0);
    pipe.Send(kStatus,
              absl::StrCat(static_cast<int>(status.code()), ":", std::string(status.message())));
    // Nobody closes while others still read: the parent hangs up when all are done.
    (void)pipe.Next();
  }
  _exit(code);
}

// The main thread sleeps in the kernel.
bool Sleeps(pid_t pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t paren = text.rfind(')');
  return paren != std::string::npos && paren + 2 < text.size() && text[paren + 2] == 'S';
}

class Parent {
 public:
  Parent(Wiring wiring, int world, const RankBody& body, const GangScript& script)
      : script_(script),
        watched_(WatchedOf(wiring, world, script.dies)),
        ends_(static_cast<size_t>(world)) {
    for (int rank = 0; rank < world; ++rank) {
      std::array<int, 2> fds{};
      EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()), 0);
      const pid_t pid = fork();
      if (pid == 0) {
        for (const Pipe& other : pipes_) close(other.fd());
        close(fds[0]);
        RankProcess(wiring, rank, world, fds[1], body, script);
      }
      close(fds[1]);
      pipes_.emplace_back(fds[0]);
      pids_.push_back(pid);
    }
    open_.assign(static_cast<size_t>(world), true);
  }

  std::vector<RankEnd> Run() {
    RelayCards();
    const Nanos deadline = SystemClock().Monotonic() + 2 * kPlenty;
    while (!AllEnded() && SystemClock().Monotonic() < deadline) {
      std::vector<pollfd> fds;
      for (size_t i = 0; i < pipes_.size(); ++i) {
        fds.push_back({open_[i] ? pipes_[i].fd() : -1, POLLIN, 0});
      }
      poll(fds.data(), fds.size(), 2);
      for (size_t i = 0; i < pipes_.size(); ++i) {
        if (fds[i].revents != 0) Hear(i);
      }
      Act();
    }
    EXPECT_TRUE(AllEnded()) << "a rank hangs";
    for (const Pipe& pipe : pipes_) close(pipe.fd());
    for (size_t i = 0; i < pids_.size(); ++i) {
      if (!AllEnded()) kill(pids_[i], SIGKILL);
      int status = 0;
      waitpid(pids_[i], &status, 0);
      ends_[i].killed = WIFSIGNALED(status);
    }
    return std::move(ends_);
  }

 private:
  void RelayCards() {
    std::string all;
    for (size_t i = 0; i < pipes_.size(); ++i) {
      const auto card = pipes_[i].Next();
      if (!card) continue;
      if ((*card)[0] == kStatus) Take(i, *card);
      all += card->substr(1);
    }
    for (Pipe& pipe : pipes_) pipe.Send(kAllParts, all);
  }
  void Hear(size_t i) {
    if (!pipes_[i].Read()) open_[i] = false;
    while (const auto frame = pipes_[i].Ready()) Take(i, *frame);
  }
  void Take(size_t i, const std::string& frame) {
    if (frame[0] == kAnnounce) announced_.insert(static_cast<int>(i));
    if (frame[0] == kSays) ends_[i].said.push_back(frame.substr(1));
    if (frame[0] != kStatus) return;
    const size_t colon = frame.find(':');
    ends_[i].status = absl::Status(static_cast<absl::StatusCode>(std::atoi(frame.c_str() + 1)),
                                   absl::string_view(frame).substr(colon + 1));
    ended_.insert(static_cast<int>(i));
  }
  bool AllEnded() const {
    for (size_t i = 0; i < pipes_.size(); ++i) {
      if (open_[i] && ended_.count(static_cast<int>(i)) == 0) return false;
    }
    return true;
  }
  void Act() {
    if (acted_) return;
    for (const int rank : script_.blocked) {
      if (announced_.count(rank) == 0 || !Sleeps(pids_[static_cast<size_t>(rank)])) return;
    }
    if (script_.release) pipes_[static_cast<size_t>(*script_.release)].Send(kGo, "");
    if (script_.dies) {
      if (open_[static_cast<size_t>(*script_.dies)]) return;
      for (const int rank : watched_) pipes_[static_cast<size_t>(rank)].Send(kAbort, "");
    }
    acted_ = true;
  }

  const GangScript script_;
  const std::set<int> watched_;
  std::vector<Pipe> pipes_;
  std::vector<pid_t> pids_;
  std::vector<bool> open_;
  std::vector<RankEnd> ends_;
  std::set<int> announced_, ended_;
  bool acted_ = false;
};

}  // namespace

std::string NameOf(Wiring wiring) {
  switch (wiring) {
    case Wiring::kShm: return "Shm";
    case Wiring::kGloo: return "Gloo";
    case Wiring::kTwoHosts: return "TwoHosts";
    case Wiring::kInterleaved: return "Interleaved";
  }
  return "";
}

HostGroups GroupsOf(Wiring wiring, int world) {
  HostGroups groups;
  if (wiring == Wiring::kGloo) {
    for (int rank = 0; rank < world; ++rank) groups.push_back({rank});
    return groups;
  }
  groups.resize(wiring == Wiring::kShm ? 1 : 2);
  for (int rank = 0; rank < world; ++rank) {
    size_t host = 0;
    if (wiring == Wiring::kTwoHosts) host = rank < (world + 1) / 2 ? 0 : 1;
    if (wiring == Wiring::kInterleaved) host = static_cast<size_t>(rank) % 2;
    groups[host].push_back(rank);
  }
  return groups;
}

std::vector<RankEnd> RunGang(Wiring wiring, int world, const RankBody& body,
                             const GangScript& script) {
  signal(SIGPIPE, SIG_IGN);
  return Parent(wiring, world, body, script).Run();
}

}  // namespace rackmark

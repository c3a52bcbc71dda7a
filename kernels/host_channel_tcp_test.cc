#include "kernels/host_channel_tcp.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>
#include <vector>

namespace rackmark {
namespace {

using testing::HasSubstr;

constexpr Nanos kPlenty = 60 * kSecond;

TcpChannelOptions OptionsFor(int rank, Nanos limit = kPlenty) {
  TcpChannelOptions options;
  options.groups = {{0}, {1}};
  options.rank = rank;
  options.world = 2;
  options.abort = std::make_shared<ChannelAbort>();
  options.limit = limit;
  return options;
}

int ConnectTo(const std::string& address) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  const size_t colon = address.rfind(':');
  to.sin_port = htons(static_cast<uint16_t>(std::atoi(address.c_str() + colon + 1)));
  inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  return fd;
}

// Blocks until the other side closes; what came before that.
std::string ReadAll(int fd) {
  std::string text;
  char buffer[64];
  ssize_t got = 0;
  while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
    text.append(buffer, static_cast<size_t>(got));
  }
  return text;
}

void Say(int fd, const std::string& text) {
  EXPECT_EQ(send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
}

TEST(TcpChannel, StrangersAreDroppedUnansweredAndTheLeaderIsStillLetIn) {
  auto listener = ChannelListener::Open("lo");
  ASSERT_TRUE(listener.ok()) << listener.status();
  const std::string& address = (*listener)->address();
  const std::string& nonce = (*listener)->nonce();
  ASSERT_EQ(nonce.size(), kChannelNonceBytes);
  absl::StatusOr<std::unique_ptr<HostChannel>> sender = absl::InternalError("");
  std::thread accept([&] { sender = (*listener)->Accept(OptionsFor(0)); });

  std::string other = nonce;
  other[15] = static_cast<char>(other[15] ^ 1);
  const std::string rank_1("\1\0\0\0", 4);
  const std::string rank_7("\7\0\0\0", 4);
  for (const std::string& hello : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string("R!"),
                                   "RMKCHAN1" + other + rank_1, "RMKCHAN1" + nonce + rank_7}) {
    const int fd = ConnectTo(address);
    Say(fd, hello);
    EXPECT_EQ(ReadAll(fd), "");
    close(fd);
  }
  const int silent = ConnectTo(address);  // says nothing, and holds nobody up
  auto reader = DialHostChannel(OptionsFor(1), address, nonce);
  ASSERT_TRUE(reader.ok()) << reader.status();
  accept.join();
  close(silent);
  ASSERT_TRUE(sender.ok()) << sender.status();
  std::string got;
  ASSERT_TRUE((*sender)->Send("plan", kPlenty).ok());
  ASSERT_TRUE((*reader)->Receive(got, kPlenty).ok());
  EXPECT_EQ(got, "plan");
  EXPECT_TRUE(absl::IsDeadlineExceeded((*reader)->Receive(got, kMillisecond).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      (*sender)->Send(std::string(kHostMessageMax + 1, 'x'), kPlenty).status()));
}

// Whether the other side has closed; it sends nothing before it does.
bool IsClosed(int fd) {
  char byte = 0;
  return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

TEST(TcpChannel, AWrongNonceIsNotToldFromAnUnfinishedOne) {
  auto listener = ChannelListener::Open("lo");
  ASSERT_TRUE(listener.ok()) << listener.status();
  const std::string& address = (*listener)->address();
  const std::string& nonce = (*listener)->nonce();
  absl::StatusOr<std::unique_ptr<HostChannel>> sender = absl::InternalError("");
  std::thread accept([&] { sender = (*listener)->Accept(OptionsFor(0)); });
  const int guess = ConnectTo(address);
  Say(guess, std::string("RMKCHAN1") + static_cast<char>(nonce[0] ^ 1));
  // Whoever comes later and is dropped has been looked at later.
  for (int i = 0; i < 3; ++i) {
    const int later = ConnectTo(address);
    Say(later, "no greeting");
    EXPECT_EQ(ReadAll(later), "");
    close(later);
  }
  EXPECT_FALSE(IsClosed(guess));
  Say(guess, std::string(kChannelNonceBytes - 1 + 4, '\0'));
  EXPECT_EQ(ReadAll(guess), "");
  auto reader = DialHostChannel(OptionsFor(1), address, nonce);
  ASSERT_TRUE(reader.ok()) << reader.status();
  accept.join();
  close(guess);
  EXPECT_TRUE(sender.ok()) << sender.status();
}

TEST(TcpChannel, ManySilentStrangersKeepNobodyOut) {
  auto listener = ChannelListener::Open("lo");
  ASSERT_TRUE(listener.ok()) << listener.status();
  const std::string& address = (*listener)->address();
  absl::StatusOr<std::unique_ptr<HostChannel>> sender = absl::InternalError("");
  std::thread accept([&] { sender = (*listener)->Accept(OptionsFor(0)); });
  std::vector<int> silent;
  for (int i = 0; i < 300; ++i) silent.push_back(ConnectTo(address));
  auto reader = DialHostChannel(OptionsFor(1), address, (*listener)->nonce());
  EXPECT_TRUE(reader.ok()) << reader.status();
  accept.join();
  for (const int fd : silent) close(fd);
  EXPECT_TRUE(sender.ok()) << sender.status();
}

TEST(TcpChannel, ALengthOverTheBoundIsRefusedNotAllocated) {
  auto listener = ChannelListener::Open("lo");
  ASSERT_TRUE(listener.ok());
  // A rank 0 that greets well and then sends nonsense.
  const int door = ConnectTo((*listener)->address());
  close(door);
  const int fake = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(bind(fake, reinterpret_cast<sockaddr*>(&at), sizeof(at)), 0);
  ASSERT_EQ(listen(fake, 1), 0);
  socklen_t size = sizeof(at);
  ASSERT_EQ(getsockname(fake, reinterpret_cast<sockaddr*>(&at), &size), 0);
  std::thread rank_0([&] {
    const int fd = accept(fake, nullptr, nullptr);
    Say(fd, "RMKCHAN1" + std::string("\xff\xff\xff\x7f", 4));
    ReadAll(fd);
    close(fd);
  });
  auto reader = DialHostChannel(OptionsFor(1), absl::StrCat("127.0.0.1:", ntohs(at.sin_port)),
                                std::string(kChannelNonceBytes, 'n'));
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::string got;
  const absl::Status status = (*reader)->Receive(got, kPlenty).status();
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  reader->reset();
  rank_0.join();
  close(fake);
}

TEST(TcpChannel, WhoDoesNotComeIsNamed) {
  auto listener = ChannelListener::Open("lo");
  ASSERT_TRUE(listener.ok());
  const absl::Status status = (*listener)->Accept(OptionsFor(0, 20 * kMillisecond)).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("not connected: rank 1"));
}

TEST(TcpChannel, AbortEndsTheMeetingToo) {
  auto listener = ChannelListener::Open("lo");
  ASSERT_TRUE(listener.ok());
  TcpChannelOptions options = OptionsFor(0);
  const auto abort = options.abort;
  absl::Status status;
  std::thread accept([&] { status = (*listener)->Accept(std::move(options)).status(); });
  abort->Trigger();
  accept.join();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

TEST(TcpChannel, AnUnknownInterfaceIsNamed) {
  EXPECT_THAT(std::string(ChannelListener::Open("no-such-net").status().message()),
              HasSubstr("no-such-net"));
}

}  // namespace
}  // namespace rackmark

#include "rpc/listener.h"

#include <sys/socket.h>

#include <chrono>
#include <cstring>
#include <mutex>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "grpcpp/resource_quota.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "grpcpp/server_posix.h"
#include "grpcpp/support/server_interceptor.h"
#include "rpc/credentials.h"
#include "rpc/limits.h"
#include "rpc/unix_acceptor.h"

namespace rackmark {
namespace {

// One place for all services: whatever leaves the process passes here.
class AnswerGuard : public grpc::experimental::Interceptor {
 public:
  explicit AnswerGuard(const std::function<void()>* before) : before_(before) {}
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    using Point = grpc::experimental::InterceptionHookPoints;
    if (methods->QueryInterceptionHookPoint(Point::PRE_SEND_MESSAGE) ||
        methods->QueryInterceptionHookPoint(Point::PRE_SEND_STATUS)) {
      (*before_)();
    }
    methods->Proceed();
  }

 private:
  const std::function<void()>* const before_;
};

class AnswerGuardFactory : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit AnswerGuardFactory(std::function<void()> before) : before_(std::move(before)) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo*) override {
    return new AnswerGuard(&before_);
  }

 private:
  const std::function<void()> before_;  // outlives every call: the server owns this factory
};

void SetBounds(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMessageBytesMax);
  builder.SetMaxSendMessageSize(kMessageBytesMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kStreamsPerConnectionMax);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMetadataBytesMax);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveTimeMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.SetResourceQuota(grpc::ResourceQuota("rackmark").Resize(kServerMemoryMax));
  // Clients ping every kKeepaliveTimeMs; the default of 5 minutes would call that an attack.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kKeepaliveTimeMs / 2);
  // No client of ours compresses: a message that expands would go round the bounds above.
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_COMPRESSION, 0);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);  // counted for each connection, unread
  // A ping after every Report, to measure what the line holds. Without it a connection's window is
  // 64 KiB, and a message of samples opens it as far as the message is long.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  // Two coordinators on one port would share its connections at random.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
}

}  // namespace

struct Listener::Parts {
  std::unique_ptr<grpc::Server> server;
  std::unique_ptr<UnixAcceptor> acceptor;
  std::string address;
  std::once_flag shut_down;
};

Listener::Listener(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

absl::StatusOr<std::unique_ptr<Listener>> Listener::Start(
    const std::vector<grpc::Service*>& services, const Endpoint& endpoint, const Security& security,
    Extras extras) {
  RETURN_IF_ERROR(CheckListenSafety(endpoint, security));
  // Distributions build Abseil with a search for lock cycles, one graph of all locks of the process
  // under one lock; gRPC has many locks per connection, and ours are std::mutex.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  grpc::ServerBuilder builder;
  SetBounds(builder);
  for (grpc::Service* service : services) builder.RegisterService(service);
  if (extras.others != nullptr) builder.RegisterCallbackGenericService(extras.others);
  if (extras.before_answer) {
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> factories;
    factories.push_back(std::make_unique<AnswerGuardFactory>(std::move(extras.before_answer)));
    builder.experimental().SetInterceptorCreators(std::move(factories));
  }
  int port = 0;
  if (endpoint.kind == Endpoint::Kind::kTcp) {
    ASSIGN_OR_RETURN(auto credentials, ServerCredentialsFor(security));
    builder.AddListeningPort(endpoint.address, credentials, &port);
  }
  auto parts = std::make_unique<Parts>();
  parts->server = builder.BuildAndStart();
  if (parts->server == nullptr || (endpoint.kind == Endpoint::Kind::kTcp && port == 0)) {
    return absl::AlreadyExistsError(
        absl::StrCat("cannot listen on ", endpoint.ToString(),
                     ": the address is in use or not this machine's; choose another port"));
  }
  parts->address = endpoint.ToString();
  if (endpoint.kind == Endpoint::Kind::kTcp) {
    parts->address =
        absl::StrCat(endpoint.address.substr(0, endpoint.address.rfind(':')), ":", port);
  } else {
    grpc::Server* server = parts->server.get();
    ASSIGN_OR_RETURN(parts->acceptor, UnixAcceptor::Start(endpoint.address, [server](int fd) {
                       grpc::AddInsecureChannelFromFd(server, fd);
                     }));
  }
  return std::unique_ptr<Listener>(new Listener(std::move(parts)));
}

Listener::~Listener() { Shutdown(0); }

const std::string& Listener::address() const { return parts_->address; }

void Listener::Shutdown(Nanos grace) {
  std::call_once(parts_->shut_down, [&] {
    parts_->acceptor.reset();
    parts_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::nanoseconds(grace));
    parts_->server->Wait();
  });
}

}  // namespace rackmark

#include "kernels/collective_gloo.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "common/interfaces.h"
#include "gloo/common/error.h"
#include "gloo/rendezvous/context.h"
#include "gloo/rendezvous/store.h"
#include "gloo/transport/tcp/device.h"
#include "gloo/transport/unbound_buffer.h"
#include "kernels/gloo_doors.h"

namespace rackmark {
namespace {

using gloo::transport::UnboundBuffer;
using std::chrono::milliseconds;

// Gloo waits five times its timeout for a peer that died after it gave its card.
constexpr int kTimeoutsOfAMeeting = 5;
constexpr Nanos kAddressLimit = 20 * kSecond;
// For the thread of a meeting that was cut short; Gloo offers no way to interrupt a connect.
constexpr Nanos kGoodbye = 2 * kSecond;
constexpr int kPiecesPerExchange = 256;

milliseconds Millis(Nanos time) {
  return milliseconds(std::max<Nanos>(1, (time + kMillisecond - 1) / kMillisecond));
}

// What Gloo says, without the place in its sources that it says first.
std::string Words(const std::exception& e) {
  const std::string_view text = e.what();
  const size_t end = text.starts_with('[') ? text.find("] ") : text.npos;
  return std::string(end == text.npos ? text : text.substr(end + 2));
}

// The address cards as Gloo's key-value store: it sets its own addresses, then asks for those of
// the others, and is held until they are known. Thread-safe.
class CardStore : public gloo::rendezvous::Store {
 public:
  CardStore(int rank, int world) : rank_(rank), world_(world) {}

  void set(const std::string& key, const std::vector<char>& data) override {
    if (key != std::to_string(rank_)) return;  // its host name: nobody asks us for that
    std::lock_guard lock(mutex_);
    own_ = std::string(data.begin(), data.end());
    changed_.notify_all();
  }
  // Before it sets its addresses Gloo asks for the host names of lower ranks, to count neighbours
  // for a hint that the TCP transport ignores. Each rank counts as a host of its own.
  std::vector<char> get(const std::string& key) override {
    const std::optional<int> peer = PeerOf(key);
    if (!peer) return {key.begin(), key.end()};
    Await();
    const std::string& card = cards_[static_cast<size_t>(*peer)];
    return {card.begin(), card.end()};
  }
  void wait(const std::vector<std::string>& /*keys*/) override { Await(); }
  void wait(const std::vector<std::string>& /*keys*/, const milliseconds& /*timeout*/) override {
    Await();
  }

  std::optional<std::string> AwaitOwn(Nanos limit) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::nanoseconds(limit),
                      [&] { return !own_.empty() || cancelled_; });
    if (own_.empty()) return std::nullopt;
    return own_;
  }
  void Go(std::vector<std::string> cards) {
    std::lock_guard lock(mutex_);
    if (cancelled_) return;
    cards_ = std::move(cards);
    changed_.notify_all();
  }
  void Cancel() {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
    changed_.notify_all();
  }

 private:
  std::optional<int> PeerOf(const std::string& key) const {
    for (int peer = 0; peer < world_; ++peer) {
      if (key == std::to_string(peer)) return peer;
    }
    return std::nullopt;
  }
  // Ours to bound: how long Go may take is for the daemon to say.
  void Await() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !cards_.empty() || cancelled_; });
    if (cancelled_) GLOO_THROW_IO_EXCEPTION("the meeting was cancelled");
  }

  const int rank_;
  const int world_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::string own_;                 // guarded by mutex_, as all below
  std::vector<std::string> cards_;  // written once, before anybody reads them
  bool cancelled_ = false;
};

// What the meeting's thread and the mesh share; the thread may outlive the mesh.
struct Meeting {
  Meeting(int rank, int world) : store(rank, world) {}
  CardStore store;
  std::shared_ptr<gloo::transport::Device> device;
  std::shared_ptr<gloo::rendezvous::Context> context;
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<absl::Status> result;  // guarded by mutex, as all below
  bool aborted = false;
};

void CloseConnections(Meeting& meeting) {
  try {
    meeting.context->closeConnections();
  } catch (const std::exception&) {
    // A connection that is broken already is as good as closed.
  }
}

void Meet(const std::shared_ptr<Meeting>& meeting) {
  absl::Status result;
  try {
    meeting->context->connectFullMesh(meeting->store, meeting->device);
  } catch (const std::exception& e) {
    result = absl::UnavailableError(absl::StrCat("Gloo cannot connect the ranks: ", Words(e)));
  }
  meeting->store.Cancel();  // whoever waits for addresses that will not come
  std::lock_guard lock(meeting->mutex);
  if (result.ok() && meeting->aborted) CloseConnections(*meeting);
  meeting->result = result;
  meeting->changed.notify_all();
}

}  // namespace

class GlooMesh::Impl {
 public:
  explicit Impl(const Options& options)
      : options_(options), meeting_(std::make_shared<Meeting>(options.rank, options.world)) {}

  ~Impl() {
    Abort();
    if (!thread_.joinable()) return;
    std::unique_lock lock(meeting_->mutex);
    const bool over = meeting_->changed.wait_for(lock, std::chrono::nanoseconds(kGoodbye),
                                                 [&] { return meeting_->result.has_value(); });
    lock.unlock();
    if (over) {
      thread_.join();
    } else {
      thread_.detach();
    }
  }

  absl::Status Listen() {
    if (const absl::Status there = CheckInterface(options_.interface); !there.ok()) {
      return absl::UnavailableError(absl::StrCat("no network for Gloo: ", there.message()));
    }
    try {
      gloo::transport::tcp::attr where;
      where.iface = options_.interface;
      meeting_->device = gloo::transport::tcp::CreateDevice(where);
      meeting_->context =
          std::make_shared<gloo::rendezvous::Context>(options_.rank, options_.world);
      meeting_->context->setTimeout(Millis(options_.connect_limit / kTimeoutsOfAMeeting));
    } catch (const std::exception& e) {
      return absl::UnavailableError(
          absl::StrCat("Gloo cannot use the interface ", options_.interface, ": ", Words(e)));
    }
    thread_ = std::thread([meeting = meeting_] { Meet(meeting); });
    if (auto own = meeting_->store.AwaitOwn(kAddressLimit)) {
      addresses_ = *std::move(own);
      return absl::OkStatus();
    }
    std::lock_guard lock(meeting_->mutex);
    if (meeting_->result && !meeting_->result->ok()) return *meeting_->result;
    return absl::UnavailableError(absl::StrCat("Gloo found no address on ", options_.interface,
                                               " in ", FormatDuration(kAddressLimit)));
  }

  absl::Status Connect(std::vector<std::string> cards) {
    RACKMARK_CHECK(static_cast<int>(cards.size()) == options_.world);
    cards[static_cast<size_t>(options_.rank)] = addresses_;
    const Nanos deadline = SystemClock().Monotonic() + options_.connect_limit;
    for (size_t peer = 0; peer < cards.size(); ++peer) {
      // Gloo cuts its address out of the card without looking at the card's size.
      if (cards[peer].size() == addresses_.size()) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("rank ", peer, "'s Gloo addresses have ", cards[peer].size(),
                       " bytes, expected ", addresses_.size(), "; all ranks must be of one build"));
    }
    {
      std::lock_guard lock(meeting_->mutex);
      cards_ = cards;
    }
    meeting_->store.Go(std::move(cards));
    absl::Status met = AwaitMeeting();
    if (met.ok()) met = Greet(deadline);
    // The peers must not wait for a rank that will not come.
    if (!met.ok()) Abort();
    KnockIfAborted();
    return met;
  }

  absl::Status Exchange(const std::vector<Outgoing>& out, const std::vector<Incoming>& in,
                        Nanos deadline) {
    RACKMARK_CHECK(connected_);
    late_.clear();
    absl::Status status = Post(out, in);
    if (status.ok()) status = AwaitAll(in, deadline);
    return Finish(out, deadline, std::move(status));
  }

  void Abort() {
    bool first = false;
    {
      std::lock_guard lock(active_mutex_);
      first = !aborted_.exchange(true);
      for (const auto& buffer : receives_) buffer->abortWaitRecv();
      for (const auto& buffer : sends_) buffer->abortWaitSend();
    }
    meeting_->store.Cancel();
    if (first) {
      std::lock_guard lock(meeting_->mutex);
      meeting_->aborted = true;
      meeting_->changed.notify_all();
      if (meeting_->result && meeting_->result->ok()) CloseConnections(*meeting_);
    }
    KnockIfAborted();
  }

  void Leave() {
    std::lock_guard lock(meeting_->mutex);
    if (connected_) CloseConnections(*meeting_);
  }

  bool aborted() const { return aborted_.load(); }
  const Options& options() const { return options_; }
  const std::string& addresses() const { return addresses_; }
  const std::vector<int>& late() const { return late_; }

 private:
  using Buffers = std::vector<std::unique_ptr<UnboundBuffer>>;

  absl::Status NotInTime() const {
    return absl::DeadlineExceededError(
        absl::StrCat("Gloo did not connect the ranks in ", FormatDuration(options_.connect_limit)));
  }

  absl::Status AwaitMeeting() {
    std::unique_lock lock(meeting_->mutex);
    const bool over =
        meeting_->changed.wait_for(lock, std::chrono::nanoseconds(options_.connect_limit),
                                   [&] { return meeting_->result.has_value() || aborted(); });
    if (aborted()) return absl::UnavailableError("the meeting was aborted");
    if (!over) return NotInTime();
    connected_ = meeting_->result->ok();
    return *meeting_->result;
  }

  // A word from everybody: a peer that gave up meanwhile has hung up, and is found here.
  absl::Status Greet(Nanos deadline) {
    const auto own = static_cast<uint64_t>(options_.rank);
    std::vector<uint64_t> words(static_cast<size_t>(options_.world), own);
    std::vector<Outgoing> out;
    std::vector<Incoming> in;
    for (int peer = 0; peer < options_.world; ++peer) {
      if (peer == options_.rank) continue;
      out.push_back({peer, &own, sizeof(own)});
      in.push_back({peer, &words[static_cast<size_t>(peer)], sizeof(own)});
    }
    late_.clear();
    absl::Status greeted = Post(out, in);
    if (greeted.ok()) greeted = AwaitTogether(in, deadline);
    greeted = Finish(out, deadline, std::move(greeted));
    if (!greeted.ok()) return absl::IsDeadlineExceeded(greeted) ? NotInTime() : greeted;
    for (size_t peer = 0; peer < words.size(); ++peer) {
      if (words[peer] == peer) continue;
      return absl::FailedPreconditionError(
          absl::StrCat("the connection to rank ", peer, " leads to rank ", words[peer]));
    }
    return absl::OkStatus();
  }

  // Once both the cards and the end are known, whichever came last.
  void KnockIfAborted() {
    std::vector<std::string> cards;
    {
      std::lock_guard lock(meeting_->mutex);
      const bool met = meeting_->result && meeting_->result->ok();
      if (meeting_->aborted && !met) cards.swap(cards_);
    }
    gloo_internal::Knock(cards, options_.rank);
  }

  // The n-th message between two ranks in this exchange has the same slot on both sides.
  uint64_t SlotFor(std::vector<uint64_t>& counts, int peer) const {
    const uint64_t index = counts[static_cast<size_t>(peer)]++;
    RACKMARK_CHECK(index < kPiecesPerExchange);
    return exchanges_ * kPiecesPerExchange + index;
  }

  absl::Status Post(const std::vector<Outgoing>& out, const std::vector<Incoming>& in) {
    const size_t world = static_cast<size_t>(options_.world);
    std::lock_guard lock(active_mutex_);
    if (aborted()) return absl::UnavailableError("aborted");
    ++exchanges_;
    std::vector<uint64_t> sent(world), received(world);
    int peer = 0;
    try {
      for (const Incoming& piece : in) {
        peer = piece.peer;
        receives_.push_back(meeting_->context->createUnboundBuffer(piece.data, piece.bytes));
        receives_.back()->recv(piece.peer, SlotFor(received, piece.peer));
      }
      for (const Outgoing& piece : out) {
        peer = piece.peer;
        sends_.push_back(
            meeting_->context->createUnboundBuffer(const_cast<void*>(piece.data), piece.bytes));
        sends_.back()->send(piece.peer, SlotFor(sent, piece.peer));
      }
    } catch (const std::exception& e) {
      late_.push_back(peer);
      return Lost(peer, e);
    }
    return absl::OkStatus();
  }

  absl::Status Finish(const std::vector<Outgoing>& out, Nanos deadline, absl::Status status) {
    if (status.ok()) status = AwaitSent(out, deadline);
    if (!status.ok()) Abort();  // closed before the buffers go: nothing is written into them then
    std::lock_guard lock(active_mutex_);
    receives_.clear();
    sends_.clear();
    return status;
  }

  // In no order, which Gloo offers by threads only: whoever hangs up ends the wait for all others.
  absl::Status AwaitTogether(const std::vector<Incoming>& in, Nanos deadline) {
    std::mutex mutex;
    absl::Status first;
    const auto await = [&](size_t i) {
      const absl::Status one = AwaitOne(*receives_[i], in[i].peer, deadline);
      if (one.ok()) return;
      {
        std::lock_guard lock(mutex);
        if (!first.ok()) return;
        first = one;
        late_.push_back(in[i].peer);
      }
      Abort();
    };
    std::vector<std::thread> waiting;
    for (size_t i = 1; i < in.size(); ++i) waiting.emplace_back(await, i);
    await(0);
    for (std::thread& thread : waiting) thread.join();
    return first;
  }

  absl::Status AwaitAll(const std::vector<Incoming>& in, Nanos deadline) {
    absl::Status status;
    for (size_t i = 0; i < in.size(); ++i) {
      // After the first failure the others are only asked whether they have come.
      const absl::Status one = AwaitOne(*receives_[i], in[i].peer, status.ok() ? deadline : 0);
      if (one.ok()) continue;
      if (status.ok()) status = one;
      if (late_.empty() || late_.back() != in[i].peer) late_.push_back(in[i].peer);
    }
    std::sort(late_.begin(), late_.end());
    late_.erase(std::unique(late_.begin(), late_.end()), late_.end());
    return status;
  }

  absl::Status AwaitOne(UnboundBuffer& buffer, int peer, Nanos deadline) {
    try {
      if (buffer.waitRecv(Millis(deadline - SystemClock().Monotonic()))) return absl::OkStatus();
    } catch (const std::exception& e) {
      if (SystemClock().Monotonic() >= deadline) return absl::DeadlineExceededError("too late");
      return Lost(peer, e);
    }
    return absl::UnavailableError("aborted");
  }

  absl::Status AwaitSent(const std::vector<Outgoing>& out, Nanos deadline) {
    for (size_t i = 0; i < out.size(); ++i) {
      try {
        if (!sends_[i]->waitSend(Millis(deadline - SystemClock().Monotonic()))) {
          return absl::UnavailableError("aborted");
        }
      } catch (const std::exception& e) {
        late_.push_back(out[i].peer);
        if (SystemClock().Monotonic() >= deadline) return absl::DeadlineExceededError("too late");
        return Lost(out[i].peer, e);
      }
    }
    return absl::OkStatus();
  }

  absl::Status Lost(int peer, const std::exception& e) const {
    if (aborted()) return absl::UnavailableError("aborted");
    return absl::UnavailableError(
        absl::StrCat("the connection to rank ", peer, " was lost: ", Words(e)));
  }

  const Options options_;
  const std::shared_ptr<Meeting> meeting_;
  std::thread thread_;
  std::string addresses_;
  std::vector<std::string> cards_;  // guarded by meeting_->mutex; empty: nobody to knock at
  bool connected_ = false;
  uint64_t exchanges_ = 0;
  std::vector<int> late_;
  std::atomic<bool> aborted_{false};
  std::mutex active_mutex_;  // guards the two below: Abort ends their waits
  Buffers receives_;
  Buffers sends_;
};

absl::StatusOr<std::unique_ptr<GlooMesh>> GlooMesh::Create(const Options& options) {
  RACKMARK_CHECK(options.world >= 2 && options.rank >= 0 && options.rank < options.world);
  auto impl = std::make_unique<Impl>(options);
  RETURN_IF_ERROR(impl->Listen());
  return std::unique_ptr<GlooMesh>(new GlooMesh(std::move(impl)));
}

GlooMesh::GlooMesh(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GlooMesh::~GlooMesh() = default;
int GlooMesh::rank() const { return impl_->options().rank; }
int GlooMesh::world() const { return impl_->options().world; }
const std::string& GlooMesh::addresses() const { return impl_->addresses(); }
absl::Status GlooMesh::Connect(std::vector<std::string> addresses) {
  return impl_->Connect(std::move(addresses));
}
absl::Status GlooMesh::Exchange(const std::vector<Outgoing>& out, const std::vector<Incoming>& in,
                                Nanos deadline) {
  return impl_->Exchange(out, in, deadline);
}
const std::vector<int>& GlooMesh::late() const { return impl_->late(); }
void GlooMesh::Leave() { impl_->Leave(); }
void GlooMesh::Abort() { impl_->Abort(); }

}  // namespace rackmark

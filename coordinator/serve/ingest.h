// Takes chunks from all workers to the sample store: checks them, gathers some for one transaction,
// and answers only when they are on disk. Own thread, past the core (law 2). Offer from any thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/status.h"
#include "common/time.h"
#include "coordinator/live.h"
#include "coordinator/store/store.h"
#include "rackmark/v1/worker_api.pb.h"

namespace rackmark {

class Ingest {
 public:
  struct Options {
    SampleStore* store = nullptr;
    LiveBoard* live = nullptr;
    std::string cluster_id;
    // Whether committed state has started this attempt. Called on ingest's thread; may wait.
    std::function<absl::StatusOr<bool>(uint64_t run, uint32_t attempt)> knows;
    // By rank, the names of the nodes of this attempt; empty: nobody can say any more, and then
    // nothing of it is judged either. As `knows`, of an attempt that it knows.
    std::function<absl::StatusOr<std::vector<std::string>>(uint64_t run, uint32_t attempt)> nodes =
        [](auto, auto) {
          return absl::StatusOr<std::vector<std::string>>(std::vector<std::string>{});
        };
    // These streams are on disk to their end. Called on ingest's thread; must not wait.
    std::function<void(const std::vector<StreamKey>&)> ended = [](const auto&) {};
    // The disk's state is unknown: must end the process.
    std::function<void(const absl::Status&)> fatal;
    // One transaction takes what comes within this, or begins when this much waits. The last chunk
    // of a stream does not wait: the next run does, for its ack.
    Nanos gather = 20 * kMillisecond;
    size_t gather_bytes = 4 << 20;
    // What came while the former one was synced goes into one, up to this.
    size_t transaction_bytes = 16 << 20;
    size_t bytes_max = 0;        // waiting, over all streams
    uint64_t run_bytes_max = 0;  // stored, of one attempt of a run
    const Clock* clock = &SystemClock();
    Nanos stall_after = 2 * kSecond;  // a commit that took longer is a fault that people see
  };
  // The watermarks of all streams in the batch, after the commit.
  using Done = std::function<void(absl::StatusOr<v1::SampleAck>)>;

  explicit Ingest(Options options);
  ~Ingest();  // Stop()
  Ingest(const Ingest&) = delete;
  Ingest& operator=(const Ingest&) = delete;

  // RESOURCE_EXHAUSTED (counted) when too much waits: the worker keeps it in its spool and comes
  // again. `done` is then dropped. Checksums are checked here, on the caller's thread: there are
  // several of those, and only one that waits for the disk.
  // `certificate`: the names for which the sender's speaks; then it sends for these nodes only.
  // None without mTLS.
  absl::Status Offer(v1::SampleBatch batch, Done done, std::vector<std::string> certificate = {});
  // Whether a stream that waits for an ack may read its next batch already: what waits is far from
  // its bound, so that nobody's first batch is refused because of somebody's second.
  bool HasRoom() const;
  // What waits is answered UNAVAILABLE, unstored.
  void Stop();
  uint64_t refused() const;
  uint64_t over_quota() const { return over_quota_; }  // chunks refused because of run_bytes_max

 private:
  struct Item {
    v1::SampleBatch batch;
    Done done;
    size_t bytes = 0;
    std::vector<std::string> unfit;  // by chunk: why it is refused whatever we know; or empty
    std::vector<std::string> certificate;
  };
  using Attempt = std::pair<uint64_t, uint32_t>;
  struct Held {
    uint64_t bytes = 0;  // about, never less
    bool over = false;   // refused for its quota before: the disk is not asked again
  };
  static constexpr size_t kKnownMax = 65'536;
  static constexpr size_t kPlacedMax = 64;  // of thousands of names each
  static constexpr size_t kToldMax = 4096;

  void Run();
  std::vector<Item> Gather();
  bool IsBehind() const;
  void Store(std::vector<Item> items);
  void TellEnded(const std::vector<v1::Chunk>& chunks,
                 const std::map<StreamKey, uint64_t>& stored) const;
  std::string WhyUnfit(const v1::Chunk& chunk) const;
  absl::StatusOr<std::string> WhyRefused(const v1::Chunk& chunk,
                                         const std::vector<std::string>& certificate);
  absl::StatusOr<std::string> WhyNotTheirs(const StreamKey& key,
                                           const std::vector<std::string>& certificate);
  absl::StatusOr<std::string> WhyOverQuota(const Attempt& attempt, size_t bytes);
  void TellRefused(const StreamKey& key, const std::string& why);
  absl::Status Sort(Item& item, std::vector<v1::Chunk>& good,
                    std::map<StreamKey, std::string>& streams);

  const Options options_;
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Item> waiting_;
  size_t waiting_bytes_ = 0;
  bool urgent_ = false;  // a last chunk waits
  uint64_t refused_ = 0;
  bool stopping_ = false;
  std::atomic<uint64_t> over_quota_ = 0;
  // Ingest's thread: attempts that were started, with what is stored of them; the nodes of some;
  // streams whose refusal was logged.
  std::map<Attempt, Held> known_;
  std::map<Attempt, std::vector<std::string>> placed_;
  std::set<StreamKey> told_;
  std::thread thread_;
};

}  // namespace rackmark

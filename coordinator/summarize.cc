// The seam between the reporter and the pure room that computes. Unpacking is most of the work of a
// long run's report and needs no order: threads do it here, while the reporter's reads the store.
#include "report/summarize.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "coordinator/reporter.h"
#include "report/judge.h"
#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

constexpr size_t kThreadsMax = 4;
constexpr size_t kWaitingMax = 16;  // chunks between the store and the threads

class Unpackers {
 public:
  explicit Unpackers(RunSummarizer& to) : to_(to) {
    const size_t cpus = std::max(1U, std::thread::hardware_concurrency());
    for (size_t i = 0; i < std::min(cpus, kThreadsMax); ++i) {
      threads_.emplace_back([this] { Run(); });
    }
  }
  ~Unpackers() {
    if (!threads_.empty()) Finish().IgnoreError();
  }
  Unpackers(const Unpackers&) = delete;
  Unpackers& operator=(const Unpackers&) = delete;

  // Waits while too many wait. An error of any chunk before may come here already.
  absl::Status Add(v1::Chunk chunk) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [this] { return waiting_.size() < kWaitingMax; });
    if (!error_.ok()) return error_;
    waiting_.push_back({added_++, std::move(chunk)});
    work_.notify_one();
    return absl::OkStatus();
  }
  // After the last Add. The error of the first damaged chunk, whichever thread found it when.
  absl::Status Finish() {
    {
      std::lock_guard lock(mutex_);
      over_ = true;
      work_.notify_all();
    }
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    return error_;
  }

 private:
  struct Item {
    size_t index;
    v1::Chunk chunk;
  };

  void Run() {
    std::unique_lock lock(mutex_);
    while (true) {
      work_.wait(lock, [this] { return over_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      const Item item = std::move(waiting_.front());
      waiting_.pop_front();
      room_.notify_one();
      lock.unlock();
      auto payload = UnpackChunk(item.chunk);
      lock.lock();
      absl::Status status = payload.status();
      if (status.ok()) {
        status =
            to_.AddUnpacked(item.chunk.header(), item.chunk.payload().size(), *std::move(payload));
      }
      if (status.ok() || (!error_.ok() && error_index_ < item.index)) continue;
      error_ = std::move(status);
      error_index_ = item.index;
    }
  }

  std::mutex mutex_;  // guards all below but threads_
  std::condition_variable work_, room_;
  RunSummarizer& to_;
  std::deque<Item> waiting_;
  size_t added_ = 0;
  bool over_ = false;
  absl::Status error_;
  size_t error_index_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace

absl::StatusOr<v1::RunSummary> SummarizeWithReport(v1::RunSummary known,
                                                   const ChunkSource& chunks) {
  RunSummarizer summarizer;
  {
    Unpackers unpackers(summarizer);
    const absl::Status read =
        chunks([&](v1::Chunk chunk) { return unpackers.Add(std::move(chunk)); });
    RETURN_IF_ERROR(unpackers.Finish());
    RETURN_IF_ERROR(read);
  }
  v1::RunSummary summary = summarizer.Finish(FactsFrom(known));
  Judge(summary);
  return summary;
}

}  // namespace rackmark

#include "coordinator/serve/ingest.h"

#include <algorithm>
#include <chrono>

#include "common/log.h"
#include "common/text.h"
#include "samples/chunk_codec.h"

namespace rackmark {

Ingest::Ingest(Options options) : options_(std::move(options)) {
  thread_ = std::thread([this] { Run(); });
}

Ingest::~Ingest() { Stop(); }

void Ingest::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    ready_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
  std::deque<Item> left;
  {
    std::lock_guard lock(mutex_);
    left.swap(waiting_);
  }
  for (Item& item : left) item.done(absl::UnavailableError("the coordinator is stopping"));
}

uint64_t Ingest::refused() const {
  std::lock_guard lock(mutex_);
  return refused_;
}

absl::Status Ingest::Offer(v1::SampleBatch batch, Done done, std::vector<std::string> certificate) {
  const size_t bytes = batch.ByteSizeLong();
  std::vector<std::string> unfit;
  unfit.reserve(static_cast<size_t>(batch.chunks_size()));
  for (const v1::Chunk& chunk : batch.chunks()) unfit.push_back(WhyUnfit(chunk));
  std::lock_guard lock(mutex_);
  if (stopping_) return absl::UnavailableError("the coordinator is stopping");
  if (waiting_bytes_ + bytes > options_.bytes_max) {
    ++refused_;
    if ((refused_ & (refused_ - 1)) == 0) {
      Log(LogLevel::kWarning, absl::StrCat("samples wait for the disk at their bound; ", refused_,
                                           " batches were sent back to the workers' spools"));
    }
    return absl::ResourceExhaustedError(
        "too many samples wait for the coordinator's disk; they stay in the spool, send again");
  }
  waiting_bytes_ += bytes;
  for (const v1::Chunk& chunk : batch.chunks()) urgent_ = urgent_ || chunk.header().last();
  waiting_.push_back(
      {std::move(batch), std::move(done), bytes, std::move(unfit), std::move(certificate)});
  ready_.notify_one();
  return absl::OkStatus();
}

bool Ingest::HasRoom() const {
  std::lock_guard lock(mutex_);
  return waiting_bytes_ < options_.bytes_max / 4;
}

std::vector<Ingest::Item> Ingest::Gather() {
  std::unique_lock lock(mutex_);
  ready_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
  // One fsync for what several ranks seal at about the same time.
  ready_.wait_for(lock, std::chrono::nanoseconds(options_.gather), [this] {
    return stopping_ || urgent_ || waiting_bytes_ >= options_.gather_bytes;
  });
  if (stopping_) return {};
  std::vector<Item> items;
  size_t bytes = 0;
  while (!waiting_.empty() && bytes < options_.transaction_bytes) {
    bytes += waiting_.front().bytes;
    items.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  waiting_bytes_ -= bytes;
  if (waiting_.empty()) urgent_ = false;
  return items;
}

bool Ingest::IsBehind() const {
  std::lock_guard lock(mutex_);
  return waiting_bytes_ >= options_.gather_bytes / 2;
}

void Ingest::Run() {
  while (true) {
    std::vector<Item> items = Gather();
    if (items.empty()) return;
    Store(std::move(items));
  }
}

// Empty = nothing in the chunk itself speaks against it. Any thread.
std::string Ingest::WhyUnfit(const v1::Chunk& chunk) const {
  if (const absl::Status status = CheckChunk(chunk); !status.ok()) {
    return std::string(status.message());
  }
  const v1::ChunkHeader& header = chunk.header();
  if (header.cluster_id() != options_.cluster_id) {
    return absl::StrCat("the chunk belongs to another cluster (", header.cluster_id().substr(0, 8),
                        ")");
  }
  if (header.kind() != v1::STREAM_KIND_RANK && header.kind() != v1::STREAM_KIND_NODE) {
    return "the stream is of an unknown kind";
  }
  if (header.seq() == 0 || header.attempt() == 0) return "the chunk has no key";
  return "";
}

// Empty = take it. An error means that nobody can say now.
absl::StatusOr<std::string> Ingest::WhyRefused(const v1::Chunk& chunk,
                                               const std::vector<std::string>& certificate) {
  const v1::ChunkHeader& header = chunk.header();
  const Attempt key(header.run(), header.attempt());
  if (known_.count(key) == 0) {
    ASSIGN_OR_RETURN(const bool knows, options_.knows(key.first, key.second));
    if (!knows) {
      return absl::StrCat("no attempt ", key.second, " of run ", key.first, " was ever started");
    }
    ASSIGN_OR_RETURN(const uint64_t stored, options_.store->BytesOf(key.first, key.second));
    if (known_.size() >= kKnownMax) known_.clear();
    known_[key].bytes = stored;
  }
  if (!certificate.empty()) {
    ASSIGN_OR_RETURN(std::string why, WhyNotTheirs(KeyOf(header), certificate));
    if (!why.empty()) return why;
  }
  return WhyOverQuota(key, chunk.ByteSizeLong());
}

// A stream is named after a rank, the telemetry of a node after its lowest one. The first copy of a
// chunk is the one that is kept, so whoever sends another node's would put his in its place.
absl::StatusOr<std::string> Ingest::WhyNotTheirs(const StreamKey& key,
                                                 const std::vector<std::string>& certificate) {
  const Attempt attempt(key.run, key.attempt);
  auto placed = placed_.find(attempt);
  if (placed == placed_.end()) {
    ASSIGN_OR_RETURN(std::vector<std::string> nodes, options_.nodes(key.run, key.attempt));
    if (placed_.size() >= kPlacedMax) placed_.clear();
    placed = placed_.emplace(attempt, std::move(nodes)).first;
  }
  const std::vector<std::string>& nodes = placed->second;
  if (nodes.empty()) return std::string();
  if (key.stream >= nodes.size()) return absl::StrCat("the run has no rank ", key.stream);
  const std::string& node = nodes[key.stream];
  if (std::find(certificate.begin(), certificate.end(), node) != certificate.end()) {
    return std::string();
  }
  return absl::StrCat("rank ", key.stream, " is on node ", node, ", and the sender's certificate ",
                      "is for ", certificate.front());
}

absl::StatusOr<std::string> Ingest::WhyOverQuota(const Attempt& attempt, size_t bytes) {
  Held& held = known_[attempt];
  held.bytes += bytes;
  if (!held.over && held.bytes <= options_.run_bytes_max) return std::string();
  if (!held.over) {
    // Copies that came twice, and chunks of this batch, are counted above: ask the disk.
    ASSIGN_OR_RETURN(const uint64_t stored, options_.store->BytesOf(attempt.first, attempt.second));
    held.bytes = stored + bytes;
    if (held.bytes <= options_.run_bytes_max) return std::string();
    held.over = true;
  }
  ++over_quota_;
  return absl::StrCat("run ", attempt.first, " has stored all samples that it may, its quota is ",
                      options_.run_bytes_max, " bytes");
}

// Once for each stream: the worker sets it aside and sends nothing more of it.
void Ingest::TellRefused(const StreamKey& key, const std::string& why) {
  if (told_.size() >= kToldMax || !told_.insert(key).second) return;
  Log(LogLevel::kWarning,
      absl::StrCat("refused samples of run ", key.run, ", attempt ", key.attempt, ", ",
                   key.kind == v1::STREAM_KIND_NODE ? "node stream " : "rank ", key.stream, ": ",
                   EscapeControl(why)));
}

// Moves what may be stored to `good`. streams: those in the item, with why one is refused. An error
// is this item's, and nothing of it is in `good` then.
absl::Status Ingest::Sort(Item& item, std::vector<v1::Chunk>& good,
                          std::map<StreamKey, std::string>& streams) {
  const size_t before = good.size();
  for (int i = 0; i < item.batch.chunks_size(); ++i) {
    v1::Chunk& chunk = *item.batch.mutable_chunks(i);
    const StreamKey key = KeyOf(chunk.header());
    std::string& refused = streams[key];
    if (!refused.empty()) continue;
    refused = std::move(item.unfit[static_cast<size_t>(i)]);
    if (refused.empty()) {
      auto why = WhyRefused(chunk, item.certificate);
      if (!why.ok()) {
        good.resize(before);
        return why.status();
      }
      refused = *std::move(why);
    }
    if (refused.empty()) {
      good.push_back(std::move(chunk));
    } else {
      TellRefused(key, refused);
    }
  }
  return absl::OkStatus();
}

void Ingest::TellEnded(const std::vector<v1::Chunk>& chunks,
                       const std::map<StreamKey, uint64_t>& stored) const {
  std::vector<StreamKey> ended;
  for (const v1::Chunk& chunk : chunks) {
    const StreamKey key = KeyOf(chunk.header());
    if (chunk.header().last() && stored.at(key) >= chunk.header().seq()) ended.push_back(key);
  }
  if (!ended.empty()) options_.ended(ended);
}

void Ingest::Store(std::vector<Item> all) {
  std::vector<v1::Chunk> good;
  std::vector<Item> items;
  std::vector<std::map<StreamKey, std::string>> keys;  // of each item
  for (Item& item : all) {
    std::map<StreamKey, std::string> streams;
    if (const absl::Status status = Sort(item, good, streams); !status.ok()) {
      item.done(status);
      continue;
    }
    items.push_back(std::move(item));
    keys.push_back(std::move(streams));
  }
  if (items.empty()) return;
  const auto began = std::chrono::steady_clock::now();
  const auto marks = options_.store->PutChunks(good);
  const Nanos took = std::chrono::nanoseconds(std::chrono::steady_clock::now() - began).count();
  if (took > options_.stall_after) {
    Log(LogLevel::kWarning, absl::StrCat("storing samples took ", FormatDuration(took),
                                         ": the data folder's disk is slow"));
  }
  if (!marks.ok()) {
    options_.fatal(Annotate(marks.status(), "storing samples"));
    for (Item& item : items) item.done(marks.status());
    return;
  }
  std::map<StreamKey, uint64_t> stored;
  for (const StreamMark& mark : *marks) stored[mark.key] = mark.seq;
  TellEnded(good, stored);
  for (size_t i = 0; i < items.size(); ++i) {
    v1::SampleAck ack;
    for (const auto& [key, refused] : keys[i]) {
      v1::Watermark* mark = ack.add_watermarks();
      mark->set_run_id(key.run);
      mark->set_attempt(key.attempt);
      mark->set_kind(key.kind);
      mark->set_stream(key.stream);
      mark->set_refused(refused);
      if (refused.empty()) mark->set_seq(stored[key]);
    }
    items[i].done(std::move(ack));
  }
  // The live view may be thin: what holds up the disk's turn is not for it.
  for (const v1::Chunk& chunk : good) {
    if (IsBehind()) return;
    options_.live->Add(chunk, options_.clock->Monotonic());
  }
}

}  // namespace rackmark

// What the coordinator keeps on disk: the event log (the truth about jobs, runs, leases, nodes) and
// the sample chunks with the summaries made of them. Durable bytes, no decisions. When a call
// returns OK, the bytes survive a power cut. A write that fails leaves the disk's state unknown, so
// it poisons the store: every later call fails, and the process must fence itself (law 1).
// EventStore belongs to the loop's thread; SampleStore may be called from several threads.
#pragma once

#include <atomic>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/status.h"
#include "rackmark/v1/event.pb.h"
#include "rackmark/v1/sample.pb.h"

namespace rackmark {

// Remembers that a write failed. Any thread.
class Poison {
 public:
  // ABORTED with the remedy, once a write has failed.
  absl::Status Check() const;
  // Passes the status on; the first error poisons.
  absl::Status Watch(absl::Status status);

 private:
  std::atomic<bool> poisoned_ = false;
};

class EventStore {
 public:
  using EventVisitor = std::function<absl::Status(const v1::Event&)>;
  virtual ~EventStore() = default;

  // All of them or none, in one transaction. Their seqs must follow the last one without a gap.
  absl::Status Append(std::span<const v1::Event> events);
  // In order of seq, beginning with from_seq; stops at the visitor's first error. DATA_LOSS if an
  // event is damaged, of an unknown format, or missing.
  absl::Status Load(uint64_t from_seq, const EventVisitor& visit);
  virtual const std::string& cluster_id() const = 0;
  virtual uint64_t last_seq() const = 0;  // 0 = empty

 private:
  virtual absl::Status DoAppend(std::span<const v1::Event> events) = 0;
  virtual absl::Status DoLoad(uint64_t from_seq, const EventVisitor& visit) = 0;
  Poison poison_;
};

// One stream of chunks (PROTOCOL 6).
struct StreamKey {
  uint64_t run = 0;
  uint32_t attempt = 0;
  v1::StreamKind kind = v1::STREAM_KIND_UNKNOWN;
  uint32_t stream = 0;
  auto operator<=>(const StreamKey&) const = default;
};
StreamKey KeyOf(const v1::ChunkHeader& header);

// Everything up to and including seq is stored; a gap ends it.
struct StreamMark {
  StreamKey key;
  uint64_t seq = 0;
};

class SampleStore {
 public:
  using ChunkVisitor = std::function<absl::Status(const v1::Chunk&)>;
  virtual ~SampleStore() = default;

  // One transaction. A chunk that is there already is left as it is. Returns the mark of each
  // stream touched, in order of key.
  absl::StatusOr<std::vector<StreamMark>> PutChunks(std::span<const v1::Chunk> chunks);
  absl::StatusOr<uint64_t> Watermark(const StreamKey& key);  // 0 = nothing yet
  // Of all chunks of one attempt of a run, as stored.
  absl::StatusOr<uint64_t> BytesOf(uint64_t run, uint32_t attempt);
  // In order of kind, stream, seq; stops at the visitor's first error.
  absl::Status ForEachChunk(uint64_t run, uint32_t attempt, const ChunkVisitor& visit);

  // The serialised RunSummary of a run; a later one replaces it.
  absl::Status PutReport(uint64_t run, std::string_view bytes);
  absl::StatusOr<std::optional<std::string>> GetReport(uint64_t run);

 private:
  virtual absl::StatusOr<std::vector<StreamMark>> DoPutChunks(
      std::span<const v1::Chunk> chunks) = 0;
  virtual absl::StatusOr<uint64_t> DoWatermark(const StreamKey& key) = 0;
  virtual absl::StatusOr<uint64_t> DoBytesOf(uint64_t run, uint32_t attempt) = 0;
  virtual absl::Status DoForEachChunk(uint64_t run, uint32_t attempt,
                                      const ChunkVisitor& visit) = 0;
  virtual absl::Status DoPutReport(uint64_t run, std::string_view bytes) = 0;
  virtual absl::StatusOr<std::optional<std::string>> DoGetReport(uint64_t run) = 0;
  Poison poison_;
};

}  // namespace rackmark

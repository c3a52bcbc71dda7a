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
#include <string_view>
#include <vector>

#include "common/status.h"
#include "coordinator/store/history.h"
#include "rackmark/v1/event.pb.h"
#include "rackmark/v1/sample.pb.h"
#include "rackmark/v1/snapshot.pb.h"

namespace rackmark {

// Whether a read that failed so may succeed later: the database is away, busy or starting. Of a
// write it says nothing: after any error of one, what is on disk is unknown.
bool MayPass(const absl::Status& status);

// Remembers that a write failed. Any thread.
class Poison {
 public:
  // ABORTED with the remedy, once a write has failed.
  absl::Status Check() const;
  // Passes the status on; the first error poisons.
  absl::Status Watch(absl::Status status);
  template <typename T>
  absl::StatusOr<T> Watch(absl::StatusOr<T> result) {
    if (!result.ok()) poisoned_ = true;
    return result;
  }

 private:
  std::atomic<bool> poisoned_ = false;
};

class EventStore {
 public:
  using EventVisitor = std::function<absl::Status(const v1::Event&)>;
  virtual ~EventStore() = default;

  // All of them or none, in one transaction, with the jobs that the events end. Their seqs must
  // follow the last one without a gap. INTERNAL, and nothing written, if Load could not read them.
  absl::Status Append(std::span<const v1::Event> events, std::span<const v1::EndedJob> ended = {});
  // In order of seq, beginning with from_seq; stops at the visitor's first error. DATA_LOSS if an
  // event is damaged, of an unknown format, or missing.
  absl::Status Load(uint64_t from_seq, const EventVisitor& visit);
  // The oldest event that is left; 0 = there is none.
  absl::StatusOr<uint64_t> FirstSeq();
  virtual const std::string& cluster_id() const = 0;
  virtual uint64_t last_seq() const = 0;  // 0 = empty

  // State after event last_seq, as bytes. The newest two snapshots are kept. OUT_OF_RANGE: more
  // than this store can keep; nothing was written, and the next try is as far off as after a
  // success.
  absl::Status PutSnapshot(std::string_view bytes);
  // The seqs of the snapshots, newest first.
  absl::StatusOr<std::vector<uint64_t>> Snapshots();
  // DATA_LOSS if it is damaged.
  absl::StatusOr<std::string> GetSnapshot(uint64_t seq);
  // A damaged one, so that it does not count as one of the two behind which the log is cut.
  absl::Status DropSnapshot(uint64_t seq);
  // Removes at most `max` of the oldest events that the older of two snapshots makes superfluous.
  // Returns how many; 0 = nothing is left to remove.
  absl::StatusOr<uint64_t> Trim(uint64_t max);

  // Ended jobs: see history.h.
  virtual History& history() = 0;
  // A log from before there was a history has jobs that ended without rows: they are given here,
  // in any portions, and then it is complete.
  virtual bool history_complete() const = 0;
  absl::Status Backfill(std::span<const v1::EndedJob> ended, bool complete);
  // Removes the oldest ended jobs that ended before, at most about `max` rows. Returns how many;
  // 0 = nothing is left to remove.
  absl::StatusOr<uint64_t> DropHistory(int64_t ended_before_unix_ns, uint64_t max);

  // Since the newest snapshot was put or was too large, or ever: about what a restart would have to
  // replay.
  uint64_t tail_events() const { return tail_events_; }
  uint64_t tail_bytes() const { return tail_bytes_; }

 private:
  virtual absl::Status DoAppend(std::span<const v1::Event> events,
                                std::span<const v1::EndedJob> ended) = 0;
  virtual absl::Status DoLoad(uint64_t from_seq, const EventVisitor& visit) = 0;
  virtual absl::Status DoPutSnapshot(uint64_t seq, std::string_view bytes) = 0;
  virtual absl::StatusOr<std::vector<uint64_t>> DoSnapshots() = 0;
  virtual absl::StatusOr<std::string> DoGetSnapshot(uint64_t seq) = 0;
  virtual absl::Status DoDropSnapshot(uint64_t seq) = 0;
  virtual absl::StatusOr<uint64_t> DoTrim(uint64_t max) = 0;
  virtual absl::Status DoBackfill(std::span<const v1::EndedJob> ended, bool complete) = 0;
  virtual absl::StatusOr<uint64_t> DoDropHistory(int64_t before, uint64_t max) = 0;
  Poison poison_;
  uint64_t tail_events_ = 0;  // as appended or loaded by this process
  uint64_t tail_bytes_ = 0;
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
  // The chunk is the visitor's to keep.
  using ChunkVisitor = std::function<absl::Status(v1::Chunk)>;
  virtual ~SampleStore() = default;

  // One transaction. A chunk that is there already is left as it is. Returns the mark of each
  // stream touched, in order of key.
  absl::StatusOr<std::vector<StreamMark>> PutChunks(std::span<const v1::Chunk> chunks);
  absl::StatusOr<uint64_t> Watermark(const StreamKey& key);  // 0 = nothing yet
  // Of all chunks of one attempt of a run, as stored.
  absl::StatusOr<uint64_t> BytesOf(uint64_t run, uint32_t attempt);
  // In order of kind, stream, seq; stops at the visitor's first error.
  absl::Status ForEachChunk(uint64_t run, uint32_t attempt, const ChunkVisitor& visit);

  // Retention. The first runs after this one, at most `max`, in order; none = no more. Does not
  // hold up ingest.
  enum class RunsWith { kChunks, kChunksOrReport };
  absl::StatusOr<std::vector<uint64_t>> NextRuns(uint64_t after, uint64_t max, RunsWith what);
  // At most `max` chunks of the run, in one transaction. Returns how many; 0 = it has none left.
  absl::StatusOr<uint64_t> DropChunks(uint64_t run, uint64_t max);
  // The run's report and watermarks. Its chunks must be gone.
  absl::Status DropReport(uint64_t run);
  // Bytes of the database that are in use, without what deleted rows have left free.
  absl::StatusOr<uint64_t> UsedBytes();
  // Gives up to `max` bytes that deleted rows left free back to the file system. Returns how many;
  // 0 = none are free, or this file was made before it could shrink and only uses them again.
  absl::StatusOr<uint64_t> Shrink(uint64_t max);

  // Restoring a backup, in one transaction: takes the cluster's new id, and removes the chunks with
  // their watermarks, and the reports, that are not wanted.
  struct Wanted {
    std::function<absl::StatusOr<bool>(uint64_t run, uint32_t attempt)> chunks;
    std::function<absl::StatusOr<bool>(uint64_t run)> report;
  };
  absl::Status Adopt(std::string_view cluster_id, const Wanted& wanted);

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
  virtual absl::StatusOr<std::vector<uint64_t>> DoNextRuns(uint64_t after, uint64_t max,
                                                           RunsWith what) = 0;
  virtual absl::StatusOr<uint64_t> DoDropChunks(uint64_t run, uint64_t max) = 0;
  virtual absl::Status DoDropReport(uint64_t run) = 0;
  virtual absl::StatusOr<uint64_t> DoUsedBytes() = 0;
  virtual absl::StatusOr<uint64_t> DoShrink(uint64_t max) = 0;
  virtual absl::Status DoAdopt(std::string_view cluster_id, const Wanted& wanted) = 0;
  virtual absl::Status DoPutReport(uint64_t run, std::string_view bytes) = 0;
  virtual absl::StatusOr<std::optional<std::string>> DoGetReport(uint64_t run) = 0;
  Poison poison_;
};

}  // namespace rackmark

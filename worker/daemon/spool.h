// Sealed chunks on disk until the coordinator has acked them: segment files per stream in one
// folder, bounded in total, reloaded after a restart. Owned by the daemon's loop thread, which is
// the only one to touch the folder (the daemon holds the data folder's lock).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"
#include "rackmark/v1/sample.pb.h"
#include "worker/daemon/stream_key.h"

namespace rackmark {

constexpr size_t kSegmentBytesMax = 4 << 20;
constexpr size_t kAsideMax = 4096;

class Spool {
 public:
  struct Options {
    std::string folder;
    std::string aside_folder;  // where refused and foreign chunks go, for people to look at
    uint64_t bytes_max = 1 << 30;
  };
  struct Stream {
    std::string cluster_id;
    uint64_t sealed_seq = 0;  // last one appended
    uint64_t acked_seq = 0;
    bool closed = false;  // the chunk marked `last` was appended
    bool drained() const { return closed && acked_seq == sealed_seq; }
  };

  // Reads what a former process left: a torn last record is dropped with a log line, a damaged or
  // foreign file is set aside.
  static absl::StatusOr<std::unique_ptr<Spool>> Open(Options options);
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  // RESOURCE_EXHAUSTED: over the bound or the disk is full; nothing is kept of the chunk then.
  // `share` of the bound that may be used: telemetry gets less of it than results.
  absl::Status Append(const v1::Chunk& chunk, double share);
  // From disk. DATA_LOSS if it is not there as it was written.
  absl::StatusOr<v1::Chunk> Read(const StreamKey& key, uint64_t seq) const;
  // Bytes of that record; seq must be in acked_seq + 1 .. sealed_seq.
  size_t SizeOf(const StreamKey& key, uint64_t seq) const;
  void Ack(const StreamKey& key, uint64_t seq);
  // Moves the stream's chunks to the aside folder and forgets it.
  void SetAside(const StreamKey& key, std::string_view reason);
  // All streams of other clusters.
  void SetAsideForeign(std::string_view cluster_id);
  // Of a stream without unacked chunks, or of one that was set aside.
  void Forget(const StreamKey& key);
  // Why it was set aside, until it is forgotten; empty if it was not, or nobody knows any more.
  std::string WhyAside(const StreamKey& key) const;
  absl::Status Sync();  // to the disk itself

  const std::map<StreamKey, Stream>& streams() const { return streams_; }
  uint64_t bytes() const { return bytes_; }
  uint64_t bytes_max() const { return options_.bytes_max; }

 private:
  struct Record {
    size_t offset;
    size_t size;
  };
  struct Segment {
    std::string path;
    uint64_t first_seq = 0;
    size_t bytes = 0;
    std::vector<Record> records;
    uint64_t last_seq() const { return first_seq + records.size() - 1; }
  };

  explicit Spool(Options options) : options_(std::move(options)) {}
  absl::Status Load();
  void LoadSegment(const std::string& path);
  void MoveAside(const std::string& path, std::string_view reason);
  const Segment* FindSegment(const StreamKey& key, uint64_t seq) const;

  const Options options_;
  std::map<StreamKey, Stream> streams_;
  std::map<StreamKey, std::deque<Segment>> segments_;
  std::map<StreamKey, std::string> aside_;  // at most kAsideMax
  uint64_t bytes_ = 0;
};

}  // namespace rackmark

// The open sample streams of this node: gathers what ranks and telemetry deliver, seals it into
// chunks (at 1 s, at 256 KiB, at the end) and gives them to the spool. What finds no room is
// dropped, telemetry before results, and counted. Loop thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/time.h"
#include "rackmark/v1/worker_api.pb.h"
#include "samples/chunk_codec.h"
#include "worker/daemon/spool.h"
#include "worker/daemon/stream_key.h"

namespace rackmark {

constexpr Nanos kSealInterval = kSecond;
// A drained stream stays in Reports that long after its lease, so that lost Reports and a restarted
// coordinator still hear that it is drained.
constexpr Nanos kReportLinger = 60 * kSecond;
constexpr size_t kSealBytes = 256 << 10;

// Whether the coordinator may still ask what became of a stream.
enum class Interest {
  kWanted,   // its run is the last one that its lease was told
  kPerhaps,  // nobody knows: Reports have it for kReportLinger more
  kOver,     // the coordinator has gone on to measure the next run
};

class SampleStreams {
 public:
  struct Provenance {
    std::string cluster_id;
    uint64_t node_id = 0;
    std::string boot_id;
  };
  explicit SampleStreams(Spool* spool) : spool_(spool) {}

  // Streams opened from here on belong there.
  void SetProvenance(Provenance provenance) { provenance_ = std::move(provenance); }
  // Nothing happens if it is known already, open or closed.
  void Open(const StreamKey& key);
  bool IsOpen(const StreamKey& key) const;
  // To an open stream; else it is counted and dropped.
  absl::Status Append(const StreamKey& key, const v1::ChunkPayload& payload, Nanos now);
  void Add(const StreamKey& key, SeriesId series, Nanos t_ns, double value);
  // Seals what is left, marked `last`.
  void Close(const StreamKey& key);
  // Seals what is due; tries again what found no room.
  void Tick(Nanos now);
  std::optional<Nanos> NextSeal() const;

  // One per stream that is open, unacked, or not yet dropped.
  std::vector<v1::StreamReport> Reports() const;
  // Drops what nobody needs any more, of what was drained (or set aside). `interest(key)`.
  template <typename Question>
  void Drop(Nanos now, Question interest);
  uint64_t orphan_payloads() const { return orphan_payloads_; }

 private:
  struct Open_ {
    Provenance provenance;
    v1::ChunkPayload payload;
    std::unique_ptr<PayloadBuilder> builder;
    size_t bytes = 0;            // of `payload`, about: the sum of what was appended
    std::optional<Nanos> since;  // of the first unsealed sample
    uint64_t next_seq = 1;
    uint64_t dropped_results = 0;
    uint64_t dropped_telemetry = 0;
    bool closing = false;
    bool closed = false;
    std::optional<Nanos> over_at;
  };
  void Renew(Open_* stream);
  void Seal(const StreamKey& key, Open_* stream);
  absl::Status TrySeal(const StreamKey& key, Open_* stream);
  static void DropTelemetry(Open_* stream, bool all_columns);
  static void DropResults(Open_* stream);

  Spool* spool_;
  Provenance provenance_;
  std::map<StreamKey, Open_> streams_;
  uint64_t orphan_payloads_ = 0;
};

template <typename Question>
void SampleStreams::Drop(Nanos now, Question interest) {
  for (auto it = streams_.begin(); it != streams_.end();) {
    Open_& stream = it->second;
    const auto spooled = spool_->streams().find(it->first);
    const bool gone = spooled == spool_->streams().end();  // refused, and set aside
    if (stream.closed && !stream.over_at && (gone || spooled->second.drained())) {
      stream.over_at = now;
    }
    const Interest left = stream.over_at ? interest(it->first) : Interest::kWanted;
    const bool lingers = left == Interest::kPerhaps && now - *stream.over_at < kReportLinger;
    if (left == Interest::kWanted || lingers) {
      ++it;
      continue;
    }
    spool_->Forget(it->first);
    it = streams_.erase(it);
  }
  // Streams of a former incarnation: nothing more will come, acked is enough.
  std::vector<StreamKey> finished;
  for (const auto& [key, stream] : spool_->streams()) {
    if (streams_.count(key) == 0 && stream.acked_seq == stream.sealed_seq) finished.push_back(key);
  }
  for (const StreamKey& key : finished) spool_->Forget(key);
}

}  // namespace rackmark

// Takes a run's chunks apart as they come, so that no payload outlives its AddChunk: what stays is
// 16 bytes for each point that the summary reads, and the requests. Chunks of a stream that come
// out of order wait for those before them. Pure; one owner.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "common/status.h"
#include "rackmark/v1/sample.pb.h"
#include "report/run_data.h"

namespace rackmark {

struct IntakeKey {
  v1::StreamKind kind = v1::STREAM_KIND_UNKNOWN;
  uint32_t stream = 0;
  bool operator<(const IntakeKey& o) const {
    return std::tie(kind, stream) < std::tie(o.kind, o.stream);
  }
};

struct StreamIntake {
  std::string boot_id;
  bool last = false;            // its last chunk came
  uint64_t first = UINT64_MAX;  // lowest seq so far: its node and boot are the stream's
  uint64_t taken = 0;           // chunks 1 to this are in `data`
  std::map<uint64_t, v1::ChunkPayload> early;  // by seq: a chunk before them has not come
  StreamData data;                             // on the stream's own clock

  // False if this seq came before.
  bool Add(const IntakeKey& key, uint64_t seq, v1::ChunkPayload payload);
  // No more will come: takes what waits for chunks that never came.
  void Close(const IntakeKey& key);
  // Seq counts from 1 without gaps, so that nothing waits unless one is missing.
  bool complete() const { return last && early.empty() && taken > 0; }
};
using Intake = std::map<IntakeKey, StreamIntake>;

}  // namespace rackmark

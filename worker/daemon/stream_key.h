// The name of one sample stream: what the spool, the window and the Report index by. A value.
#pragma once

#include <compare>
#include <cstdint>

#include "rackmark/v1/worker_api.pb.h"

namespace rackmark {

struct StreamKey {
  uint64_t run = 0;
  uint32_t attempt = 0;
  v1::StreamKind kind = v1::STREAM_KIND_UNKNOWN;
  uint32_t stream = 0;
  auto operator<=>(const StreamKey&) const = default;
};

inline StreamKey KeyOf(const v1::ChunkHeader& header) {
  return {header.run(), header.attempt(), header.kind(), header.stream()};
}
inline StreamKey KeyOf(const v1::Watermark& mark) {
  return {mark.run_id(), mark.attempt(), mark.kind(), mark.stream()};
}

}  // namespace rackmark

// Which chunks to send next: everything after the acked one, in order within a stream, in turns
// between streams, in bounded batches and a bounded window. Knows no gRPC. Loop thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "rackmark/v1/worker_api.pb.h"
#include "worker/daemon/spool.h"
#include "worker/daemon/stream_key.h"

namespace rackmark {

constexpr size_t kWindowBytesMax = 8 << 20;  // sent and not acked

class PushWindow {
 public:
  explicit PushWindow(Spool* spool) : spool_(spool) {}

  // A new connection: nothing is in flight, everything unacked is sent again.
  void Reset();
  // Chunks only; missing if there is nothing to send now. Streams of other clusters never go out.
  std::optional<v1::SampleBatch> NextBatch(std::string_view cluster_id);
  // Frees what is acked; a refused stream is set aside.
  void OnAck(const v1::Watermark& mark);
  size_t in_flight() const { return in_flight_; }

 private:
  std::optional<StreamKey> NextStream(std::string_view cluster_id) const;
  // The stream's chunks up to this one need not be sent (again) over this connection.
  uint64_t DoneOf(const StreamKey& key, const Spool::Stream& stream) const;
  // The stream's chunks after the acked one, up to `upto`, are no longer in flight.
  void Release(const StreamKey& key, uint64_t upto);

  Spool* spool_;
  std::map<StreamKey, uint64_t> sent_;  // last one sent over this connection
  size_t in_flight_ = 0;
  StreamKey last_;  // the stream that was served last
};

}  // namespace rackmark

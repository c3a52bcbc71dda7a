// Packs and unpacks chunks of samples: the format that spool, wire and database share. Pure: bytes
// in, bytes out. Any thread. A chunk is untrusted input: unpacking checks format, bounds and
// checksum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "common/series.h"
#include "common/status.h"
#include "rackmark/v1/sample.pb.h"

namespace rackmark {

constexpr uint32_t kChunkFormat = 1;
constexpr size_t kChunkRawBytesMax = 16 << 20;

// header.format is set here; everything else in it is the caller's.
absl::StatusOr<v1::Chunk> PackChunk(v1::ChunkHeader header, const v1::ChunkPayload& payload);

// INVALID_ARGUMENT: another format or codec; DATA_LOSS: checksum, size or contents are wrong.
absl::StatusOr<v1::ChunkPayload> UnpackChunk(const v1::Chunk& chunk);

// Only what can be checked without unpacking: format, codec, sizes, checksum. What ingest does.
absl::Status CheckChunk(const v1::Chunk& chunk);

// Of the library that packs, as it runs.
std::string ZstdVersion();

// IEEE CRC-32.
uint32_t Crc32(std::string_view bytes);

// Adds points to a payload, one column per series, with the dictionary and time deltas kept right.
// Belongs to one thread; the payload must outlive it and must be empty at the start or come from
// another builder.
class PayloadBuilder {
 public:
  explicit PayloadBuilder(v1::ChunkPayload* payload);
  // Stamps may go back within a series (deltas are signed); seldom is cheaper.
  void Add(SeriesId series, int64_t t_ns, double value);
  // Appends all columns, records, sketches and counters of another payload.
  absl::Status Append(const v1::ChunkPayload& other);

 private:
  v1::Column* ColumnFor(std::string_view name, int64_t t0_ns);
  struct Open {
    int column;
    int64_t last_ns;
  };
  v1::ChunkPayload* payload_;
  std::map<std::string, Open, std::less<>> open_;
};

// Calls f(t_ns, value) for each point of a column; false if the column is malformed.
template <typename F>
bool ForEachPoint(const v1::Column& column, F f) {
  if (column.t_delta_ns_size() != column.value_size()) return false;
  int64_t t = column.t0_ns();
  for (int i = 0; i < column.value_size(); ++i) {
    t += column.t_delta_ns(i);
    f(t, column.value(i));
  }
  return true;
}

}  // namespace rackmark

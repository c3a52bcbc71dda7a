// The bytes of a spool segment: an 8-byte header that carries the format's version, then records of
// 4 bytes length, 4 bytes CRC-32 (both little-endian) and a serialised Chunk. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"
#include "rackmark/v1/sample.pb.h"

namespace rackmark {

inline constexpr std::string_view kSpoolHeader{"RMSPOOL\x01", 8};
constexpr size_t kRecordPrefix = 8;

std::string EncodeRecord(const v1::Chunk& chunk);

// One record's bytes, as EncodeRecord made them.
absl::StatusOr<v1::Chunk> DecodeRecord(std::string_view record);

struct SegmentRecord {
  size_t offset = 0;
  size_t size = 0;  // with its prefix
  v1::ChunkHeader header;
};
struct SegmentScan {
  std::vector<SegmentRecord> records;
  size_t good_bytes = 0;  // what a repaired segment keeps
  size_t torn_bytes = 0;  // after it: a record that was being written at the end
  bool corrupt = false;   // what follows good_bytes is more than a torn last record
};
// INVALID_ARGUMENT: not a spool segment, or of another version. A header cut short is torn.
absl::StatusOr<SegmentScan> ScanSegment(std::string_view bytes);

}  // namespace rackmark

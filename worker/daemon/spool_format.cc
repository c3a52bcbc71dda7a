#include "worker/daemon/spool_format.h"

#include "common/text.h"
#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

void PutWord(uint32_t value, std::string* out) {
  for (int shift = 0; shift < 32; shift += 8) *out += static_cast<char>((value >> shift) & 0xff);
}

uint32_t GetWord(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) {
    value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  }
  return value;
}

}  // namespace

std::string EncodeRecord(const v1::Chunk& chunk) {
  const std::string body = chunk.SerializeAsString();
  std::string record;
  record.reserve(kRecordPrefix + body.size());
  PutWord(static_cast<uint32_t>(body.size()), &record);
  PutWord(Crc32(body), &record);
  return record + body;
}

absl::StatusOr<v1::Chunk> DecodeRecord(std::string_view record) {
  if (record.size() < kRecordPrefix || GetWord(record) != record.size() - kRecordPrefix) {
    return absl::DataLossError("spool record has another length than it states");
  }
  const std::string_view body = record.substr(kRecordPrefix);
  if (Crc32(body) != GetWord(record.substr(4))) {
    return absl::DataLossError("spool record's checksum does not match");
  }
  v1::Chunk chunk;
  if (!chunk.ParseFromArray(body.data(), static_cast<int>(body.size()))) {
    return absl::DataLossError("spool record is no chunk");
  }
  return chunk;
}

absl::StatusOr<SegmentScan> ScanSegment(std::string_view bytes) {
  SegmentScan scan;
  if (bytes.size() < kSpoolHeader.size() && bytes == kSpoolHeader.substr(0, bytes.size())) {
    scan.torn_bytes = bytes.size();
    return scan;
  }
  if (bytes.substr(0, kSpoolHeader.size()) != kSpoolHeader) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a spool segment of version 1: it begins with '",
                     EscapeControl(bytes.substr(0, kSpoolHeader.size())), "'"));
  }
  size_t at = kSpoolHeader.size();
  while (at < bytes.size()) {
    const std::string_view rest = bytes.substr(at);
    if (rest.size() < kRecordPrefix || rest.size() - kRecordPrefix < GetWord(rest)) break;
    const size_t size = kRecordPrefix + GetWord(rest);
    auto chunk = DecodeRecord(rest.substr(0, size));
    if (!chunk.ok()) {
      // A bad record that ends the file was being written; one with more behind it was damaged.
      scan.corrupt = size < rest.size();
      break;
    }
    scan.records.push_back({at, size, std::move(*chunk->mutable_header())});
    at += size;
  }
  scan.good_bytes = at;
  scan.torn_bytes = bytes.size() - at;
  return scan;
}

}  // namespace rackmark

#include "samples/chunk_codec.h"

#include <zstd.h>

#include <array>
#include <utility>

namespace rackmark {
namespace {

constexpr int kZstdLevel = 1;  // the uplink shares cores with ranks

// Eight bytes at a step, because ingest checks every chunk: tables[n][b] is what byte b adds when n
// more bytes follow it.
using CrcTables = std::array<std::array<uint32_t, 256>, 8>;

constexpr CrcTables MakeCrcTables() {
  CrcTables tables{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1U) != 0 ? 0xedb88320U ^ (c >> 1) : c >> 1;
    tables[0][i] = c;
  }
  for (size_t n = 1; n < tables.size(); ++n) {
    for (uint32_t i = 0; i < 256; ++i) {
      const uint32_t before = tables[n - 1][i];
      tables[n][i] = tables[0][before & 0xffU] ^ (before >> 8);
    }
  }
  return tables;
}

// 73 years: no clock gets there, and differences of two stamps stay far from overflow.
constexpr int64_t kStampMax = int64_t{1} << 61;

bool IsStamp(int64_t t_ns) { return t_ns >= -kStampMax && t_ns <= kStampMax; }

// Whether `t0_ns` and all stamps that the deltas lead to are stamps.
bool AreStamps(int64_t t0_ns, const google::protobuf::RepeatedField<int64_t>& deltas) {
  if (!IsStamp(t0_ns)) return false;
  int64_t t = t0_ns;
  for (const int64_t delta : deltas) {
    if (__builtin_add_overflow(t, delta, &t) || !IsStamp(t)) return false;
  }
  return true;
}

bool HasStamps(const v1::RequestRecord& request) {
  return IsStamp(request.t_sched_ns()) && IsStamp(request.t_issue_ns()) &&
         IsStamp(request.t_connected_ns()) && IsStamp(request.t_sent_ns()) &&
         IsStamp(request.t_first_byte_ns()) && IsStamp(request.t_first_visible_ns()) &&
         IsStamp(request.t_last_ns()) && IsStamp(request.t_end_ns()) &&
         AreStamps(request.t_first_token_ns(), request.token_delta_ns());
}

absl::Status CheckPayload(const v1::ChunkPayload& payload) {
  for (const v1::Column& column : payload.columns()) {
    if (column.name() >= static_cast<uint32_t>(payload.dictionary_size())) {
      return absl::DataLossError("a column's name is not in the chunk's dictionary");
    }
    if (column.t_delta_ns_size() != column.value_size()) {
      return absl::DataLossError("a column has not as many stamps as values");
    }
    if (!AreStamps(column.t0_ns(), column.t_delta_ns())) {
      return absl::DataLossError("a column has a stamp that no clock shows");
    }
  }
  for (const v1::RequestRecord& request : payload.requests()) {
    if (!HasStamps(request)) {
      return absl::DataLossError("a request has a stamp that no clock shows");
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::string ZstdVersion() { return ZSTD_versionString(); }

uint32_t Crc32(std::string_view bytes) {
  static constexpr CrcTables kTables = MakeCrcTables();
  const auto at = [&bytes](size_t i) {
    return static_cast<uint32_t>(static_cast<uint8_t>(bytes[i]));
  };
  uint32_t crc = 0xffffffffU;
  for (; bytes.size() >= 8; bytes.remove_prefix(8)) {
    const uint32_t low = crc ^ (at(0) | at(1) << 8 | at(2) << 16 | at(3) << 24);
    crc = kTables[7][low & 0xffU] ^ kTables[6][low >> 8 & 0xffU] ^ kTables[5][low >> 16 & 0xffU] ^
          kTables[4][low >> 24] ^ kTables[3][at(4)] ^ kTables[2][at(5)] ^ kTables[1][at(6)] ^
          kTables[0][at(7)];
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    crc = kTables[0][(crc ^ at(i)) & 0xffU] ^ (crc >> 8);
  }
  return crc ^ 0xffffffffU;
}

absl::StatusOr<v1::Chunk> PackChunk(v1::ChunkHeader header, const v1::ChunkPayload& payload) {
  const std::string raw = payload.SerializeAsString();
  if (raw.size() > kChunkRawBytesMax) {
    return absl::ResourceExhaustedError(absl::StrCat("a chunk of ", raw.size(), " bytes is over ",
                                                     kChunkRawBytesMax, "; seal chunks earlier"));
  }
  std::string packed(ZSTD_compressBound(raw.size()), '\0');
  const size_t size =
      ZSTD_compress(packed.data(), packed.size(), raw.data(), raw.size(), kZstdLevel);
  if (ZSTD_isError(size) != 0) return absl::InternalError(ZSTD_getErrorName(size));
  packed.resize(size);
  header.set_format(kChunkFormat);
  v1::Chunk chunk;
  *chunk.mutable_header() = std::move(header);
  chunk.set_codec(v1::CODEC_ZSTD);
  chunk.set_raw_bytes(static_cast<uint32_t>(raw.size()));
  chunk.set_crc32(Crc32(packed));
  chunk.set_payload(std::move(packed));
  return chunk;
}

absl::Status CheckChunk(const v1::Chunk& chunk) {
  if (chunk.header().format() != kChunkFormat) {
    return absl::InvalidArgumentError(absl::StrCat("chunk format ", chunk.header().format(),
                                                   " is unknown; this build reads format ",
                                                   kChunkFormat));
  }
  if (chunk.codec() != v1::CODEC_ZSTD) {
    return absl::InvalidArgumentError(absl::StrCat("chunk codec ", chunk.codec(), " is unknown"));
  }
  if (chunk.raw_bytes() > kChunkRawBytesMax) {
    return absl::DataLossError(
        absl::StrCat("chunk claims ", chunk.raw_bytes(), " bytes, over ", kChunkRawBytesMax));
  }
  // No codec packs even nothing into nothing, but the checksum of nothing is 0: a cut-off chunk.
  if (chunk.payload().empty()) return absl::DataLossError("chunk has no payload");
  if (Crc32(chunk.payload()) != chunk.crc32()) {
    return absl::DataLossError("chunk checksum does not match its payload");
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::ChunkPayload> UnpackChunk(const v1::Chunk& chunk) {
  RETURN_IF_ERROR(CheckChunk(chunk));
  std::string raw(chunk.raw_bytes(), '\0');
  const size_t size =
      ZSTD_decompress(raw.data(), raw.size(), chunk.payload().data(), chunk.payload().size());
  if (ZSTD_isError(size) != 0 || size != raw.size()) {
    return absl::DataLossError("chunk payload does not unpack to its stated size");
  }
  v1::ChunkPayload payload;
  if (!payload.ParseFromString(raw)) return absl::DataLossError("chunk payload is no message");
  RETURN_IF_ERROR(CheckPayload(payload));
  return payload;
}

PayloadBuilder::PayloadBuilder(v1::ChunkPayload* payload) : payload_(payload) {
  for (int i = 0; i < payload->columns_size(); ++i) {
    const v1::Column& column = payload->columns(i);
    int64_t last = column.t0_ns();
    for (int64_t delta : column.t_delta_ns()) last += delta;
    open_[payload->dictionary(static_cast<int>(column.name()))] = {i, last};
  }
}

v1::Column* PayloadBuilder::ColumnFor(std::string_view name, int64_t t0_ns) {
  auto it = open_.find(name);
  if (it != open_.end()) return payload_->mutable_columns(it->second.column);
  v1::Column* column = payload_->add_columns();
  column->set_name(static_cast<uint32_t>(payload_->dictionary_size()));
  column->set_t0_ns(t0_ns);
  payload_->add_dictionary(std::string(name));
  open_[std::string(name)] = {payload_->columns_size() - 1, t0_ns};
  return column;
}

void PayloadBuilder::Add(SeriesId series, int64_t t_ns, double value) {
  const std::string_view name = Describe(series).name;
  v1::Column* column = ColumnFor(name, t_ns);
  Open& open = open_.find(name)->second;
  column->add_t_delta_ns(t_ns - open.last_ns);
  column->add_value(value);
  open.last_ns = t_ns;
}

absl::Status PayloadBuilder::Append(const v1::ChunkPayload& other) {
  RETURN_IF_ERROR(CheckPayload(other));
  for (const v1::Column& from : other.columns()) {
    const std::string& name = other.dictionary(static_cast<int>(from.name()));
    v1::Column* column = ColumnFor(name, from.t0_ns());
    Open& open = open_.find(name)->second;
    int64_t t = from.t0_ns();
    for (int i = 0; i < from.value_size(); ++i) {
      t += from.t_delta_ns(i);
      column->add_t_delta_ns(t - open.last_ns);
      column->add_value(from.value(i));
      open.last_ns = t;
    }
  }
  for (const v1::Sketch& sketch : other.sketches()) {
    if (sketch.name() >= static_cast<uint32_t>(other.dictionary_size())) {
      return absl::DataLossError("a sketch's name is not in the chunk's dictionary");
    }
    *payload_->add_sketches() = sketch;
    payload_->mutable_sketches()->rbegin()->set_name(
        static_cast<uint32_t>(payload_->dictionary_size()));
    payload_->add_dictionary(other.dictionary(static_cast<int>(sketch.name())));
  }
  payload_->mutable_requests()->MergeFrom(other.requests());
  payload_->set_dropped_results(payload_->dropped_results() + other.dropped_results());
  payload_->set_dropped_telemetry(payload_->dropped_telemetry() + other.dropped_telemetry());
  return absl::OkStatus();
}

}  // namespace rackmark

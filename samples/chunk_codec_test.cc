// The codec that spool, wire and database share: what goes in comes out, and nothing else does.
#include "samples/chunk_codec.h"

#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace rackmark {
namespace {

using ::google::protobuf::util::MessageDifferencer;
using ::testing::HasSubstr;
using ::testing::Pair;

v1::ChunkHeader Header() {
  v1::ChunkHeader header;
  header.set_cluster_id("0123456789abcdef0123456789abcdef");
  header.set_run(7);
  header.set_attempt(1);
  header.set_kind(v1::STREAM_KIND_RANK);
  header.set_seq(3);
  return header;
}

v1::ChunkPayload Payload() {
  v1::ChunkPayload payload;
  PayloadBuilder builder(&payload);
  builder.Add(SeriesId::kStepCompute, 1000, 0.5);
  builder.Add(SeriesId::kRankRss, 1500, 4096);
  builder.Add(SeriesId::kStepCompute, 2500, 0.25);
  builder.Add(SeriesId::kStepCompute, 2000, 0.75);  // stamps may go back
  payload.add_requests()->set_index(9);
  payload.set_dropped_telemetry(2);
  return payload;
}

std::vector<std::pair<int64_t, double>> Points(const v1::ChunkPayload& payload, SeriesId id) {
  std::vector<std::pair<int64_t, double>> out;
  for (const v1::Column& column : payload.columns()) {
    if (payload.dictionary(static_cast<int>(column.name())) != Describe(id).name) continue;
    EXPECT_TRUE(ForEachPoint(column, [&](int64_t t, double v) { out.emplace_back(t, v); }));
  }
  return out;
}

TEST(ChunkCodec, RoundTrip) {
  const auto chunk = PackChunk(Header(), Payload());
  ASSERT_TRUE(chunk.ok()) << chunk.status();
  EXPECT_EQ(chunk->header().format(), kChunkFormat);
  const auto back = UnpackChunk(*chunk);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_TRUE(MessageDifferencer::Equals(*back, Payload()));
  EXPECT_THAT(Points(*back, SeriesId::kStepCompute),
              testing::ElementsAre(Pair(1000, 0.5), Pair(2500, 0.25), Pair(2000, 0.75)));
}

TEST(ChunkCodec, AnEmptyChunkIsAChunk) {
  const auto chunk = PackChunk(Header(), {});
  ASSERT_TRUE(chunk.ok());
  EXPECT_TRUE(UnpackChunk(*chunk).ok());
}

TEST(ChunkCodec, AppendMergesColumnsRecordsAndCounters) {
  v1::ChunkPayload sum;
  PayloadBuilder builder(&sum);
  ASSERT_TRUE(builder.Append(Payload()).ok());
  ASSERT_TRUE(builder.Append(Payload()).ok());
  builder.Add(SeriesId::kStepCompute, 9000, 1);
  EXPECT_EQ(sum.columns_size(), 2);
  EXPECT_EQ(Points(sum, SeriesId::kStepCompute).size(), 7U);
  EXPECT_THAT(Points(sum, SeriesId::kStepCompute)[3], Pair(1000, 0.5));
  EXPECT_THAT(Points(sum, SeriesId::kStepCompute)[6], Pair(9000, 1));
  EXPECT_EQ(sum.requests_size(), 2);
  EXPECT_EQ(sum.dropped_telemetry(), 4U);
}

TEST(ChunkCodec, AppendRefusesColumnsThatPointNowhere) {
  v1::ChunkPayload bad;
  bad.add_columns()->set_name(4);
  v1::ChunkPayload sum;
  EXPECT_EQ(PayloadBuilder(&sum).Append(bad).code(), absl::StatusCode::kDataLoss);
}

TEST(ChunkCodec, ABuilderContinuesAnothersPayload) {
  v1::ChunkPayload payload = Payload();
  PayloadBuilder(&payload).Add(SeriesId::kStepCompute, 5000, 2);
  EXPECT_THAT(Points(payload, SeriesId::kStepCompute)[3], Pair(5000, 2));
}

// Every byte of the stored form, changed to several other values: an error, or the same data (a
// flipped bit in a header field that the codec does not own). Never a crash, never other samples.
TEST(ChunkCodec, NoCorruptByteBecomesOtherData) {
  const v1::Chunk chunk = *PackChunk(Header(), Payload());
  const std::string bytes = chunk.SerializeAsString();
  int refused = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const int flip : {0x01, 0x10, 0x80, 0xff}) {
      std::string broken = bytes;
      broken[i] = static_cast<char>(broken[i] ^ flip);
      v1::Chunk parsed;
      if (!parsed.ParseFromString(broken)) {
        ++refused;
        continue;
      }
      const auto payload = UnpackChunk(parsed);
      if (!payload.ok()) {
        ++refused;
      } else {
        EXPECT_TRUE(MessageDifferencer::Equals(*payload, Payload())) << "byte " << i;
      }
    }
  }
  EXPECT_GT(refused, static_cast<int>(chunk.payload().size()) * 4);
}

TEST(ChunkCodec, EveryCutIsAnErrorOrTheSame) {
  const std::string bytes = PackChunk(Header(), Payload())->SerializeAsString();
  for (size_t size = 0; size < bytes.size(); ++size) {
    v1::Chunk parsed;
    if (!parsed.ParseFromString(bytes.substr(0, size))) continue;
    EXPECT_FALSE(UnpackChunk(parsed).ok()) << "cut at " << size;
  }
}

TEST(ChunkCodec, OtherFormatsAndCodecsAreRefusedByNumber) {
  v1::Chunk chunk = *PackChunk(Header(), Payload());
  chunk.mutable_header()->set_format(2);
  EXPECT_EQ(UnpackChunk(chunk).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(UnpackChunk(chunk).status().message()), HasSubstr("format 2"));
  chunk.mutable_header()->set_format(kChunkFormat);
  chunk.set_codec(v1::CODEC_UNKNOWN);
  EXPECT_THAT(std::string(CheckChunk(chunk).message()), HasSubstr("codec 0"));
}

TEST(ChunkCodec, SizeClaimsAreBounded) {
  v1::Chunk chunk = *PackChunk(Header(), Payload());
  chunk.set_raw_bytes(kChunkRawBytesMax + 1);
  EXPECT_EQ(UnpackChunk(chunk).status().code(), absl::StatusCode::kDataLoss);
  chunk.set_raw_bytes(1);
  EXPECT_EQ(UnpackChunk(chunk).status().code(), absl::StatusCode::kDataLoss);
  v1::ChunkPayload huge;
  huge.add_dictionary(std::string(kChunkRawBytesMax, 'x'));
  EXPECT_EQ(PackChunk(Header(), huge).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(ChunkCodec, StampsThatWouldOverflowAreRefused) {
  v1::ChunkPayload payload = Payload();
  payload.mutable_columns(0)->set_t_delta_ns(1, INT64_MAX);
  EXPECT_EQ(UnpackChunk(*PackChunk(Header(), payload)).status().code(),
            absl::StatusCode::kDataLoss);
  v1::ChunkPayload merged;
  EXPECT_EQ(PayloadBuilder(&merged).Append(payload).code(), absl::StatusCode::kDataLoss);
  payload = Payload();
  payload.mutable_columns(0)->set_t0_ns(INT64_MIN);
  EXPECT_FALSE(UnpackChunk(*PackChunk(Header(), payload)).ok());
  payload = Payload();
  v1::RequestRecord* request = payload.add_requests();
  request->set_t_sched_ns(INT64_MIN);
  request->set_t_first_token_ns(1);
  EXPECT_FALSE(UnpackChunk(*PackChunk(Header(), payload)).ok());
  request->set_t_sched_ns(-1);  // a clock of the future may start elsewhere
  EXPECT_TRUE(UnpackChunk(*PackChunk(Header(), payload)).ok());
}

TEST(Crc32, KnownAnswer) { EXPECT_EQ(Crc32("123456789"), 0xcbf43926U); }

// Bit by bit, as the polynomial says.
TEST(Crc32, EveryLengthAgreesWithTheDefinition) {
  std::string bytes;
  for (uint32_t n = 0; n < 100; ++n) {
    uint32_t crc = 0xffffffffU;
    for (char c : bytes) {
      crc ^= static_cast<uint8_t>(c);
      for (int bit = 0; bit < 8; ++bit) crc = (crc & 1U) != 0 ? 0xedb88320U ^ (crc >> 1) : crc >> 1;
    }
    EXPECT_EQ(Crc32(bytes), crc ^ 0xffffffffU) << n;
    bytes.push_back(static_cast<char>(n * 151 + 7));
  }
}

}  // namespace
}  // namespace rackmark

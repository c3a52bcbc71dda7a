#include "coordinator/store/store.h"

#include <memory>
#include <utility>

#include "google/protobuf/message.h"

namespace rackmark {
namespace {

constexpr uint32_t kEventFormat = 1;

// What serialises may still not parse, such as a string that is no UTF-8; and a log with such an
// event in it loads never again. The process that made it must go, the log stays whole.
absl::Status CheckReadsBack(const google::protobuf::Message& message) {
  const std::string bytes = message.SerializeAsString();
  const std::unique_ptr<google::protobuf::Message> read(message.New());
  if (read->ParseFromString(bytes)) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(
      "a ", message.GetDescriptor()->name(), " of ", bytes.size(),
      " bytes could not be read again, so it is not written; restart the coordinator, and report "
      "this as a bug"));
}

}  // namespace

bool MayPass(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsAborted(status) ||
         absl::IsDeadlineExceeded(status) || absl::IsResourceExhausted(status);
}

absl::Status Poison::Check() const {
  if (!poisoned_) return absl::OkStatus();
  return absl::AbortedError(
      "an earlier write to the data folder failed, so what is on disk is unknown; restart the "
      "coordinator");
}

absl::Status Poison::Watch(absl::Status status) {
  if (!status.ok()) poisoned_ = true;
  return status;
}

absl::Status EventStore::Append(std::span<const v1::Event> events,
                                std::span<const v1::EndedJob> ended) {
  RETURN_IF_ERROR(poison_.Check());
  uint64_t expected = last_seq() + 1;
  for (const v1::Event& event : events) {
    RACKMARK_CHECK(event.seq() == expected);
    RACKMARK_CHECK(event.format() == kEventFormat);
    ++expected;
  }
  RACKMARK_CHECK(!events.empty() || ended.empty());
  if (events.empty()) return absl::OkStatus();
  for (const v1::Event& event : events) RETURN_IF_ERROR(CheckReadsBack(event));
  for (const v1::EndedJob& job : ended) RETURN_IF_ERROR(CheckReadsBack(job));
  RETURN_IF_ERROR(poison_.Watch(DoAppend(events, ended)));
  for (const v1::Event& event : events) tail_bytes_ += event.ByteSizeLong();
  tail_events_ += events.size();
  return absl::OkStatus();
}

absl::Status EventStore::PutSnapshot(std::string_view bytes) {
  RETURN_IF_ERROR(poison_.Check());
  const absl::Status put = DoPutSnapshot(last_seq(), bytes);
  if (!put.ok() && !absl::IsOutOfRange(put)) return poison_.Watch(put);
  tail_events_ = 0;
  tail_bytes_ = 0;
  return put;
}

absl::StatusOr<std::vector<uint64_t>> EventStore::Snapshots() {
  RETURN_IF_ERROR(poison_.Check());
  return DoSnapshots();
}

absl::StatusOr<std::string> EventStore::GetSnapshot(uint64_t seq) {
  RETURN_IF_ERROR(poison_.Check());
  return DoGetSnapshot(seq);
}

absl::Status EventStore::DropSnapshot(uint64_t seq) {
  RETURN_IF_ERROR(poison_.Check());
  return poison_.Watch(DoDropSnapshot(seq));
}

absl::StatusOr<uint64_t> EventStore::Trim(uint64_t max) {
  RETURN_IF_ERROR(poison_.Check());
  return poison_.Watch(DoTrim(max));
}

absl::Status EventStore::Backfill(std::span<const v1::EndedJob> ended, bool complete) {
  RETURN_IF_ERROR(poison_.Check());
  return poison_.Watch(DoBackfill(ended, complete));
}

absl::StatusOr<uint64_t> EventStore::DropHistory(int64_t ended_before_unix_ns, uint64_t max) {
  RETURN_IF_ERROR(poison_.Check());
  return poison_.Watch(DoDropHistory(ended_before_unix_ns, max));
}

absl::Status EventStore::Load(uint64_t from_seq, const EventVisitor& visit) {
  RETURN_IF_ERROR(poison_.Check());
  uint64_t expected = from_seq;
  tail_events_ = 0;
  tail_bytes_ = 0;
  RETURN_IF_ERROR(DoLoad(from_seq, [&](const v1::Event& event) -> absl::Status {
    if (event.format() != kEventFormat) {
      return absl::DataLossError(absl::StrCat("event ", expected, " has format ", event.format(),
                                              ", this build reads ", kEventFormat));
    }
    if (event.seq() != expected) {
      return absl::DataLossError(
          absl::StrCat("event ", expected, " is missing from the log: found ", event.seq()));
    }
    ++expected;
    ++tail_events_;
    tail_bytes_ += event.ByteSizeLong();
    return visit(event);
  }));
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> EventStore::FirstSeq() {
  RETURN_IF_ERROR(poison_.Check());
  uint64_t first = 0;
  const absl::Status read = DoLoad(0, [&first](const v1::Event& event) {
    first = event.seq();
    return absl::CancelledError("one is enough");
  });
  if (first == 0) RETURN_IF_ERROR(read);
  return first;
}

StreamKey KeyOf(const v1::ChunkHeader& header) {
  return {header.run(), header.attempt(), header.kind(), header.stream()};
}

absl::StatusOr<std::vector<StreamMark>> SampleStore::PutChunks(std::span<const v1::Chunk> chunks) {
  RETURN_IF_ERROR(poison_.Check());
  return poison_.Watch(DoPutChunks(chunks));
}

absl::StatusOr<uint64_t> SampleStore::Watermark(const StreamKey& key) {
  RETURN_IF_ERROR(poison_.Check());
  return DoWatermark(key);
}

absl::StatusOr<uint64_t> SampleStore::BytesOf(uint64_t run, uint32_t attempt) {
  RETURN_IF_ERROR(poison_.Check());
  return DoBytesOf(run, attempt);
}

absl::Status SampleStore::ForEachChunk(uint64_t run, uint32_t attempt, const ChunkVisitor& visit) {
  RETURN_IF_ERROR(poison_.Check());
  return DoForEachChunk(run, attempt, visit);
}

absl::StatusOr<std::vector<uint64_t>> SampleStore::NextRuns(uint64_t after, uint64_t max,
                                                            RunsWith what) {
  RETURN_IF_ERROR(poison_.Check());
  return DoNextRuns(after, max, what);
}

absl::StatusOr<uint64_t> SampleStore::DropChunks(uint64_t run, uint64_t max) {
  RETURN_IF_ERROR(poison_.Check());
  return poison_.Watch(DoDropChunks(run, max));
}

absl::Status SampleStore::DropReport(uint64_t run) {
  RETURN_IF_ERROR(poison_.Check());
  return poison_.Watch(DoDropReport(run));
}

absl::StatusOr<uint64_t> SampleStore::UsedBytes() {
  RETURN_IF_ERROR(poison_.Check());
  return DoUsedBytes();
}

absl::StatusOr<uint64_t> SampleStore::Shrink(uint64_t max) {
  RETURN_IF_ERROR(poison_.Check());
  return poison_.Watch(DoShrink(max));
}

absl::Status SampleStore::Adopt(std::string_view cluster_id, const Wanted& wanted) {
  RETURN_IF_ERROR(poison_.Check());
  return poison_.Watch(DoAdopt(cluster_id, wanted));
}

absl::Status SampleStore::PutReport(uint64_t run, std::string_view bytes) {
  RETURN_IF_ERROR(poison_.Check());
  return poison_.Watch(DoPutReport(run, bytes));
}

absl::StatusOr<std::optional<std::string>> SampleStore::GetReport(uint64_t run) {
  RETURN_IF_ERROR(poison_.Check());
  return DoGetReport(run);
}

}  // namespace rackmark

#include "coordinator/store/store.h"

#include <utility>

namespace rackmark {
namespace {

constexpr uint32_t kEventFormat = 1;

}  // namespace

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

absl::Status EventStore::Append(std::span<const v1::Event> events) {
  RETURN_IF_ERROR(poison_.Check());
  uint64_t expected = last_seq() + 1;
  for (const v1::Event& event : events) {
    RACKMARK_CHECK(event.seq() == expected);
    RACKMARK_CHECK(event.format() == kEventFormat);
    ++expected;
  }
  if (events.empty()) return absl::OkStatus();
  return poison_.Watch(DoAppend(events));
}

absl::Status EventStore::Load(uint64_t from_seq, const EventVisitor& visit) {
  RETURN_IF_ERROR(poison_.Check());
  uint64_t expected = from_seq;
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
    return visit(event);
  }));
  return absl::OkStatus();
}

StreamKey KeyOf(const v1::ChunkHeader& header) {
  return {header.run(), header.attempt(), header.kind(), header.stream()};
}

absl::StatusOr<std::vector<StreamMark>> SampleStore::PutChunks(std::span<const v1::Chunk> chunks) {
  RETURN_IF_ERROR(poison_.Check());
  auto marks = DoPutChunks(chunks);
  RETURN_IF_ERROR(poison_.Watch(marks.status()));
  return marks;
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

absl::Status SampleStore::PutReport(uint64_t run, std::string_view bytes) {
  RETURN_IF_ERROR(poison_.Check());
  return poison_.Watch(DoPutReport(run, bytes));
}

absl::StatusOr<std::optional<std::string>> SampleStore::GetReport(uint64_t run) {
  RETURN_IF_ERROR(poison_.Check());
  return DoGetReport(run);
}

}  // namespace rackmark

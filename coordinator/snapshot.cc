#include "coordinator/snapshot.h"

#include <algorithm>
#include <span>
#include <vector>

#include "common/log.h"
#include "coordinator/core/decide.h"
#include "coordinator/core/record.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace rackmark {

std::string SnapshotBytes(const HardState& hard) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream sink(&bytes);
    google::protobuf::io::CodedOutputStream out(&sink);
    out.SetSerializationDeterministic(true);  // labels of jobs have no order of their own
    RACKMARK_CHECK(TakeSnapshot(hard).SerializeToCodedStream(&out));
  }
  return bytes;
}

absl::StatusOr<HardState> ReadSnapshot(EventStore& events, uint64_t seq) {
  ASSIGN_OR_RETURN(const std::string bytes, events.GetSnapshot(seq));
  v1::Snapshot snapshot;
  if (!snapshot.ParseFromString(bytes) || snapshot.seq() != seq) {
    return absl::DataLossError(absl::StrCat("snapshot ", seq, " of the event log is damaged"));
  }
  return FromSnapshot(snapshot);
}

namespace {

// The seq of the newest snapshot that is whole, now in State; 0 = there is none. Those that are not
// are added to `damaged`.
absl::StatusOr<uint64_t> LoadNewest(EventStore& events, State& state,
                                    std::vector<uint64_t>& damaged) {
  ASSIGN_OR_RETURN(const std::vector<uint64_t> seqs, events.Snapshots());
  for (const uint64_t seq : seqs) {
    auto hard = ReadSnapshot(events, seq);
    if (hard.ok()) {
      state.hard = *std::move(hard);
      return seq;
    }
    Log(LogLevel::kWarning, absl::StrCat(hard.status().message(), "; using what is before it"));
    damaged.push_back(seq);
  }
  return 0;
}

absl::Status FillHistory(EventStore& events, std::span<const v1::EndedJob> ended) {
  constexpr size_t kPortion = 256;
  for (size_t at = 0; at < ended.size(); at += kPortion) {
    const size_t count = std::min(kPortion, ended.size() - at);
    RETURN_IF_ERROR(events.Backfill(ended.subspan(at, count), false));
  }
  return events.Backfill({}, true);
}

}  // namespace

absl::Status RecoverState(EventStore& events, State& state) {
  std::vector<uint64_t> damaged;
  ASSIGN_OR_RETURN(const uint64_t snapshot, LoadNewest(events, state, damaged));
  std::vector<v1::EndedJob> ended;
  const bool fill = !events.history_complete();
  RETURN_IF_ERROR(events.Load(snapshot + 1, [&](const v1::Event& event) {
    return Replay(state, event, fill ? &ended : nullptr);
  }));
  if (state.hard.last_seq != events.last_seq()) {
    return absl::DataLossError("the event log lacks its end; restore events.db from a backup");
  }
  // Only now, with State whole without them. Left alone, one of them would be the older of the two
  // behind which the log is cut.
  for (const uint64_t seq : damaged) RETURN_IF_ERROR(events.DropSnapshot(seq));
  return fill ? FillHistory(events, ended) : absl::OkStatus();
}

}  // namespace rackmark

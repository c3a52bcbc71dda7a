#include <cstring>
#include <utility>

#include "kernels/collective_shm.h"
#include "kernels/shm_layout.h"

namespace rackmark {
namespace {

using shm_internal::Header;
using shm_internal::RingSlot;
using shm_internal::SharedWord;

class ShmChannel : public HostChannel {
 public:
  explicit ShmChannel(std::shared_ptr<ShmSegment> segment)
      : segment_(std::move(segment)), header_(segment_->header()) {}

  int rank() const override { return segment_->rank(); }
  int world() const override { return segment_->world(); }

  absl::StatusOr<Nanos> Send(std::string_view message, Nanos limit) override {
    RACKMARK_CHECK(rank() == 0);
    if (message.size() > kHostMessageMax) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a host channel message has at most ", kHostMessageMax, " bytes, not ", message.size()));
    }
    const Nanos start = SystemClock().Monotonic();
    for (int r = 1; r < world(); ++r) RETURN_IF_ERROR(AwaitRoom(r, start + limit));
    RETURN_IF_ERROR(CheckAlive());
    RingSlot& slot = header_.ring[count_ % shm_internal::kRingSlots];
    slot.bytes = static_cast<uint32_t>(message.size());
    if (!message.empty()) std::memcpy(slot.data, message.data(), message.size());
    header_.sent.value.store(++count_);
    shm_internal::WakeSleepers(header_.sent);
    return SystemClock().Monotonic() - start;
  }

  absl::StatusOr<Nanos> Receive(std::string& message, Nanos limit) override {
    RACKMARK_CHECK(rank() != 0);
    RETURN_IF_ERROR(CheckAlive());
    const Nanos start = SystemClock().Monotonic();
    while (header_.sent.value.load() == count_) {
      const absl::Status status =
          shm_internal::WaitWhile(header_, header_.sent, count_, start + limit, segment_->spins());
      if (absl::IsDeadlineExceeded(status)) {
        return absl::DeadlineExceededError(
            absl::StrCat("no message from rank 0 in ", FormatDuration(limit)));
      }
      if (!status.ok()) return CheckAlive();
    }
    const Nanos wait = SystemClock().Monotonic() - start;
    const RingSlot& slot = header_.ring[count_ % shm_internal::kRingSlots];
    if (slot.bytes > kHostMessageMax) return absl::InternalError("host channel: damaged ring");
    message.assign(slot.data, slot.bytes);
    SharedWord& taken = header_.ranks[rank()].taken;
    taken.value.store(++count_);
    shm_internal::WakeSleepers(taken);
    return wait;
  }

 private:
  absl::Status AwaitRoom(int reader, Nanos deadline) {
    SharedWord& taken = header_.ranks[reader].taken;
    while (true) {
      const uint32_t read = taken.value.load();
      if (count_ - read < shm_internal::kRingSlots) return absl::OkStatus();
      const absl::Status status =
          shm_internal::WaitWhile(header_, taken, read, deadline, segment_->spins());
      if (absl::IsDeadlineExceeded(status)) {
        return absl::DeadlineExceededError(
            absl::StrCat("host channel: rank ", reader, " is ", count_ - read, " messages behind"));
      }
      if (!status.ok()) return CheckAlive();
    }
  }

  absl::Status CheckAlive() const {
    const uint32_t by = header_.aborted_by.load();
    if (by == 0) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("host channel aborted by rank ", by - 1));
  }

  std::shared_ptr<ShmSegment> segment_;
  Header& header_;
  uint32_t count_ = 0;  // sent by rank 0, received by the others; wraps
};

}  // namespace

std::unique_ptr<HostChannel> MakeShmChannel(std::shared_ptr<ShmSegment> segment) {
  return std::make_unique<ShmChannel>(std::move(segment));
}

}  // namespace rackmark

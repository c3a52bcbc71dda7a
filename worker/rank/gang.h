// The ranks of one lease as this rank meets them: its address card, the proof that a transport is
// common to all, then the collective and the host channel. Used by the runner's thread; Abort and
// aborted by any. One Gang serves one communicator; after an abort it is of no more use.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "common/series.h"
#include "common/status.h"
#include "common/time.h"
#include "kernels/collective.h"
#include "kernels/collective_shm.h"
#include "kernels/host_channel.h"
#include "rackmark/v1/rank_frame.pb.h"
#include "rackmark/v1/worker_api.pb.h"
#include "worker/rank/accelerator.h"
#include "worker/rank/segment_name.h"

namespace rackmark {

// No call of a healthy gang takes this long; a hung peer is found by the daemon far earlier.
constexpr Nanos kMeetingLimit = 60 * kSecond;
constexpr Nanos kCollectiveLimit = 60 * kSecond;

// UNIMPLEMENTED, with the reason, unless shared memory can be common to both ranks.
absl::Status CheckCommonTransport(const v1::AddressCard& a, const v1::AddressCard& b);

class Gang {
 public:
  // Rank 0 of several makes the segment; `segment` outlives the gang, as does `accelerator`, which
  // is null in a program for CPU slots. UNIMPLEMENTED if the program is not one for this device.
  static absl::StatusOr<std::unique_ptr<Gang>> Create(const v1::RankInit& init,
                                                      SegmentName* segment,
                                                      Accelerator* accelerator);

  const v1::AddressCard& card() const { return card_; }
  uint32_t rank() const { return init_.rank(); }
  uint32_t world() const { return init_.world_size(); }
  const v1::Device& device() const { return init_.device(); }

  // Meets all others. `cards` holds at least rank 0's.
  absl::Status Connect(const std::vector<v1::AddressCard>& cards);

  // After Connect. The channel is null in a world of one, and between GPUs.
  Collective& collective() { return device_collective_ ? *device_collective_ : *collective_; }
  HostChannel* channel() { return channel_.get(); }
  absl::Status Barrier();
  TransportCode transport() const {
    if (accelerator_ != nullptr) return TransportCode::kNccl;
    return world() == 1 ? TransportCode::kSolo : TransportCode::kShm;
  }

  void Abort();
  bool aborted() const { return aborted_.load(std::memory_order_relaxed); }

 private:
  Gang(const v1::RankInit& init, SegmentName* segment_name, Accelerator* accelerator)
      : init_(init), segment_name_(segment_name), accelerator_(accelerator) {}
  absl::Status MakeCard();
  absl::Status Attach(const v1::AddressCard& leader);

  const v1::RankInit init_;
  SegmentName* const segment_name_;
  Accelerator* const accelerator_;  // null: a CPU slot
  v1::AddressCard card_;
  std::mutex segment_mutex_;  // Abort may come while Connect sets the pointer
  std::shared_ptr<ShmSegment> segment_;
  std::unique_ptr<Collective> collective_;
  Collective* device_collective_ = nullptr;  // the accelerator's
  std::unique_ptr<HostChannel> channel_;
  std::atomic<bool> aborted_{false};
};

}  // namespace rackmark

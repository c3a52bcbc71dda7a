// The ranks of one lease as this rank meets them: its address card, the proof that a transport is
// common to all, then the collective and the host channel. Used by the runner's thread; Abort and
// aborted by any. One Gang serves one communicator; after an abort it is of no more use.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/series.h"
#include "common/status.h"
#include "common/time.h"
#include "kernels/collective.h"
#include "kernels/host_channel.h"
#include "rackmark/v1/rank_frame.pb.h"
#include "rackmark/v1/worker_api.pb.h"
#include "worker/rank/accelerator.h"
#include "worker/rank/host_transport.h"
#include "worker/rank/segment_name.h"

namespace rackmark {

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

  // Meets all others; `cards` are everybody's.
  absl::Status Connect(const std::vector<v1::AddressCard>& cards);

  // After Connect. The channel is null in a world of one, and between GPUs.
  Collective& collective() {
    return device_collective_ ? *device_collective_ : host_->collective();
  }
  HostChannel* channel() { return host_ ? host_->channel() : nullptr; }
  absl::Status Barrier();
  TransportCode transport() const {
    if (accelerator_ != nullptr) return TransportCode::kNccl;
    return host_->code();
  }
  // How collectives travel and what proved it, one sentence.
  std::string transport_sentence() const {
    return accelerator_ != nullptr ? "NCCL between GPUs" : host_->sentence();
  }

  void Abort();
  bool aborted() const { return aborted_.load(std::memory_order_relaxed); }

 private:
  Gang(const v1::RankInit& init, SegmentName* segment_name, Accelerator* accelerator)
      : init_(init), segment_name_(segment_name), accelerator_(accelerator) {}
  absl::Status MakeCard();

  const v1::RankInit init_;
  SegmentName* const segment_name_;
  Accelerator* const accelerator_;  // null: a CPU slot
  v1::AddressCard card_;
  std::unique_ptr<HostTransport> host_;      // of a CPU slot
  Collective* device_collective_ = nullptr;  // the accelerator's
  std::atomic<bool> aborted_{false};
};

}  // namespace rackmark

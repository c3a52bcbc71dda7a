// What a rank program brings for devices other than CPU slots: which program this is, and how such
// ranks meet. rackmark-rank brings nothing, rackmark-rank-cuda GPUs with NCCL; CMake chooses the
// file that answers (cpu/ or cuda/). Owned by main; used by the runner's thread, Abort by any.
#pragma once

#include <memory>
#include <string_view>

#include "common/status.h"
#include "kernels/collective.h"
#include "rackmark/v1/rank_frame.pb.h"
#include "rackmark/v1/worker_api.pb.h"

namespace rackmark {

class Accelerator {
 public:
  virtual ~Accelerator() = default;
  // Takes the device of `init`; as rank 0 also writes on the card how the others find it.
  // UNIMPLEMENTED, with the reason, if there is none that this process can use.
  virtual absl::Status Open(const v1::RankInit& init, v1::AddressCard* card) = 0;
  // Meets the others by rank 0's card, and proves the communicator with numbers known exactly. The
  // collective is this object's, and its data lie in the device's memory.
  virtual absl::StatusOr<Collective*> Connect(const v1::AddressCard& leader) = 0;
  virtual void Abort() = 0;
  // Before the process ends in order; never longer than the teardown's limit.
  virtual absl::Status Close() = 0;
};

// The program's name, and its accelerator; null in rackmark-rank.
std::string_view RankProgramName();
std::unique_ptr<Accelerator> MakeAccelerator();

}  // namespace rackmark

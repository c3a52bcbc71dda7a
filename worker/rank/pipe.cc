#include "worker/rank/pipe.h"

#include "common/frame.h"
#include "common/ids.h"

namespace rackmark {

absl::Status Pipe::Heard(const v1::Identity& identity) {
  if (identity.protocol_max() < kProtocolMin || identity.protocol_min() > kProtocolMax) {
    return absl::FailedPreconditionError(
        absl::StrCat("the daemon speaks protocol versions ", identity.protocol_min(), " to ",
                     identity.protocol_max(), ", this rank ", kProtocolMin, " to ", kProtocolMax,
                     "; install rackmark-worker and rackmark-rank of the same build"));
  }
  std::lock_guard lock(mutex_);
  cluster_id_ = identity.cluster_id();
  epoch_ = identity.epoch();
  return absl::OkStatus();
}

absl::Status Pipe::Send(v1::FromRank frame) {
  std::lock_guard lock(mutex_);
  v1::Identity* identity = frame.mutable_identity();
  identity->set_cluster_id(cluster_id_);
  identity->set_epoch(epoch_);
  identity->set_incarnation(incarnation_);
  identity->set_protocol_min(kProtocolMin);
  identity->set_protocol_max(kProtocolMax);
  return WriteFrame(fd_, frame.SerializeAsString());
}

}  // namespace rackmark

#include "rpc/identity.h"

#include "common/ids.h"
#include "common/time.h"

namespace rackmark {

v1::Identity MakeIdentity(std::string_view cluster_id, uint64_t epoch,
                          std::string_view incarnation) {
  v1::Identity identity;
  identity.set_cluster_id(std::string(cluster_id));
  identity.set_epoch(epoch);
  identity.set_incarnation(std::string(incarnation));
  identity.set_protocol_min(kProtocolMin);
  identity.set_protocol_max(kProtocolMax);
  return identity;
}

absl::StatusOr<std::string> NewIncarnation() {
  ASSIGN_OR_RETURN(const std::string boot_id, BootId());
  return absl::StrCat(boot_id, "/", RandomHex(8));
}

absl::Status CheckProtocol(const v1::Identity& theirs) {
  if (theirs.protocol_min() <= kProtocolMax && theirs.protocol_max() >= kProtocolMin &&
      theirs.protocol_max() > 0) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat(ToAbsl(kProtocolMismatch), ": the other side speaks ", theirs.protocol_min(),
                   " to ", theirs.protocol_max(), ", this build ", kProtocolMin, " to ",
                   kProtocolMax, "; install the same release of rackmark on both"));
}

absl::Status CheckCluster(const v1::Identity& theirs, std::string_view our_cluster_id) {
  if (theirs.cluster_id().empty() || theirs.cluster_id() == our_cluster_id) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "the sender belongs to cluster ", theirs.cluster_id().substr(0, 8), ", this is cluster ",
      ToAbsl(our_cluster_id.substr(0, 8)), "; check the endpoint, or the data folder"));
}

}  // namespace rackmark

// Who may call what: one table from RPC to least role (PROTOCOL 8), and the checks that stand in
// front of every RPC. Immutable, any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/status.h"
#include "grpcpp/server_context.h"
#include "rackmark/v1/cluster.pb.h"
#include "rpc/peer.h"

namespace rackmark {

// The table. `rpc`: the method's name in the proto; one that is not in the table is our bug.
v1::Role LeastRole(std::string_view rpc);
// VIEWER < OPERATOR < ADMIN. WORKER stands apart: it and ADMIN may do a worker's calls, and it may
// do nothing else.
bool MayDo(v1::Role role, v1::Role least);

// PERMISSION_DENIED with the remedy if a certificate was shown and the node is none of its names.
absl::Status CheckNodeName(const std::vector<std::string>& certificate_names,
                           std::string_view node);

class Gate {
 public:
  Gate(std::shared_ptr<const PeerPolicy> policy, std::string cluster_id)
      : policy_(std::move(policy)), cluster_id_(std::move(cluster_id)) {}

  // Who calls, if the table allows it: UNAUTHENTICATED or PERMISSION_DENIED with the remedy.
  absl::StatusOr<v1::Principal> Admit(std::string_view rpc,
                                      const grpc::ServerContextBase& context) const;
  // FAILED_PRECONDITION: no common protocol, or another cluster. Of every message.
  absl::Status CheckIdentity(const v1::Identity& theirs) const;
  // Of a stream of samples: the protocol only. Its chunks are refused one by one.
  absl::Status CheckProtocolOf(const v1::Identity& theirs) const;

 private:
  const std::shared_ptr<const PeerPolicy> policy_;
  const std::string cluster_id_;
};

}  // namespace rackmark

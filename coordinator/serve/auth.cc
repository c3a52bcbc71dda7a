#include "coordinator/serve/auth.h"

#include <algorithm>

#include "common/text.h"
#include "rpc/identity.h"

namespace rackmark {
namespace {

struct Row {
  std::string_view rpc;
  v1::Role least;
};

constexpr Row kTable[] = {
    {"Submit", v1::ROLE_OPERATOR},
    {"Cancel", v1::ROLE_OPERATOR},
    {"ListNodes", v1::ROLE_VIEWER},
    {"ListJobs", v1::ROLE_VIEWER},
    {"ListRuns", v1::ROLE_VIEWER},
    {"GetReport", v1::ROLE_VIEWER},
    {"GetVersion", v1::ROLE_VIEWER},
    {"WatchJob", v1::ROLE_VIEWER},
    {"Sync", v1::ROLE_WORKER},
    {"PushSamples", v1::ROLE_WORKER},
    {"PutArtifact", v1::ROLE_OPERATOR},
    {"FindArtifact", v1::ROLE_VIEWER},
    {"GetArtifact", v1::ROLE_WORKER},
    {"Why", v1::ROLE_VIEWER},
    {"SubmitSuite", v1::ROLE_OPERATOR},
    {"ListSuites", v1::ROLE_VIEWER},
    {"ApplySchedule", v1::ROLE_OPERATOR},
    {"ListSchedules", v1::ROLE_VIEWER},
    {"RemoveSchedule", v1::ROLE_OPERATOR},
    {"ChangeNode", v1::ROLE_ADMIN},
};

std::string_view NameOf(v1::Role role) {
  switch (role) {
    case v1::ROLE_VIEWER: return "viewer";
    case v1::ROLE_OPERATOR: return "operator";
    case v1::ROLE_ADMIN: return "admin";
    case v1::ROLE_WORKER: return "worker";
    default: return "unknown";
  }
}

}  // namespace

v1::Role LeastRole(std::string_view rpc) {
  for (const Row& row : kTable) {
    if (row.rpc == rpc) return row.least;
  }
  RACKMARK_CHECK(false && "an RPC without a role");
  return v1::ROLE_ADMIN;
}

bool MayDo(v1::Role role, v1::Role least) {
  if (least == v1::ROLE_WORKER) return role == v1::ROLE_WORKER || role == v1::ROLE_ADMIN;
  const bool person =
      role == v1::ROLE_VIEWER || role == v1::ROLE_OPERATOR || role == v1::ROLE_ADMIN;
  return person && role >= least;
}

absl::Status CheckNodeName(const std::vector<std::string>& certificate_names,
                           std::string_view node) {
  if (certificate_names.empty() || std::find(certificate_names.begin(), certificate_names.end(),
                                             node) != certificate_names.end()) {
    return absl::OkStatus();
  }
  const std::string theirs = EscapeControl(certificate_names[0]);
  return absl::PermissionDeniedError(absl::StrCat(
      "the certificate is for ", theirs, ", not for a node named ", EscapeControl(node),
      "; start the worker with --name ", theirs, ", or give it a certificate of its own"));
}

absl::StatusOr<v1::Principal> Gate::Admit(std::string_view rpc,
                                          const grpc::ServerContextBase& context) const {
  ASSIGN_OR_RETURN(v1::Principal principal, policy_->Identify(context));
  const v1::Role least = LeastRole(rpc);
  if (MayDo(principal.role(), least)) return principal;
  return absl::PermissionDeniedError(absl::StrCat(
      EscapeControl(principal.name()), " has the role ", ToAbsl(NameOf(principal.role())), ", ",
      ToAbsl(rpc), " needs ", ToAbsl(NameOf(least)), "; ask for a token of that role"));
}

absl::Status Gate::CheckIdentity(const v1::Identity& theirs) const {
  RETURN_IF_ERROR(CheckProtocol(theirs));
  return CheckCluster(theirs, cluster_id_);
}

absl::Status Gate::CheckProtocolOf(const v1::Identity& theirs) const {
  return CheckProtocol(theirs);
}

}  // namespace rackmark

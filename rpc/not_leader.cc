#include "rpc/not_leader.h"

#include "absl/strings/cord.h"
#include "google/protobuf/any.pb.h"
#include "rpc/status_bridge.h"

namespace rackmark {
namespace {

constexpr char kTypeUrl[] = "type.googleapis.com/rackmark.v1.NotLeader";

}  // namespace

grpc::Status NotLeaderStatus(const std::string& leader) {
  v1::NotLeader said;
  said.set_address(leader);
  google::protobuf::Any details;
  details.set_type_url(kTypeUrl);
  details.set_value(said.SerializeAsString());
  const std::string ask = leader.empty() ? "nobody leads just now" : "ask " + leader;
  return {grpc::StatusCode::FAILED_PRECONDITION, "not the leader, " + ask,
          details.SerializeAsString()};
}

std::optional<v1::NotLeader> NotLeaderOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kTypeUrl);  // Debian's abseil has an optional of its own
  v1::NotLeader said;
  if (!payload || !said.ParseFromString(std::string(*payload))) return std::nullopt;
  return said;
}

absl::Status FromGrpc(const grpc::Status& status) {
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  google::protobuf::Any details;
  if (result.ok() || status.error_details().empty() ||
      !details.ParseFromString(status.error_details())) {
    return result;
  }
  // Of what somebody else sent only the one kind that is read here.
  if (details.type_url() == kTypeUrl) result.SetPayload(kTypeUrl, absl::Cord(details.value()));
  return result;
}

}  // namespace rackmark

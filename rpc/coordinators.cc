#include "rpc/coordinators.h"

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "rpc/channel.h"
#include "rpc/limits.h"
#include "rpc/not_leader.h"

namespace rackmark {

absl::StatusOr<std::vector<Endpoint>> ParseEndpoints(std::string_view text) {
  std::vector<Endpoint> endpoints;
  while (true) {
    const size_t comma = text.find(',');
    ASSIGN_OR_RETURN(Endpoint endpoint, ParseEndpoint(text.substr(0, comma)));
    const auto same = [&](const Endpoint& other) {
      return other.ToString() == endpoint.ToString();
    };
    if (std::any_of(endpoints.begin(), endpoints.end(), same)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the coordinator ", endpoint.ToString(), " is named twice; name it once"));
    }
    endpoints.push_back(std::move(endpoint));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  if (endpoints.size() > kCoordinatorsMax) {
    return absl::InvalidArgumentError(absl::StrCat(
        "at most ", kCoordinatorsMax, " coordinators may be named, these are ", endpoints.size()));
  }
  return endpoints;
}

namespace {

// Without TLS a token travels as it is.
absl::Status CheckTokenSafety(const std::vector<Endpoint>& endpoints, const Security& security) {
  if (security.tls.has_value() || security.token_file.empty()) return absl::OkStatus();
  for (const Endpoint& endpoint : endpoints) {
    if (endpoint.IsLocal()) continue;
    return absl::PermissionDeniedError(absl::StrCat(
        "refusing to send a token in clear text to ", endpoint.ToString(),
        ", which is not on this machine: give --tls-cert, --tls-key and --tls-ca as well"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<Coordinators>> Coordinators::Create(std::vector<Endpoint> endpoints,
                                                                   Security security) {
  RACKMARK_CHECK(!endpoints.empty());
  RETURN_IF_ERROR(CheckTokenSafety(endpoints, security));
  std::shared_ptr<Coordinators> all(new Coordinators(std::move(endpoints), std::move(security)));
  ASSIGN_OR_RETURN(all->way_, all->DialAt(0, 1));
  return all;
}

absl::StatusOr<Coordinators::Way> Coordinators::DialAt(size_t index, uint64_t number) const {
  Pings pings;
  if (several()) pings = {kHastyKeepaliveTimeMs, kHastyKeepaliveTimeoutMs};
  Way way;
  way.number = number;
  way.address = endpoints_[index].ToString();
  ASSIGN_OR_RETURN(way.channel, Dial(endpoints_[index], security_, pings));
  ASSIGN_OR_RETURN(way.bulk, Dial(endpoints_[index], security_, pings));
  return way;
}

Coordinators::Way Coordinators::Ask() const {
  std::lock_guard lock(mutex_);
  return way_;
}

void Coordinators::Answered(const Way& way) {
  std::lock_guard lock(mutex_);
  if (way.number == way_.number) failed_ = 0;
}

size_t Coordinators::NextAfter(const absl::Status& why) const {
  if (const auto said = NotLeaderOf(why)) {
    for (size_t i = 0; i < endpoints_.size(); ++i) {
      if (i != index_ && endpoints_[i].ToString() == said->address()) return i;
    }
  }
  return (index_ + 1) % endpoints_.size();
}

bool Coordinators::MoveOn(const Way& way, const absl::Status& why) {
  if (!several()) return false;
  std::lock_guard lock(mutex_);
  if (way.number != way_.number) return true;  // somebody else has moved on from there
  const size_t next = NextAfter(why);
  auto dialled = DialAt(next, way_.number + 1);
  if (!dialled.ok()) {  // a file of credentials is being replaced, or is gone
    Log(LogLevel::kWarning,
        absl::StrCat("asking ", endpoints_[next].ToString(), ": ", dialled.status().message()));
    return false;
  }
  index_ = next;
  way_ = *std::move(dialled);
  ++failed_;
  return failed_ % endpoints_.size() != 0;
}

}  // namespace rackmark

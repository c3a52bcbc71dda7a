#include "coordinator/core/emit.h"

namespace rackmark {

v1::Principal CorePrincipal() {
  v1::Principal core;
  core.set_name("coordinator");
  core.set_role(v1::ROLE_ADMIN);
  core.set_how("internal");
  return core;
}

void Stamp(const HardState& hard, const v1::Principal& by, Now now,
           std::vector<v1::Event>& events) {
  uint64_t seq = hard.last_seq;
  for (v1::Event& event : events) {
    event.set_format(1);
    event.set_seq(++seq);
    event.set_unix_ns(now.wall);
    *event.mutable_by() = by;
  }
}

}  // namespace rackmark

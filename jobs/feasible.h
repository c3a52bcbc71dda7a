// Whether a serve workload can work at all: by the model's shape alone, before any machine is
// asked. Pure.
#pragma once

#include <optional>
#include <string>

#include "rackmark/v1/job.pb.h"

namespace rackmark {

struct Misfit {
  enum class Field { kModel, kDevices, kTokens, kKvMemory };
  Field field;
  std::string sentence;  // "<what is wrong>; <remedy>"
};

// The first thing that does not fit; missing = it fits.
std::optional<Misfit> FindMisfit(const v1::ServeWorkload& serve);

}  // namespace rackmark

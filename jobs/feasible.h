// Whether a serve workload can work at all: by the model's shape alone, before any machine is
// asked. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "rackmark/v1/job.pb.h"

namespace rackmark {

struct Misfit {
  enum class Field { kModel, kDevices, kTokens, kKvMemory };
  Field field;
  std::string sentence;  // "<what is wrong>; <remedy>"
};

// The first thing that does not fit; missing = it fits. `trace_longest`: tokens of the longest
// request of a trace; who does not know it cannot say whether the trace's lengths fit.
std::optional<Misfit> FindMisfit(const v1::ServeWorkload& serve,
                                 std::optional<uint64_t> trace_longest = std::nullopt);

}  // namespace rackmark

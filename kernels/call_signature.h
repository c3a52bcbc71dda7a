// One number by which ranks find out that they make different collective calls: the call, its root
// and its size. Pure; internal to kernels/collective_*.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace rackmark {

enum class CollectiveCall : uint64_t { kAllReduce = 1, kAllGather, kBroadcast, kBarrier };

uint64_t CallSignature(CollectiveCall call, size_t bytes, int root);
// "AllReduceSum of 40 bytes"; whatever the number is.
std::string DescribeCall(uint64_t signature);

}  // namespace rackmark

#include "kernels/call_signature.h"

#include <algorithm>

#include "common/status.h"

namespace rackmark {
namespace {

constexpr int kRootShift = 48;
constexpr int kCallShift = 56;
constexpr uint64_t kBytesMask = (uint64_t{1} << kRootShift) - 1;

}  // namespace

uint64_t CallSignature(CollectiveCall call, size_t bytes, int root) {
  return static_cast<uint64_t>(call) << kCallShift | static_cast<uint64_t>(root) << kRootShift |
         (static_cast<uint64_t>(bytes) & kBytesMask);
}

std::string DescribeCall(uint64_t signature) {
  static constexpr const char* kNames[] = {"nothing",   "AllReduceSum", "AllGather",
                                           "Broadcast", "Barrier",      "an unknown call"};
  const uint64_t call = signature >> kCallShift;
  std::string text =
      absl::StrCat(kNames[std::min<uint64_t>(call, 5)], " of ", signature & kBytesMask, " bytes");
  if (call == static_cast<uint64_t>(CollectiveCall::kBroadcast)) {
    absl::StrAppend(&text, " from rank ", (signature >> kRootShift) & 0xff);
  }
  return text;
}

}  // namespace rackmark

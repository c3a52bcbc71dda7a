// Not a target of the product: a reader with a bug, which the harness must find (planted_test.py).
// It trusts a length that the input states, when the two bytes before it are right.
#include "common/status.h"
#include "tests/fuzz/target.h"

namespace rackmark::fuzz {

std::vector<std::string> Seeds() {
  return {
      "PB\x03"
      "abc",
      "PB\x01"
      "a"};
}

}  // namespace rackmark::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3 || data[0] != 'P' || data[1] != 'B') return 0;
  const size_t length = data[2];
  RACKMARK_CHECK(size < 5 || length < 200);  // the bug: what is longer than 199 is not expected
  return 0;
}

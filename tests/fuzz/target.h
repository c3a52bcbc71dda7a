// One fuzz target per program. Its file defines both functions; libFuzzer (clang) or driver.cc (any
// compiler) defines main. A target checks by RACKMARK_CHECK: a wrong answer is a crash like any
// other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace rackmark::fuzz {

// Valid inputs to begin from: files of this tree, or made by the code that writes the format.
std::vector<std::string> Seeds();

// A file of the source tree, or of a path that a developer gave. The target ends if there is none.
std::string ReadTree(const std::string& path);

inline std::string_view AsText(const uint8_t* data, size_t size) {
  // An empty input of libFuzzer's is a null pointer.
  return size == 0 ? std::string_view()
                   : std::string_view(reinterpret_cast<const char*>(data), size);
}

}  // namespace rackmark::fuzz

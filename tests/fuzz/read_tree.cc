#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "tests/fuzz/target.h"

namespace rackmark::fuzz {

std::string ReadTree(const std::string& path) {
  const std::string full = std::string(RACKMARK_SOURCE_DIR) + "/" + path;
  std::ifstream in(full, std::ios::binary);
  if (!in) {
    std::fprintf(stderr, "cannot read %s\n", full.c_str());
    std::exit(2);
  }
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace rackmark::fuzz

#include "tests/fuzz/mutate.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace rackmark::fuzz {
namespace {

size_t Below(size_t n, Random& random) {
  return n == 0 ? 0 : static_cast<size_t>(random.Between(0, n - 1));
}

// Words of the formats that random bytes would hardly find.
constexpr std::array<std::string_view, 24> kWords = {"0",     "-1",    "9223372036854775808",
                                                     "1e308", "nan",   "\n",
                                                     "\r\n",  "\0",    "\xff",
                                                     "{",     "}",     "[",
                                                     "]",     ":",     ",",
                                                     "\"",    "&a",    "*a",
                                                     "!!str", "---\n", "0x10",
                                                     "10s",   "  ",    "\xe2\x80\xae"};

void ChangeOnce(std::string& input, const std::vector<std::string>& others, Random& random) {
  const size_t at = Below(input.size() + 1, random);
  const size_t length = 1 + Below(std::min<size_t>(64, input.size() - at + 1), random);
  switch (Below(9, random)) {
    case 0:
      if (at < input.size()) input[at] = static_cast<char>(input[at] ^ (1 << Below(8, random)));
      break;
    case 1:
      if (at < input.size()) input[at] = static_cast<char>(random.Next());
      break;
    case 2: input.insert(at, 1, static_cast<char>(random.Next())); break;
    case 3: input.erase(at, length); break;
    case 4: input.insert(at, input.substr(Below(input.size() + 1, random), length)); break;
    case 5: input.resize(at); break;
    case 6: input.insert(at, kWords[Below(kWords.size(), random)]); break;
    case 7: {  // a piece of another input in place of one of ours
      const std::string& other = others[Below(others.size(), random)];
      const size_t from = Below(other.size() + 1, random);
      input.replace(at, length, other.substr(from, 1 + Below(256, random)));
      break;
    }
    default:  // a number that borders on another size
      if (at < input.size()) input[at] = "\x00\x01\x7f\x80\xff\xfe\x10\x40"[Below(8, random)];
  }
}

}  // namespace

std::string Mutate(std::string input, const std::vector<std::string>& others, Random& random) {
  for (size_t n = 1 + Below(6, random); n > 0; --n) ChangeOnce(input, others, random);
  if (input.size() > kInputBytesMax) input.resize(kInputBytesMax);
  return input;
}

}  // namespace rackmark::fuzz

// SHA-256 (FIPS 180-4), for names of content: job sources, evidence, files sent in pieces. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace rackmark {

// Of bytes that come in pieces. A value; Hex ends it.
class Sha256 {
 public:
  void Add(std::string_view bytes);
  // 64 lower-case hex digits, of all that was added. Nothing may be added after it.
  std::string Hex();

 private:
  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::string rest_;  // less than a block
  uint64_t bytes_ = 0;
};

// 64 lower-case hex digits.
std::string Sha256Hex(std::string_view bytes);

// Whether the text could be one: 64 lower-case hex digits.
bool IsSha256Hex(std::string_view text);

}  // namespace rackmark

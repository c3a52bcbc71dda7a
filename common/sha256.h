// SHA-256 (FIPS 180-4) of bytes in memory, for names of content: job sources, evidence. Pure.
#pragma once

#include <string>
#include <string_view>

namespace rackmark {

// 64 lower-case hex digits.
std::string Sha256Hex(std::string_view bytes);

}  // namespace rackmark

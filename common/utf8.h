// Text as UTF-8, which is what a protobuf string must be: a message with another one serialises,
// and cannot be parsed any more. Values; any thread.
#pragma once

#include <cstddef>
#include <string_view>

namespace rackmark {

// One character of UTF-8 text, or one byte that is none: cut off, overlong, a surrogate, too large.
struct Utf8Character {
  size_t bytes = 1;
  char32_t code = 0;
  bool valid = false;
};
// `at` must be inside the text.
Utf8Character Utf8CharacterAt(std::string_view text, size_t at);

bool IsUtf8(std::string_view text);
// The beginning of the text, of at most `bytes_max` bytes; not through the middle of a character.
std::string_view CutUtf8(std::string_view text, size_t bytes_max);

}  // namespace rackmark

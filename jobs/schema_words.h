// What the schema says in words: a sentence for each field, shown by editors, and the patterns of
// numbers with units (units.h). Constant.
#pragma once

#include <string_view>

namespace rackmark {

extern const char kDurationPattern[];
extern const char kBytesPattern[];
extern const char kRatePattern[];
extern const char kSharePattern[];

// "" for what needs no words.
std::string_view DescriptionOf(std::string_view path);

}  // namespace rackmark

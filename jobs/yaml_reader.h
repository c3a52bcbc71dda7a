// YAML text to a plain tree with places, strictly (PROTOCOL 8): refuses duplicate keys, anchors,
// aliases, tags, several documents, depth over 32, more than 1 MiB, more than 100,000 values, text
// that is not UTF-8. The only file pair that knows yaml-cpp, and it uses the event parser: an alias
// is refused when it is seen, before it can cost anything. Pure; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"

namespace rackmark {

constexpr size_t kYamlBytesMax = 1 << 20;
constexpr size_t kYamlDepthMax = 32;
constexpr size_t kYamlNodesMax = 100000;

// One value and, inside a map, its key. Lines and columns count from 1; 0 = no place.
struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  std::string text;     // of a scalar
  bool quoted = false;  // "12" is text, 12 is a number
  int line = 0;
  int column = 0;
  std::string key;
  int key_line = 0;
  int key_column = 0;
  std::string origin;           // where it came from if not from the file: "--set load.rate=12"
  std::vector<YamlNode> items;  // of a list or a map, in the text's order
};

// The child with this key, or nullptr. `map` may be of any kind.
const YamlNode* FindKey(const YamlNode& map, std::string_view key);
YamlNode* FindKey(YamlNode& map, std::string_view key);

// "file:line:column: path: sentence"; parts that do not exist are left out.
absl::Status YamlError(std::string_view file, const YamlNode& at, std::string_view path,
                       std::string_view sentence);

// The one document of `text`.
absl::StatusOr<YamlNode> ReadYaml(std::string_view text, std::string_view file_name);

// A value as one line of text, for the record of a sweep point: 12/s, {min: 8, max: 64}.
std::string FlowText(const YamlNode& node);

}  // namespace rackmark

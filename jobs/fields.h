// Reads the fields of YAML maps by name and type, with limits and places. The first problem is kept
// and reading goes on with defaults, so that the reader of a spec stays a plain list of fields.
// Pure; one owner.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"
#include "common/time.h"
#include "jobs/yaml_reader.h"

namespace rackmark {

// Keeps the first problem only.
class Problems {
 public:
  explicit Problems(std::string_view file) : file_(file) {}
  // Each sentence is "<what is wrong>; <remedy>".
  void At(const YamlNode& value, std::string_view path, std::string_view sentence);
  void AtKey(const YamlNode& value, std::string_view path, std::string_view sentence);
  const absl::Status& status() const { return status_; }
  const std::string& file() const { return file_; }

 private:
  std::string file_;
  absl::Status status_;
};

// Both ends included. Without a fallback the field is required.
template <typename T>
struct Range {
  T min;
  T max;
  std::optional<T> fallback;
};

class Fields {
 public:
  // `map` may be nullptr (an absent map: all its fields are absent); `parent` gives the place then.
  // Reports keys that are not in `known` at once, before what they were meant for is missed.
  Fields(Problems* problems, const YamlNode* map, const YamlNode* parent, std::string path,
         std::vector<std::string> known);

  bool Has(std::string_view key) const { return Find(key) != nullptr; }
  const YamlNode* Find(std::string_view key) const;
  // The value's node, or else the nearest place to name.
  const YamlNode& Place(std::string_view key) const;
  std::string PathOf(std::string_view key) const;
  Problems& problems() const { return *problems_; }
  void Problem(std::string_view key, std::string_view sentence) const;

  Fields Map(std::string_view key, std::vector<std::string> known) const;
  std::string Text(std::string_view key, std::optional<std::string> fallback) const;
  // One of `words`.
  std::string Word(std::string_view key, const std::vector<std::string>& words,
                   std::optional<std::string> fallback) const;
  bool Bool(std::string_view key, bool fallback) const;
  uint64_t Integer(std::string_view key, Range<uint64_t> range) const;
  uint32_t Small(std::string_view key, Range<uint32_t> range) const;
  Nanos Duration(std::string_view key, Range<Nanos> range) const;
  uint64_t Bytes(std::string_view key, Range<uint64_t> range) const;
  // Without a unit: a factor.
  double Number(std::string_view key, Range<double> range) const;
  double Rate(std::string_view key, Range<double> range) const;
  double Percent(std::string_view key, Range<double> range) const;

 private:
  // The text of a scalar; nullptr (and a problem) if it is something else, or absent and required.
  const YamlNode* Scalar(std::string_view key, bool required, std::string_view kind) const;

  Problems* problems_;
  const YamlNode* map_;
  const YamlNode* place_;
  std::string path_;
};

}  // namespace rackmark

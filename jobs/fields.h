// Reads the fields of YAML maps by name and type, with limits and places. Problems are gathered and
// reading goes on with defaults, so that the reader of a spec stays a plain list of fields. What is
// asked for can be listed: the schema is made of that. Pure; one owner.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"
#include "common/time.h"
#include "jobs/yaml_reader.h"

namespace rackmark {

// What a reader asked of one field.
struct FieldAsked {
  enum class Kind {
    kMap,
    kText,
    kWord,
    kBool,
    kInteger,
    kDuration,
    kBytes,
    kNumber,
    kRate,
    kShare,
    kSigned,  // `min` and `max` are those of an int64_t
    kTexts,   // different texts; `min` and `max` of them
    kLabels,  // keys of the user's own; `max` bytes of each
    kMaps,    // each at path[]; `min` and `max` of them
  };
  std::string path;  // of what is in a list: spec.jobs[].name
  Kind kind = Kind::kMap;
  bool required = false;           // not of kMap
  std::vector<std::string> words;  // the keys of a map, or what a word may be
  uint64_t min = 0, max = 0;       // of an integer, or of how many
};

// The first problems of a file, each once.
class Problems {
 public:
  // `asked`: gets every field that is asked for; may be null.
  explicit Problems(std::string_view file, std::vector<FieldAsked>* asked = nullptr)
      : file_(file), asked_(asked) {}
  // Each sentence is "<what is wrong>; <remedy>".
  void At(const YamlNode& value, std::string_view path, std::string_view sentence);
  void AtKey(const YamlNode& value, std::string_view path, std::string_view sentence);
  void Add(const absl::Status& problem);
  // The first one.
  absl::Status status() const { return all_.empty() ? absl::OkStatus() : all_.front(); }
  const std::vector<absl::Status>& all() const { return all_; }
  const std::string& file() const { return file_; }
  std::vector<FieldAsked>* asked() const { return asked_; }

 private:
  static constexpr size_t kProblemsMax = 32;
  std::string file_;
  std::vector<absl::Status> all_;
  std::vector<FieldAsked>* asked_;
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
  // Says nothing of a key that is absent because it was mistyped: that has been said.
  void Problem(std::string_view key, std::string_view sentence) const;

  Fields Map(std::string_view key, std::vector<std::string> known) const;
  std::string Text(std::string_view key, std::optional<std::string> fallback) const;
  // One of `words`.
  std::string Word(std::string_view key, const std::vector<std::string>& words,
                   std::optional<std::string> fallback) const;
  bool Bool(std::string_view key, bool fallback) const;
  uint64_t Integer(std::string_view key, Range<uint64_t> range) const;
  uint32_t Small(std::string_view key, Range<uint32_t> range) const;
  int64_t Signed(std::string_view key, Range<int64_t> range) const;
  Nanos Duration(std::string_view key, Range<Nanos> range) const;
  // Of a key that says seconds: a whole number of them, or a duration with its unit.
  Nanos Seconds(std::string_view key, Range<Nanos> range) const;
  uint64_t Bytes(std::string_view key, Range<uint64_t> range) const;
  // Without a unit: a factor.
  double Number(std::string_view key, Range<double> range) const;
  double Rate(std::string_view key, Range<double> range) const;
  double Percent(std::string_view key, Range<double> range) const;
  // Different texts of 1 to kWordBytesMax bytes, at most `most`. Absent = none.
  std::vector<std::string> Texts(std::string_view key, size_t most) const;
  // Names and values of the user's own, each at most so long.
  std::map<std::string, std::string> Labels(std::string_view key, size_t bytes_max) const;
  // A list of maps, `least` to `most`. Absent = none, and a problem if there must be one.
  std::vector<Fields> Maps(std::string_view key, const std::vector<std::string>& known,
                           size_t least, size_t most) const;

 private:
  // The text of a scalar; nullptr (and a problem) if it is something else, or absent and required.
  const YamlNode* Scalar(std::string_view key, bool required, std::string_view kind) const;
  // The items of a list; nullptr (and a problem) if it is something else.
  const std::vector<YamlNode>* List(std::string_view key, std::string_view kind) const;
  bool IsMistyped(std::string_view key) const;
  void Ask(std::string_view key, FieldAsked::Kind kind, bool required,
           std::vector<std::string> words = {}) const;
  void AskMany(std::string_view key, FieldAsked::Kind kind, size_t least, size_t most) const;

  Problems* problems_;
  const YamlNode* map_;
  const YamlNode* place_;
  std::string path_;
  std::vector<std::string> mistyped_;  // keys that unknown ones are near to
  bool all_mistyped_ = false;          // this map is absent because its key was, or is no map
};

}  // namespace rackmark

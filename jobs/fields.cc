#include "jobs/fields.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <utility>

#include "common/text.h"
#include "jobs/bounds.h"
#include "jobs/units.h"

namespace rackmark {
namespace {

std::string KindName(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull: return "empty";
    case YamlNode::Kind::kScalar: return "a single value";
    case YamlNode::Kind::kList: return "a list";
    case YamlNode::Kind::kMap: return "a map";
  }
  return "unknown";
}

std::string Join(const std::vector<std::string>& words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : i + 1 == words.size() ? " or " : ", ", words[i]);
  }
  return text;
}

std::string Quoted(std::string_view text) {
  return absl::StrCat("\"", EscapeControl(text.substr(0, 64)), "\"");
}

// spec.jobs[3].name -> spec.jobs[].name: what is asked of one item is asked of all.
std::string AskedPath(std::string_view path) {
  std::string asked;
  bool inside = false;
  for (const char c : path) {
    inside = inside && c != ']';
    if (!inside) asked += c;
    inside = inside || c == '[';
  }
  return asked;
}

absl::StatusOr<int64_t> ParseSigned(std::string_view text) {
  const bool negative = text.size() > 1 && text[0] == '-' && text[1] >= '0' && text[1] <= '9';
  ASSIGN_OR_RETURN(const uint64_t size, units::ParseInteger(text.substr(negative ? 1 : 0)));
  constexpr uint64_t kMost = uint64_t{1} << 62;
  const auto value = static_cast<int64_t>(std::min(size, kMost));
  return negative ? -value : value;
}

std::string PercentText(double share) { return absl::StrCat(share * 100, "%"); }
std::string RateText(double rate) { return absl::StrCat(rate, "/s"); }

// Parses with `parse`, checks the range, and keeps the fallback on any problem.
template <typename T, typename Parse, typename Show>
T Read(const Fields& fields, std::string_view key, const YamlNode* node, const Range<T>& range,
       const Parse& parse, const Show& show) {
  const T fallback = range.fallback.value_or(range.min);
  if (node == nullptr) return fallback;
  const auto value = parse(node->text);
  if (!value.ok()) {
    fields.Problem(key, FromAbsl(value.status().message()));
    return fallback;
  }
  if (*value < range.min || *value > range.max) {
    fields.Problem(key, absl::StrCat(Quoted(node->text), " is out of range; write ",
                                     show(range.min), " to ", show(range.max)));
    return fallback;
  }
  return *value;
}

}  // namespace

void Problems::At(const YamlNode& value, std::string_view path, std::string_view sentence) {
  // An empty value has no place of its own: yaml-cpp gives that of whatever comes next.
  if (value.kind == YamlNode::Kind::kNull && value.key_line > 0) {
    return AtKey(value, path, sentence);
  }
  Add(YamlError(file_, value, path, sentence));
}

void Problems::Add(const absl::Status& problem) {
  if (all_.size() >= kProblemsMax) return;
  if (std::find(all_.begin(), all_.end(), problem) == all_.end()) all_.push_back(problem);
}

void Problems::AtKey(const YamlNode& value, std::string_view path, std::string_view sentence) {
  YamlNode place;
  place.line = value.key_line;
  place.column = value.key_column;
  place.origin = value.origin;
  At(place, path, sentence);
}

Fields::Fields(Problems* problems, const YamlNode* map, const YamlNode* parent, std::string path,
               std::vector<std::string> known)
    : problems_(problems),
      map_(map),
      place_(map != nullptr ? map : parent),
      path_(std::move(path)) {
  if (problems_->asked() != nullptr) {
    problems_->asked()->push_back({AskedPath(path_), FieldAsked::Kind::kMap, false, known, 0, 0});
  }
  if (map_ == nullptr) return;
  if (map_->kind != YamlNode::Kind::kMap) {
    problems_->At(*map_, path_,
                  absl::StrCat("is ", KindName(*map_), " where a map is needed; write key: value ",
                               "lines with the keys ", Join(known)));
    map_ = nullptr;
    all_mistyped_ = true;
    return;
  }
  for (const YamlNode& item : map_->items) {
    if (std::find(known.begin(), known.end(), item.key) != known.end()) continue;
    const std::string nearest = Nearest(item.key, known);
    if (!nearest.empty()) mistyped_.push_back(nearest);
    problems_->AtKey(item, PathOf(item.key),
                     nearest.empty()
                         ? absl::StrCat("unknown key; the keys here are ", Join(known))
                         : absl::StrCat("unknown key; did you mean ", Quoted(nearest), "?"));
  }
}

const YamlNode* Fields::Find(std::string_view key) const {
  return map_ == nullptr ? nullptr : FindKey(*map_, key);
}

const YamlNode& Fields::Place(std::string_view key) const {
  const YamlNode* node = Find(key);
  return node != nullptr ? *node : *place_;
}

std::string Fields::PathOf(std::string_view key) const {
  return path_.empty() ? std::string(key) : absl::StrCat(path_, ".", ToAbsl(key));
}

bool Fields::IsMistyped(std::string_view key) const {
  return all_mistyped_ || std::find(mistyped_.begin(), mistyped_.end(), key) != mistyped_.end();
}

void Fields::Ask(std::string_view key, FieldAsked::Kind kind, bool required,
                 std::vector<std::string> words) const {
  if (problems_->asked() == nullptr) return;
  problems_->asked()->push_back({AskedPath(PathOf(key)), kind, required, std::move(words), 0, 0});
}

void Fields::AskMany(std::string_view key, FieldAsked::Kind kind, size_t least, size_t most) const {
  Ask(key, kind, least > 0);
  if (auto* asked = problems_->asked(); asked != nullptr) {
    asked->back().min = least;
    asked->back().max = most;
  }
}

void Fields::Problem(std::string_view key, std::string_view sentence) const {
  if (!Has(key) && IsMistyped(key)) return;
  problems_->At(Place(key), PathOf(key), sentence);
}

Fields Fields::Map(std::string_view key, std::vector<std::string> known) const {
  Fields fields(problems_, Find(key), place_, PathOf(key), std::move(known));
  fields.all_mistyped_ = !Has(key) && IsMistyped(key);
  return fields;
}

const YamlNode* Fields::Scalar(std::string_view key, bool required, std::string_view kind) const {
  const YamlNode* node = Find(key);
  if (node == nullptr) {
    if (required) Problem(key, absl::StrCat("is missing; write ", ToAbsl(kind), " here"));
    return nullptr;
  }
  if (node->kind == YamlNode::Kind::kNull) {
    Problem(key, absl::StrCat("has no value; write ", ToAbsl(kind), " or remove the key"));
    return nullptr;
  }
  if (node->kind != YamlNode::Kind::kScalar) {
    Problem(key, absl::StrCat("is ", KindName(*node), "; write ", ToAbsl(kind)));
    return nullptr;
  }
  return node;
}

std::string Fields::Text(std::string_view key, std::optional<std::string> fallback) const {
  Ask(key, FieldAsked::Kind::kText, !fallback.has_value());
  const YamlNode* node = Scalar(key, !fallback.has_value(), "a text");
  return node != nullptr ? node->text : fallback.value_or("");
}

std::string Fields::Word(std::string_view key, const std::vector<std::string>& words,
                         std::optional<std::string> fallback) const {
  Ask(key, FieldAsked::Kind::kWord, !fallback.has_value(), words);
  const YamlNode* node = Scalar(key, !fallback.has_value(), Join(words));
  if (node == nullptr) return fallback.value_or(words.front());
  if (std::find(words.begin(), words.end(), node->text) != words.end()) return node->text;
  const std::string nearest = Nearest(node->text, words);
  Problem(key, nearest.empty()
                   ? absl::StrCat(Quoted(node->text), " is unknown; write ", Join(words))
                   : absl::StrCat(Quoted(node->text), " is unknown; did you mean ", Quoted(nearest),
                                  "?"));
  return words.front();
}

bool Fields::Bool(std::string_view key, bool fallback) const {
  Ask(key, FieldAsked::Kind::kBool, false);
  const YamlNode* node = Scalar(key, false, "true or false");
  if (node == nullptr) return fallback;
  if (node->quoted || (node->text != "true" && node->text != "false")) {
    Problem(key, absl::StrCat(Quoted(node->text), node->quoted ? " is quoted text" : "",
                              " where a switch is needed; write true or false without quotes"));
    return fallback;
  }
  return node->text == "true";
}

uint64_t Fields::Integer(std::string_view key, Range<uint64_t> range) const {
  Ask(key, FieldAsked::Kind::kInteger, !range.fallback.has_value());
  if (auto* asked = problems_->asked(); asked != nullptr) {
    asked->back().min = range.min;
    asked->back().max = range.max;
  }
  const YamlNode* node = Scalar(key, !range.fallback.has_value(), "a whole number");
  if (node != nullptr && node->quoted) {
    Problem(key, absl::StrCat(Quoted(node->text),
                              " is quoted text where a whole number is needed; remove the quotes"));
    return range.fallback.value_or(range.min);
  }
  return Read(*this, key, node, range, units::ParseInteger,
              [](uint64_t v) { return absl::StrCat(v); });
}

uint32_t Fields::Small(std::string_view key, Range<uint32_t> range) const {
  Range<uint64_t> wide{range.min, range.max, std::nullopt};
  if (range.fallback.has_value()) wide.fallback = *range.fallback;
  return static_cast<uint32_t>(Integer(key, wide));
}

Nanos Fields::Duration(std::string_view key, Range<Nanos> range) const {
  Ask(key, FieldAsked::Kind::kDuration, !range.fallback.has_value());
  const YamlNode* node = Scalar(key, !range.fallback.has_value(), "a duration such as 20s");
  return Read(*this, key, node, range, units::ParseDuration, FormatDuration);
}

int64_t Fields::Signed(std::string_view key, Range<int64_t> range) const {
  AskMany(key, FieldAsked::Kind::kSigned, static_cast<size_t>(range.min),
          static_cast<size_t>(range.max));
  if (auto* asked = problems_->asked(); asked != nullptr) {
    asked->back().required = !range.fallback.has_value();
  }
  const YamlNode* node = Scalar(key, !range.fallback.has_value(), "a whole number");
  if (node != nullptr && node->quoted) {
    Problem(key, absl::StrCat(Quoted(node->text),
                              " is quoted text where a whole number is needed; remove the quotes"));
    return range.fallback.value_or(range.min);
  }
  return Read(*this, key, node, range, ParseSigned, [](int64_t v) { return absl::StrCat(v); });
}

Nanos Fields::Seconds(std::string_view key, Range<Nanos> range) const {
  const YamlNode* node = Find(key);
  const auto digits = [](const std::string& text) {
    return !text.empty() && std::all_of(text.begin(), text.end(),
                                        [](unsigned char c) { return std::isdigit(c) != 0; });
  };
  const bool whole = node != nullptr && node->kind == YamlNode::Kind::kScalar && !node->quoted &&
                     digits(node->text);
  // For who asks, it is both at once.
  if (problems_->asked() != nullptr) {
    AskMany(key, FieldAsked::Kind::kInteger, static_cast<size_t>(range.min / kSecond),
            static_cast<size_t>(range.max / kSecond));
    problems_->asked()->back().required = !range.fallback.has_value();
  }
  if (!whole) return Duration(key, range);
  return Read(
      *this, key, node, range,
      [](std::string_view text) -> absl::StatusOr<Nanos> {
        ASSIGN_OR_RETURN(const uint64_t seconds, units::ParseInteger(text));
        return static_cast<Nanos>(std::min<uint64_t>(seconds, 1'000'000'000)) * kSecond;
      },
      FormatDuration);
}

uint64_t Fields::Bytes(std::string_view key, Range<uint64_t> range) const {
  Ask(key, FieldAsked::Kind::kBytes, !range.fallback.has_value());
  const YamlNode* node = Scalar(key, !range.fallback.has_value(), "a size such as 256MiB");
  return Read(*this, key, node, range, units::ParseBytes,
              [](uint64_t v) { return FormatBytes(static_cast<double>(v)); });
}

double Fields::Number(std::string_view key, Range<double> range) const {
  Ask(key, FieldAsked::Kind::kNumber, !range.fallback.has_value());
  const YamlNode* node = Scalar(key, !range.fallback.has_value(), "a number such as 0.5");
  return Read(*this, key, node, range, units::ParseNumber,
              [](double v) { return absl::StrCat(v); });
}

double Fields::Rate(std::string_view key, Range<double> range) const {
  Ask(key, FieldAsked::Kind::kRate, !range.fallback.has_value());
  const YamlNode* node = Scalar(key, !range.fallback.has_value(), "a rate such as 12/s");
  return Read(*this, key, node, range, units::ParseRate, RateText);
}

double Fields::Percent(std::string_view key, Range<double> range) const {
  Ask(key, FieldAsked::Kind::kShare, !range.fallback.has_value());
  const YamlNode* node = Scalar(key, !range.fallback.has_value(), "a share such as 60%");
  return Read(*this, key, node, range, units::ParsePercent, PercentText);
}

const std::vector<YamlNode>* Fields::List(std::string_view key, std::string_view kind) const {
  const YamlNode* node = Find(key);
  if (node == nullptr) return nullptr;
  if (node->kind == YamlNode::Kind::kList) return &node->items;
  Problem(key,
          absl::StrCat("is ", KindName(*node), " where a list is needed; write ", ToAbsl(kind)));
  return nullptr;
}

std::vector<std::string> Fields::Texts(std::string_view key, size_t most) const {
  AskMany(key, FieldAsked::Kind::kTexts, 0, most);
  std::vector<std::string> texts;
  const std::vector<YamlNode>* items = List(key, "[one, two]");
  if (items == nullptr) return texts;
  if (items->empty()) Problem(key, "is an empty list; name something or remove the key");
  if (items->size() > most) {
    Problem(key, absl::StrCat("holds more than ", most, " of them; keep fewer"));
    return texts;  // what follows looks for each item among all
  }
  for (const YamlNode& item : *items) {
    const std::string path = absl::StrCat(PathOf(key), "[", texts.size(), "]");
    if (item.kind != YamlNode::Kind::kScalar || item.text.empty()) {
      problems_->At(
          item.kind == YamlNode::Kind::kNull ? Place(key) : item, path,
          absl::StrCat("is ", item.kind == YamlNode::Kind::kScalar ? "empty" : KindName(item),
                       "; write a text"));
    } else if (item.text.size() > bounds::kWordBytesMax) {
      problems_->At(item, path,
                    absl::StrCat("is longer than ", bounds::kWordBytesMax, " bytes; shorten it"));
    } else if (std::find(texts.begin(), texts.end(), item.text) != texts.end()) {
      problems_->At(item, path, absl::StrCat(Quoted(item.text), " is here twice; keep one"));
    }
    texts.push_back(item.text);
  }
  return texts;
}

std::map<std::string, std::string> Fields::Labels(std::string_view key, size_t bytes_max) const {
  std::map<std::string, std::string> labels;
  AskMany(key, FieldAsked::Kind::kLabels, 0, bytes_max);
  const YamlNode* node = Find(key);
  if (node == nullptr) return labels;
  if (node->kind == YamlNode::Kind::kMap && node->items.size() > bounds::kLabelsMax) {
    Problem(key,
            absl::StrCat("holds more than ", bounds::kLabelsMax, " labels; keep the useful ones"));
    return labels;  // what follows looks for each key among all
  }
  std::vector<std::string> any;
  for (const YamlNode& item : node->items) any.push_back(item.key);
  // Read as any other map, but not asked for as one: its keys are nobody's.
  Problems found(problems_->file());
  const Fields fields(&found, node, place_, PathOf(key), any);
  if (node->kind == YamlNode::Kind::kMap) {
    for (const std::string& name : any) {
      if (name.empty()) Problem(key, "holds a label without a name; name it or remove it");
      const std::string value = fields.Text(name, std::nullopt);
      if (name.size() > bytes_max || value.size() > bytes_max) {
        fields.Problem(name, absl::StrCat("is longer than ", bytes_max, " bytes; shorten it"));
      }
      labels[name] = value;
    }
  }
  for (const absl::Status& problem : found.all()) problems_->Add(problem);
  return labels;
}

std::vector<Fields> Fields::Maps(std::string_view key, const std::vector<std::string>& known,
                                 size_t least, size_t most) const {
  AskMany(key, FieldAsked::Kind::kMaps, least, most);
  std::vector<Fields> maps;
  const std::vector<YamlNode>* items = List(key, "a list with - before each map");
  if (items == nullptr) {
    if (!Has(key) && least > 0) Problem(key, "is missing; write a list of maps here");
    return maps;
  }
  if (items->empty()) Problem(key, "is an empty list; write what belongs in it");
  if (items->size() > most) {
    Problem(key, absl::StrCat("holds more than ", most, " of them; keep fewer"));
    return maps;
  }
  for (const YamlNode& item : *items) {
    // An empty item has no place of its own.
    maps.emplace_back(problems_, &item, &Place(key),
                      absl::StrCat(PathOf(key), "[", maps.size(), "]"), known);
  }
  return maps;
}

}  // namespace rackmark

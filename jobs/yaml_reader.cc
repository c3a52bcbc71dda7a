#include "jobs/yaml_reader.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <map>
#include <sstream>
#include <utility>

#include "common/text.h"

namespace rackmark {
namespace {

// The word at a 0-based line and column. yaml-cpp reports a null without its spelling, but the key
// `null` (a workload) must be told from `~`.
std::string_view WordAt(std::string_view text, int line, int column) {
  size_t at = 0;
  for (int i = 0; i < line; ++i) {
    const size_t newline = text.find('\n', at);
    if (newline == std::string_view::npos) return {};
    at = newline + 1;
  }
  at += static_cast<size_t>(column);
  return at < text.size() ? text.substr(at, 4) : std::string_view();
}

// Builds the tree out of events; after the first error it only waits for the end, so that a hostile
// text costs no more than its scan.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::string_view text, std::string_view file) : text_(text), file_(file) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) {
      Fail(NodeAt(mark), "a second document starts here; keep one document in the file");
    }
  }
  void OnDocumentEnd() override {}
  void OnAnchor(const YAML::Mark& mark, const std::string& name) override {
    Fail(NodeAt(mark), absl::StrCat("anchor \"&", EscapeControl(name.substr(0, 32)),
                                    "\" is not allowed; write the value out"));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Fail(NodeAt(mark), "an alias (*name) is not allowed; write the value out");
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    YamlNode node = NodeAt(mark);
    const bool key =
        !open_.empty() && open_.back().node.kind == YamlNode::Kind::kMap && !open_.back().has_key;
    if (key && WordAt(text_, mark.line, mark.column) == "null") {
      node.kind = YamlNode::Kind::kScalar;
      node.text = "null";
    }
    Add(std::move(node));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& value) override {
    YamlNode node = NodeAt(mark);
    if (tag != "?" && tag != "!") return FailTag(node, tag);
    node.kind = YamlNode::Kind::kScalar;
    node.text = value;
    node.quoted = tag == "!";
    Add(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, YamlNode::Kind::kList);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, YamlNode::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

  const absl::Status& status() const { return status_; }
  YamlNode TakeRoot() { return std::move(root_); }

 private:
  struct Level {
    YamlNode node;
    YamlNode key;  // of the value that comes next
    bool has_key = false;
    std::map<std::string, int> seen;  // key -> its line
  };

  static YamlNode NodeAt(const YAML::Mark& mark) {
    YamlNode node;
    if (!mark.is_null()) {
      node.line = mark.line + 1;
      node.column = mark.column + 1;
    }
    return node;
  }

  std::string Path() const {
    std::string path;
    for (const Level& level : open_) {
      if (level.node.kind == YamlNode::Kind::kList) {
        absl::StrAppend(&path, "[", level.node.items.size(), "]");
      } else if (level.has_key) {
        absl::StrAppend(&path, path.empty() ? "" : ".", level.key.text);
      }
    }
    return path;
  }

  void Fail(const YamlNode& at, std::string_view sentence) {
    if (status_.ok()) status_ = YamlError(file_, at, Path(), sentence);
  }
  void FailTag(const YamlNode& at, const std::string& tag) {
    Fail(at, absl::StrCat("tag \"", EscapeControl(tag.substr(0, 64)),
                          "\" is not allowed; write the plain value"));
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YamlNode::Kind kind) {
    if (!status_.ok()) return;
    YamlNode node = NodeAt(mark);
    node.kind = kind;
    if (tag != "?") return FailTag(node, tag);
    if (open_.size() >= kYamlDepthMax) {
      return Fail(node, absl::StrCat("nested deeper than ", kYamlDepthMax, " levels; flatten it"));
    }
    if (!open_.empty() && open_.back().node.kind == YamlNode::Kind::kMap && !open_.back().has_key) {
      return Fail(node, "a key must be a plain word, not a list or map; write key: value");
    }
    if (!CountNode(node)) return;
    open_.push_back({std::move(node), {}, false, {}});
  }

  void Close() {
    if (!status_.ok()) return;
    YamlNode node = std::move(open_.back().node);
    open_.pop_back();
    Attach(std::move(node));
  }

  bool CountNode(const YamlNode& node) {
    if (++nodes_ <= kYamlNodesMax) return true;
    Fail(node, absl::StrCat("more than ", kYamlNodesMax, " values; make the file smaller"));
    return false;
  }

  void Add(YamlNode node) {
    if (!status_.ok() || !CountNode(node)) return;
    Attach(std::move(node));
  }

  void Attach(YamlNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Level& level = open_.back();
    if (level.node.kind == YamlNode::Kind::kList) {
      level.node.items.push_back(std::move(node));
    } else if (level.has_key) {
      node.key = level.key.text;
      node.key_line = level.key.line;
      node.key_column = level.key.column;
      level.node.items.push_back(std::move(node));
      level.has_key = false;
    } else {
      SetKey(std::move(node));
    }
  }

  void SetKey(YamlNode key) {
    if (key.kind != YamlNode::Kind::kScalar) {
      return Fail(key, "a key is empty; write key: value");
    }
    Level& level = open_.back();
    const auto [entry, added] = level.seen.emplace(key.text, key.line);
    level.key = key;
    level.has_key = true;
    if (!added) {
      Fail(key, absl::StrCat("this key is here twice, first on line ", entry->second,
                             "; keep one of them"));
    }
  }

  const std::string_view text_;
  const std::string_view file_;
  absl::Status status_;
  std::vector<Level> open_;
  YamlNode root_;
  size_t nodes_ = 0;
  int documents_ = 0;
};

// Length of the UTF-8 character at the start of `text`, 0 if it is none (overlong forms and
// surrogates are none).
size_t Utf8Length(std::string_view text) {
  const auto byte = [&](size_t i) {
    return i < text.size() ? static_cast<unsigned>(static_cast<unsigned char>(text[i])) : 0U;
  };
  const unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xc2 && lead < 0xe0   ? 2
                        : lead >= 0xe0 && lead < 0xf0 ? 3
                        : lead >= 0xf0 && lead < 0xf5 ? 4
                                                      : 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (lead == 0xe0 && byte(1) < 0xa0) return 0;
  if (lead == 0xed && byte(1) >= 0xa0) return 0;
  if (lead == 0xf0 && byte(1) < 0x90) return 0;
  if (lead == 0xf4 && byte(1) >= 0x90) return 0;
  return length;
}

// Bytes that YAML does not allow, and that yaml-cpp would read as an end of file or as UTF-16.
absl::Status CheckBytes(std::string_view text, std::string_view file) {
  YamlNode place;
  place.line = 1;
  place.column = 1;
  for (size_t at = 0; at < text.size();) {
    const auto c = static_cast<unsigned char>(text[at]);
    const size_t length = Utf8Length(text.substr(at));
    if (length == 0) {
      return YamlError(file, place, "", "this byte is not UTF-8; save the file as UTF-8 text");
    }
    if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f) {
      return YamlError(file, place, "", "a control character is not allowed; remove it");
    }
    ++place.column;
    if (c == '\n') {
      ++place.line;
      place.column = 1;
    }
    at += length;
  }
  return absl::OkStatus();
}

absl::Status Parse(std::string_view text, std::string_view file, TreeBuilder& builder) {
  // yaml-cpp throws; this is the seam where that ends.
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    bool any = false;
    while (builder.status().ok() && parser.HandleNextDocument(builder)) any = true;
    if (builder.status().ok() && !any) {
      return YamlError(file, {}, "", "the file is empty; start from jobs/library/quickstart.yaml");
    }
  } catch (const YAML::Exception& error) {
    if (!builder.status().ok()) return builder.status();
    YamlNode at;
    if (!error.mark.is_null()) {
      at.line = error.mark.line + 1;
      at.column = error.mark.column + 1;
    }
    return YamlError(file, at, "",
                     absl::StrCat("not valid YAML (", EscapeControl(error.msg),
                                  "); check indentation, colons and quotes around here"));
  } catch (const std::exception& error) {
    return YamlError(file, {}, "",
                     absl::StrCat("cannot be read as YAML (", error.what(), "); check the file"));
  }
  return builder.status();
}

}  // namespace

const YamlNode* FindKey(const YamlNode& map, std::string_view key) {
  if (map.kind != YamlNode::Kind::kMap) return nullptr;
  for (const YamlNode& item : map.items) {
    if (item.key == key) return &item;
  }
  return nullptr;
}

YamlNode* FindKey(YamlNode& map, std::string_view key) {
  return const_cast<YamlNode*>(FindKey(static_cast<const YamlNode&>(map), key));
}

absl::Status YamlError(std::string_view file, const YamlNode& at, std::string_view path,
                       std::string_view sentence) {
  std::string text;
  if (!at.origin.empty()) {
    text = EscapeControl(at.origin);
  } else {
    text = EscapeControl(file);
    if (at.line > 0) absl::StrAppend(&text, ":", at.line, ":", at.column);
  }
  if (!path.empty()) absl::StrAppend(&text, ": ", EscapeControl(path));
  return absl::InvalidArgumentError(absl::StrCat(text, ": ", ToAbsl(sentence)));
}

absl::StatusOr<YamlNode> ReadYaml(std::string_view text, std::string_view file_name) {
  if (text.size() > kYamlBytesMax) {
    return YamlError(file_name, {}, "", "larger than 1 MiB; a job file is a page of text");
  }
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.substr(0, 3) == kByteOrderMark) text.remove_prefix(3);
  RETURN_IF_ERROR(CheckBytes(text, file_name));
  TreeBuilder builder(text, file_name);
  RETURN_IF_ERROR(Parse(text, file_name, builder));
  return builder.TakeRoot();
}

std::string FlowText(const YamlNode& node) {
  if (node.kind == YamlNode::Kind::kScalar) return node.text;
  if (node.kind == YamlNode::Kind::kNull) return "null";
  const bool map = node.kind == YamlNode::Kind::kMap;
  std::string text = map ? "{" : "[";
  for (const YamlNode& item : node.items) {
    if (text.size() > 1) text += ", ";
    if (map) absl::StrAppend(&text, item.key, ": ");
    text += FlowText(item);
  }
  return text + (map ? "}" : "]");
}

}  // namespace rackmark

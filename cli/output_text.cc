#include "cli/output_text.h"

#include <cctype>

#include "common/status.h"
#include "report/render.h"

namespace rackmark {
namespace {

bool IsPlain(std::string_view text) {
  // Anything else is quoted; so are words that YAML 1.1 reads as a switch, null or a number.
  if (text.empty() || text.size() > 200 || !std::isalpha(static_cast<unsigned char>(text[0]))) {
    return false;
  }
  for (const char c : text) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '-') return false;
  }
  std::string lower;
  for (const char c : text) {
    lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  for (const char* word : {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan"}) {
    if (lower == word) return false;
  }
  return true;
}

// Reads JSON from its start to its end, once, and writes YAML. The depth is that of our messages.
class Converter {
 public:
  explicit Converter(std::string_view json) : rest_(json) {}

  std::string Run() {
    Value("", true);
    return std::move(out_);
  }

 private:
  void Skip() {
    while (!rest_.empty() && std::isspace(static_cast<unsigned char>(rest_[0]))) {
      rest_.remove_prefix(1);
    }
  }
  bool Take(char c) {
    Skip();
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  // A string with its quotes and escapes, which a YAML reader takes as they are; "\/" is the one
  // escape that old YAML readers do not know, and it is no other character than "/".
  std::string Quoted() {
    std::string text = "\"";
    size_t i = 1;
    for (; i < rest_.size() && rest_[i] != '"'; ++i) {
      if (rest_[i] == '\\' && rest_[i + 1] != '/') text += rest_[i];
      if (rest_[i] == '\\') ++i;
      text += rest_[i];
    }
    rest_.remove_prefix(i + 1);
    return text + "\"";
  }
  std::string Text() {
    const std::string quoted = Quoted();
    const std::string_view inner = std::string_view(quoted).substr(1, quoted.size() - 2);
    return IsPlain(inner) ? std::string(inner) : quoted;
  }
  std::string Bare() {
    size_t end = 0;
    while (end < rest_.size() && std::string_view(",]}\n ").find(rest_[end]) == std::string::npos) {
      ++end;
    }
    const std::string text(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return text;
  }

  // `fresh`: the cursor stands where a block may begin on this line (after "- " or at the top).
  void Value(const std::string& indent, bool fresh) {
    Skip();
    RACKMARK_CHECK(!rest_.empty());
    if (rest_[0] == '{') return Map(indent, fresh);
    if (rest_[0] == '[') return List(indent, fresh);
    absl::StrAppend(&out_, fresh ? "" : " ", rest_[0] == '"' ? Text() : Bare(), "\n");
  }

  void Map(const std::string& indent, bool fresh) {
    Take('{');
    if (Take('}')) {
      absl::StrAppend(&out_, fresh ? "" : " ", "{}\n");
      return;
    }
    if (!fresh) out_ += "\n";
    bool first = fresh;
    do {
      Skip();
      absl::StrAppend(&out_, first ? "" : indent, Text(), ":");
      first = false;
      RACKMARK_CHECK(Take(':'));
      Value(indent + "  ", false);
    } while (Take(','));
    RACKMARK_CHECK(Take('}'));
  }

  void List(const std::string& indent, bool fresh) {
    Take('[');
    if (Take(']')) {
      absl::StrAppend(&out_, fresh ? "" : " ", "[]\n");
      return;
    }
    if (!fresh) out_ += "\n";
    bool first = fresh;
    do {
      absl::StrAppend(&out_, first ? "" : indent, "- ");
      first = false;
      Value(indent + "  ", true);
    } while (Take(','));
    RACKMARK_CHECK(Take(']'));
  }

  std::string_view rest_;
  std::string out_;
};

}  // namespace

std::string MessageText(const google::protobuf::Message& message, Output output) {
  const std::string json = MessageJson(message);
  return output == Output::kYaml ? JsonToYaml(json) : json;
}

std::string MessageLine(const google::protobuf::Message& message) {
  // Line breaks inside strings are escaped, so each raw one is layout, with its indent.
  const std::string json = MessageJson(message);
  std::string line;
  for (size_t i = 0; i < json.size(); ++i) {
    if (json[i] != '\n') {
      line += json[i];
      continue;
    }
    while (i + 1 < json.size() && json[i + 1] == ' ') ++i;
  }
  return line + "\n";
}

std::string JsonToYaml(std::string_view json) { return Converter(json).Run(); }

}  // namespace rackmark

#include "worker/device/labels.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "absl/strings/str_split.h"
#include "common/text.h"

namespace rackmark {
namespace {

constexpr int kLabelsMax = 64;
constexpr size_t kKeyMax = 128;
constexpr size_t kValueMax = 128;
constexpr size_t kRackMax = 128;

bool IsWord(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '/' ||
           c == '-';
  });
}

absl::Status Refuse(std::string_view label, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("--label \"", EscapeControl(label), "\": ", ToAbsl(why)));
}

absl::Status AddLabel(const std::string& text, v1::NodeInfo* node) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) return Refuse(text, "write KEY=VALUE");
  const std::string key = text.substr(0, equals);
  const std::string value = text.substr(equals + 1);
  if (!IsWord(key) || !IsWord(value)) {
    return Refuse(text, "key and value have letters, digits and . _ / - only");
  }
  if (key.size() > kKeyMax || value.size() > kValueMax) {
    return Refuse(text,
                  absl::StrCat("a key has ", kKeyMax, " characters at most, a value ", kValueMax));
  }
  if (node->labels_size() == kLabelsMax) {
    return Refuse(text, absl::StrCat("a node has ", kLabelsMax, " labels at most"));
  }
  if (!node->mutable_labels()->insert({key, value}).second)
    return Refuse(text, "the key is there already");
  return absl::OkStatus();
}

}  // namespace

absl::Status AddLabels(const std::vector<std::string>& texts, v1::NodeInfo* node) {
  for (const std::string& text : texts) {
    for (const auto& label : absl::StrSplit(text, ',')) {
      RETURN_IF_ERROR(AddLabel(std::string(label), node));
    }
  }
  return absl::OkStatus();
}

absl::Status SetRack(const std::string& rack, v1::NodeInfo* node) {
  if (rack.size() > kRackMax || EscapeControl(rack) != rack) {
    return absl::InvalidArgumentError(
        absl::StrCat("--rack \"", EscapeControl(rack.substr(0, kRackMax)), "\": a name has ",
                     kRackMax, " bytes at most, and no control characters"));
  }
  node->set_rack(rack);
  return absl::OkStatus();
}

}  // namespace rackmark

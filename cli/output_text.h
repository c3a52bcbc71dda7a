// Messages as text for scripts: JSON in the report's manner, one line of it, or YAML. Pure.
#pragma once

#include <string>
#include <string_view>

#include "cli/command_line.h"
#include "google/protobuf/message.h"

namespace rackmark {

// REQUIRES: output is kJson or kYaml.
std::string MessageText(const google::protobuf::Message& message, Output output);

// The same JSON on one line, for a stream of objects. Ends with a newline.
std::string MessageLine(const google::protobuf::Message& message);

// Well-formed JSON to YAML of the same values in block style, keys in the same order. Strings that
// a YAML reader could take for something else are quoted.
std::string JsonToYaml(std::string_view json);

}  // namespace rackmark

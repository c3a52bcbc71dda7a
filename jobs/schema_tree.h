// What the strict reader asks for while it reads probe documents, as a JSON Schema: the part of the
// schemas that nobody writes. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/document.h"
#include "nlohmann/json.hpp"

namespace rackmark {

using SchemaJson = nlohmann::ordered_json;

class SchemaTree {
 public:
  // `hidden`: paths of which nothing is told, and of what is below them; they are added by hand.
  SchemaTree(const std::vector<std::string_view>& probes, std::vector<std::string> hidden);

  SchemaJson Schema(const std::string& path) const;
  // Paths that each document has which has their siblings.
  std::vector<std::string> Required() const;

 private:
  // What all probes said of one path.
  struct Node {
    std::vector<FieldAsked> shapes;  // one of each kind, in the order of the probes
    bool required = true;            // in each probe that asked for its siblings
  };

  bool IsHidden(const std::string& path) const;
  void Add(std::string_view probe);
  SchemaJson MapSchema(const FieldAsked& map) const;
  SchemaJson ShapeSchema(const FieldAsked& shape) const;

  const std::vector<std::string> hidden_;
  std::map<std::string, Node> nodes_;
};

// What a sweep may put in need not be there itself.
bool MayBeSwept(const std::string& path);

// The head of a schema, which its fields follow.
SchemaJson SchemaHead(std::string_view kind);

// A name of at most so many characters, in place of any text.
void RefineName(SchemaJson& name, size_t most);

}  // namespace rackmark

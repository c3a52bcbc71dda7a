// A document of kind Suite: its jobs in an order in which each stands behind those that it waits
// for, and what it expects of the machines. Problems are gathered. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/document.h"
#include "jobs/fields.h"
#include "jobs/yaml_reader.h"

namespace rackmark {

// With what a document is read.
struct Reading {
  Problems& problems;
  const Finders& finders;
};

void ReadSuiteRoot(const YamlNode& root, const std::vector<std::string>& kinds,
                   const Reading& reading, v1::Suite& suite);

// `suite` has its name and labels. Jobs that are written out are called <suite>-<part>.
struct SuiteAt {
  const YamlNode& spec;
  std::string path;
};
void ReadSuiteSpec(const SuiteAt& at, const Reading& reading, v1::Suite& suite);

// The spec's `expect`, which is there.
void ReadExpectation(const Fields& spec, v1::Expectation& out);

// The document that `parent`'s field `key` names: of kind Job, or of kind Suite. Missing = there
// are problems, which name its own places.
std::optional<v1::Job> ReadNamedJob(const Fields& parent, std::string_view key,
                                    const Reading& reading);
std::optional<v1::Suite> ReadNamedSuite(const Fields& parent, std::string_view key,
                                        const Reading& reading);

}  // namespace rackmark

// A document of kind Schedule, in CronJob's words: a rule of time, and the job or suite that it
// submits. Problems are gathered. Pure.
#pragma once

#include <string>
#include <vector>

#include "jobs/suite_reader.h"
#include "jobs/yaml_reader.h"

namespace rackmark {

void ReadScheduleRoot(const YamlNode& root, const std::vector<std::string>& kinds,
                      const Reading& reading, v1::Schedule& schedule);

}  // namespace rackmark

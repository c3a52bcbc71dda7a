// What the readers of a Job, a Suite and a Schedule share: heads, names, and the spec of a job
// wherever it stands. Problems are gathered; a result counts only if there are none. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "jobs/expand.h"
#include "jobs/fields.h"
#include "jobs/load.h"
#include "rackmark/v1/job.pb.h"

namespace rackmark {

// a-z, 0-9 and -; 1 to `most` of them.
bool IsJobName(std::string_view name, size_t most);

// apiVersion and kind; the name in `metadata`.
void ReadHead(const Fields& root, const std::vector<std::string>& kinds);
std::string ReadName(const Fields& metadata, size_t most);

using LabelMap = google::protobuf::Map<std::string, std::string>;
// Labels of a document: words of its author.
void PutLabels(const Fields& metadata, LabelMap& out);

// The spec of a job, all of it.
void ReadJobSpec(const SpecAt& spec, Problems& problems, const TraceFinder& traces,
                 v1::JobSpec& out);

// A document of kind Job, below its root.
void ReadJobRoot(const YamlNode& root, const std::vector<std::string>& kinds, Problems& problems,
                 const TraceFinder& traces, v1::Job& job);

}  // namespace rackmark

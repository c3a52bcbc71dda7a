// The texts of events_schema.sql and samples_schema.sql, built in.
#pragma once

namespace rackmark {

extern const char kEventsSchema[];
extern const char kSamplesSchema[];

}  // namespace rackmark

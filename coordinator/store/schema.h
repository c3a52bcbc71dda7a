// The texts of the *.sql files of this folder, built in.
#pragma once

namespace rackmark {

extern const char kEventsSchema[];
extern const char kEventsMigrate2[];  // from version 1
extern const char kSamplesSchema[];
extern const char kSamplesMigrate2[];  // from version 1
extern const char kSamplesMigrate3[];  // from version 2
extern const char kPgSchema[];
extern const char kPgMigrate2[];  // from version 1

}  // namespace rackmark

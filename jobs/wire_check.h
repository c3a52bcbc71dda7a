// Collects the first field of a message from the wire that is out of its bounds. Pure; one owner.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "common/status.h"
#include "rackmark/v1/job.pb.h"

namespace rackmark {

class WireCheck {
 public:
  explicit WireCheck(std::string what) : what_(std::move(what)) {}

  template <typename T>
  void In(std::string_view field, T value, T min, T max) {
    // Written so that NaN is out of range too.
    if (status_.ok() && !(value >= min && value <= max)) {
      Fail(field, absl::StrCat("is ", value, ", outside ", min, " to ", max));
    }
  }
  void That(bool good, std::string_view field, std::string_view what) {
    if (status_.ok() && !good) Fail(field, what);
  }
  // What another check said of a part of this message.
  void Take(const absl::Status& status) {
    if (status_.ok()) status_ = status;
  }
  const absl::Status& status() const { return status_; }

 private:
  void Fail(std::string_view field, std::string_view what) {
    status_ = absl::InvalidArgumentError(
        absl::StrCat(what_, ".", ToAbsl(field), " ", ToAbsl(what),
                     "; submit with the rackmark program of the coordinator's version"));
  }
  const std::string what_;  // "job"
  absl::Status status_;
};

// Of a job, whether it stands alone or not; of texts and labels.
absl::Status CheckJobBody(const v1::Job& job);
void CheckTexts(WireCheck& check, std::string_view field,
                const google::protobuf::RepeatedPtrField<std::string>& texts, size_t most);
void CheckLabels(WireCheck& check, std::string_view field,
                 const google::protobuf::Map<std::string, std::string>& labels, size_t bytes_max);

}  // namespace rackmark

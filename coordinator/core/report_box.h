// A Report together with the memory of its hundreds of small parts: taken in a few pieces, given
// back at once, and lying side by side when the next Report is compared with it. A value; copies
// are deep. One thread at a time.
#pragma once

#include <memory>
#include <utility>

#include "google/protobuf/arena.h"
#include "rackmark/v1/worker_api.pb.h"

namespace rackmark {

class ReportBox {
 public:
  ReportBox() = default;                                     // an empty Report
  ReportBox(const v1::Report& report) { Fresh() = report; }  // NOLINT: a Report is one
  ReportBox(v1::Report&& report) : report_(new v1::Report(std::move(report))) {}  // NOLINT: too
  ReportBox(const ReportBox& other) : ReportBox(*other) {}
  ReportBox(ReportBox&& other) noexcept
      : arena_(std::move(other.arena_)), report_(std::exchange(other.report_, nullptr)) {}
  ReportBox& operator=(ReportBox other) noexcept {
    std::swap(arena_, other.arena_);
    std::swap(report_, other.report_);
    return *this;
  }
  ~ReportBox() {
    if (arena_ == nullptr) delete report_;
  }

  const v1::Report& operator*() const {
    return report_ != nullptr ? *report_ : v1::Report::default_instance();
  }
  const v1::Report* operator->() const { return &**this; }

  // An empty one to be filled; what was held is gone.
  v1::Report& Fresh() {
    *this = ReportBox(Empty{});
    return *report_;
  }

 private:
  struct Empty {};
  explicit ReportBox(Empty) : arena_(std::make_unique<google::protobuf::Arena>(Sizes())) {
    report_ = google::protobuf::Arena::CreateMessage<v1::Report>(arena_.get());
  }
  // Of a node with eight GPUs a Report takes about six KiB.
  static google::protobuf::ArenaOptions Sizes() {
    google::protobuf::ArenaOptions options;
    options.start_block_size = 1 << 10;
    options.max_block_size = 8 << 10;
    return options;
  }

  std::unique_ptr<google::protobuf::Arena> arena_;
  v1::Report* report_ = nullptr;  // in the arena, or by itself if there is none
};

}  // namespace rackmark

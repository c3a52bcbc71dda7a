#include "coordinator/archive.h"

#include <utility>

namespace rackmark {

Archive::Archive(History* history, size_t questions_max)
    : history_(history), questions_(questions_max) {
  thread_ = std::thread([this] { Run(); });
}

Archive::~Archive() { Stop(); }

absl::Status Archive::Ask(Question question) {
  if (questions_.TryPush(std::move(question))) return absl::OkStatus();
  if (questions_.closed()) return absl::UnavailableError("the coordinator is stopping");
  return absl::ResourceExhaustedError("too many questions about ended jobs wait; try again");
}

void Archive::Stop() {
  questions_.Close();
  if (thread_.joinable()) thread_.join();
  for (const Question& question : questions_.PopUpTo(SIZE_MAX, 0)) question(nullptr);
}

void Archive::Run() {
  while (!questions_.closed()) {
    for (const Question& question : questions_.PopUpTo(1, kSecond)) question(history_);
  }
}

}  // namespace rackmark

// Takes a device's objects apart in the order that the libraries need (PROTOCOL 4), and never waits
// for ever for one of them: a step that hangs ends in `on_stuck`, which main makes the end of the
// process. Owned by who made the objects; one thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"
#include "common/time.h"

namespace rackmark {

// The order is the contract: a communicator waits for graphs that captured it, and does not look at
// its abort flag while it does.
enum class TeardownStage {
  kGraphs,            // executable graphs, then graphs
  kWindows,           // memory registered with a communicator
  kSubCommunicators,  // split from the world
  kWorldCommunicator,
  kLibraries,  // cuBLAS handles
  kMemory,
  kStreams,
};

constexpr Nanos kTeardownLimit = 2 * kSecond;

// Called from a thread of the teardown's, with the name of the step that hangs.
using OnStuck = std::function<void(std::string_view step)>;

class Teardown {
 public:
  Teardown() = default;
  Teardown(const Teardown&) = delete;
  Teardown& operator=(const Teardown&) = delete;

  void Add(TeardownStage stage, std::string_view name, std::function<absl::Status()> undo);
  // All steps, by stage, within a stage the last added first; also after a step failed. The first
  // error, with the step's name. Nothing is left to do afterwards.
  absl::Status Run(Nanos limit, const OnStuck& on_stuck);

 private:
  struct Step {
    std::string name;
    std::function<absl::Status()> undo;
  };
  std::map<TeardownStage, std::vector<Step>> steps_;
};

}  // namespace rackmark

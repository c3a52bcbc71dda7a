// rackmark-rank: CPU slots only, and no library that would not start on a machine without a GPU.
#include "worker/rank/accelerator.h"

namespace rackmark {

std::string_view RankProgramName() { return "rackmark-rank"; }
std::unique_ptr<Accelerator> MakeAccelerator() { return nullptr; }

}  // namespace rackmark

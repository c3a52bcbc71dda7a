// The plan of one step, as rank 0 sends it: a delta to the state that all ranks mirror (PROTOCOL
// 5). It never holds tokens. What ended is not in it: every sequence ends at its planned length,
// which all ranks know. Wire format: little-endian, versioned, at most kPlanBytesMax; a step that
// does not fit is split by the batcher.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/status.h"

namespace rackmark {

constexpr size_t kPlanBytesMax = 8192;
constexpr uint16_t kPlanVersion = 2;  // 2: shares

enum class PlanKind : uint8_t { kStep = 1, kEndPhase = 2 };

struct StepPlan {
  struct Admit {
    uint64_t request = 0;
    uint32_t prompt_tokens = 0;
    uint32_t output_tokens = 0;
    uint16_t slot = 0;
  };
  struct NewBlock {
    uint32_t block = 0;
    uint16_t slot = 0;
  };
  // Prompt tokens [begin, end) of a slot run in this step.
  struct Chunk {
    uint32_t begin = 0;
    uint32_t end = 0;
    uint16_t slot = 0;
  };

  PlanKind kind = PlanKind::kStep;
  // Nothing ran just before: what a follower waited for this plan was idleness, not a late plan.
  bool after_idle = false;
  uint64_t step = 0;  // counts from 1 since the engine was made
  std::vector<Admit> admits;
  // Appended to the slot's table in this order. Shares are the first blocks of a sequence that this
  // plan admits: their content is the beginning of its prompt already.
  std::vector<NewBlock> shares;
  std::vector<NewBlock> blocks;
  std::vector<Chunk> chunks;
  uint64_t state_hash = 0;  // of the mirror after this plan
};

constexpr size_t kPlanHeaderBytes = 32;
constexpr size_t kPlanAdmitBytes = 18;
constexpr size_t kPlanBlockBytes = 6;
constexpr size_t kPlanChunkBytes = 10;

size_t EncodedBytes(const StepPlan& plan);
// Replaces out.
void EncodePlan(const StepPlan& plan, std::string& out);
// Replaces plan. DATA_LOSS: cut off, too long, a bad mark or count. FAILED_PRECONDITION: a version
// or kind of another build.
absl::Status DecodePlan(std::string_view bytes, StepPlan& plan);

}  // namespace rackmark

#include "worker/serving/step_plan.h"

#include <type_traits>

namespace rackmark {
namespace {

constexpr uint32_t kMark = 0x50534d52;  // "RMSP"

template <typename T>
void Put(std::string& out, T value) {
  static_assert(std::is_unsigned_v<T>);
  for (size_t i = 0; i < sizeof(T); ++i) {
    out.push_back(static_cast<char>(static_cast<uint64_t>(value) >> (8 * i) & 0xff));
  }
}

// The caller has checked the whole message's length against its counts.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  template <typename T>
  T Get() {
    RACKMARK_CHECK(at_ + sizeof(T) <= bytes_.size());
    uint64_t value = 0;
    for (size_t i = 0; i < sizeof(T); ++i) {
      value |= uint64_t{static_cast<uint8_t>(bytes_[at_ + i])} << (8 * i);
    }
    at_ += sizeof(T);
    return static_cast<T>(value);
  }

 private:
  std::string_view bytes_;
  size_t at_ = 0;
};

// `blocks` are shares and new ones together.
size_t BytesFor(size_t admits, size_t blocks, size_t chunks) {
  return kPlanHeaderBytes + admits * kPlanAdmitBytes + blocks * kPlanBlockBytes +
         chunks * kPlanChunkBytes;
}

void PutBlocks(std::string& out, const std::vector<StepPlan::NewBlock>& blocks) {
  for (const StepPlan::NewBlock& block : blocks) {
    Put(out, block.block);
    Put(out, block.slot);
  }
}

void GetBlocks(Reader& reader, size_t count, std::vector<StepPlan::NewBlock>& blocks) {
  blocks.resize(count);
  for (StepPlan::NewBlock& block : blocks) {
    block.block = reader.Get<uint32_t>();
    block.slot = reader.Get<uint16_t>();
  }
}

absl::Status CheckHead(Reader& reader, StepPlan& plan) {
  if (reader.Get<uint32_t>() != kMark) return absl::DataLossError("a step plan has no mark");
  if (const uint16_t version = reader.Get<uint16_t>(); version != kPlanVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("a step plan has version ", version, ", this build reads ", kPlanVersion));
  }
  const uint8_t kind = reader.Get<uint8_t>();
  if (kind != static_cast<uint8_t>(PlanKind::kStep) &&
      kind != static_cast<uint8_t>(PlanKind::kEndPhase)) {
    return absl::FailedPreconditionError(
        absl::StrCat("a step plan is of kind ", int{kind}, ", which this build does not know"));
  }
  plan.kind = static_cast<PlanKind>(kind);
  const uint8_t after_idle = reader.Get<uint8_t>();
  if (after_idle > 1) return absl::DataLossError("a step plan has unknown flags");
  plan.after_idle = after_idle == 1;
  return absl::OkStatus();
}

}  // namespace

size_t EncodedBytes(const StepPlan& plan) {
  return BytesFor(plan.admits.size(), plan.shares.size() + plan.blocks.size(), plan.chunks.size());
}

void EncodePlan(const StepPlan& plan, std::string& out) {
  RACKMARK_CHECK(EncodedBytes(plan) <= kPlanBytesMax);
  out.clear();
  Put(out, kMark);
  Put(out, kPlanVersion);
  Put(out, static_cast<uint8_t>(plan.kind));
  Put(out, static_cast<uint8_t>(plan.after_idle ? 1 : 0));
  Put(out, plan.step);
  Put(out, plan.state_hash);
  Put(out, static_cast<uint16_t>(plan.admits.size()));
  Put(out, static_cast<uint16_t>(plan.blocks.size()));
  Put(out, static_cast<uint16_t>(plan.chunks.size()));
  Put(out, static_cast<uint16_t>(plan.shares.size()));
  for (const StepPlan::Admit& admit : plan.admits) {
    Put(out, admit.request);
    Put(out, admit.prompt_tokens);
    Put(out, admit.output_tokens);
    Put(out, admit.slot);
  }
  PutBlocks(out, plan.shares);
  PutBlocks(out, plan.blocks);
  for (const StepPlan::Chunk& chunk : plan.chunks) {
    Put(out, chunk.begin);
    Put(out, chunk.end);
    Put(out, chunk.slot);
  }
}

absl::Status DecodePlan(std::string_view bytes, StepPlan& plan) {
  if (bytes.size() < kPlanHeaderBytes || bytes.size() > kPlanBytesMax) {
    return absl::DataLossError(
        absl::StrCat("a step plan of ", bytes.size(), " bytes cannot be whole"));
  }
  Reader reader(bytes);
  RETURN_IF_ERROR(CheckHead(reader, plan));
  plan.step = reader.Get<uint64_t>();
  plan.state_hash = reader.Get<uint64_t>();
  const size_t admits = reader.Get<uint16_t>();
  const size_t blocks = reader.Get<uint16_t>();
  const size_t chunks = reader.Get<uint16_t>();
  const size_t shares = reader.Get<uint16_t>();
  if (bytes.size() != BytesFor(admits, shares + blocks, chunks)) {
    return absl::DataLossError(absl::StrCat("a step plan has ", bytes.size(),
                                            " bytes, its counts ask for ",
                                            BytesFor(admits, shares + blocks, chunks)));
  }
  plan.admits.resize(admits);
  plan.chunks.resize(chunks);
  for (StepPlan::Admit& admit : plan.admits) {
    admit.request = reader.Get<uint64_t>();
    admit.prompt_tokens = reader.Get<uint32_t>();
    admit.output_tokens = reader.Get<uint32_t>();
    admit.slot = reader.Get<uint16_t>();
  }
  GetBlocks(reader, shares, plan.shares);
  GetBlocks(reader, blocks, plan.blocks);
  for (StepPlan::Chunk& chunk : plan.chunks) {
    chunk.begin = reader.Get<uint32_t>();
    chunk.end = reader.Get<uint32_t>();
    chunk.slot = reader.Get<uint16_t>();
  }
  return absl::OkStatus();
}

}  // namespace rackmark

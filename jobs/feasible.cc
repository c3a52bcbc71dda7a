#include "jobs/feasible.h"

#include "common/text.h"
#include "model/memory.h"
#include "model/presets.h"
#include "model/shard.h"

namespace rackmark {
namespace {

Misfit UnknownModel(const std::string& name) {
  const std::vector<std::string> names = ModelNames();
  std::string list;
  for (const std::string& each : names) absl::StrAppend(&list, list.empty() ? "" : ", ", each);
  const std::string nearest = Nearest(name, names);
  return {Misfit::Field::kModel,
          absl::StrCat("model \"", EscapeControl(name.substr(0, 64)), "\" is unknown; ",
                       nearest.empty() ? absl::StrCat("the models are ", list)
                                       : absl::StrCat("did you mean \"", nearest, "\"?"))};
}

}  // namespace

std::optional<Misfit> FindMisfit(const v1::ServeWorkload& serve) {
  const ModelShape* shape = FindModel(serve.model());
  if (shape == nullptr) return UnknownModel(serve.model());
  const auto shard = ShardOf(*shape, serve.tensor_parallel(), serve.deterministic());
  if (!shard.ok()) {
    return Misfit{Misfit::Field::kDevices, std::string(shard.status().message())};
  }
  const uint64_t longest =
      uint64_t{serve.load().prompt_tokens().max()} + serve.load().output_tokens().max();
  if (longest > shape->context_max) {
    return Misfit{
        Misfit::Field::kTokens,
        absl::StrCat("prompt and output of a request may reach ", longest, " tokens, and ",
                     shape->name.data(), " holds ", shape->context_max, "; use shorter ones")};
  }
  const uint64_t blocks =
      KvBlocks(*shape, *shard, serve.kv_memory_bytes(), serve.kv_block_tokens());
  const uint64_t needed = (longest + serve.kv_block_tokens() - 1) / serve.kv_block_tokens();
  if (blocks >= needed) return std::nullopt;
  const uint64_t bytes = KvBytesPerTokenPerRank(*shape, *shard) * serve.tensor_parallel() *
                         serve.kv_block_tokens() * needed;
  return Misfit{Misfit::Field::kKvMemory,
                absl::StrCat(FormatBytes(static_cast<double>(serve.kv_memory_bytes())),
                             " cannot hold one request of ", longest, " tokens, which needs ",
                             FormatBytes(static_cast<double>(bytes)), "; write more")};
}

}  // namespace rackmark

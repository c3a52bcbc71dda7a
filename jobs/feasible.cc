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

std::optional<Misfit> FindMisfit(const v1::ServeWorkload& serve,
                                 std::optional<uint64_t> trace_longest) {
  const ModelShape* shape = FindModel(serve.model());
  if (shape == nullptr) return UnknownModel(serve.model());
  const auto shard = ShardOf(*shape, serve.tensor_parallel(), serve.deterministic());
  if (!shard.ok()) {
    return Misfit{Misfit::Field::kDevices, std::string(shard.status().message())};
  }
  const v1::Load& load = serve.load();
  if (load.has_trace() && !trace_longest) return std::nullopt;
  const uint64_t longest =
      trace_longest.value_or(uint64_t{load.prompt_tokens().max()} + load.output_tokens().max());
  const char* remedy =
      load.has_trace() ? "write a length_max, or a smaller length_scale" : "use shorter ones";
  if (longest > shape->context_max) {
    return Misfit{
        Misfit::Field::kTokens,
        absl::StrCat("prompt and output of a request may reach ", longest, " tokens, and ",
                     shape->name.data(), " holds ", shape->context_max, "; ", remedy)};
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
                             FormatBytes(static_cast<double>(bytes)), "; write more",
                             load.has_trace() ? " or a length_max" : "")};
}

}  // namespace rackmark

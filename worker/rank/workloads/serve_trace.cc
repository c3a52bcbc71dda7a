#include "worker/rank/workloads/serve_trace.h"

#include <utility>

namespace rackmark {
namespace {

// Stream of the seed for what hashes stand for; those of requests are the seed's own.
constexpr uint64_t kStreamHashes = 0x68617368;  // "hash"

}  // namespace

absl::StatusOr<std::unique_ptr<ServeTrace>> ServeTrace::Create(const v1::Load& load,
                                                               const Artifacts& artifacts,
                                                               const Options& options) {
  ASSIGN_OR_RETURN(const std::shared_ptr<const std::string> text,
                   artifacts.Find(load.trace().sha256()));
  ASSIGN_OR_RETURN(Trace trace, ReadTrace(*text, load.trace().name()));
  ReplaySettings settings = SettingsOf(load.trace());
  settings.duration_ns = load.duration_ns();
  ASSIGN_OR_RETURN(Replay replay, MakeReplay(trace, settings));
  RETURN_IF_ERROR(CheckFacts(trace, replay, load.trace()));
  return std::unique_ptr<ServeTrace>(new ServeTrace(std::move(trace), std::move(replay), options));
}

int32_t ServeTrace::Token(uint64_t request, uint32_t position) const {
  if (!shares_prefixes() || request >= replay_.requests.size()) {
    return PromptToken(options_.seed, request, position, options_.vocab);
  }
  const TraceRequest& source = trace_.requests[replay_.requests[request].source];
  const BlockPosition at = BlockOf(position, replay_.block_tokens, source.hash_count);
  return PromptToken(options_.seed ^ kStreamHashes, trace_.hashes[source.first_hash + at.hash],
                     at.offset, options_.vocab);
}

}  // namespace rackmark

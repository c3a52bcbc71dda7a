#include "trace/replay.h"

#include <algorithm>
#include <cmath>

namespace rackmark {
namespace {

// What any engine could be asked for; keeps sums and products far from their types' ends.
constexpr uint64_t kReplayTokensMax = uint64_t{1} << 26;
constexpr Nanos kDurationMin = 100 * kMillisecond;

uint64_t Scaled(uint32_t tokens, double scale) {
  return static_cast<uint64_t>(std::max(1LL, std::llround(tokens * scale)));
}

absl::Status CheckSettings(const ReplaySettings& settings) {
  const auto good = [](double scale) { return scale >= 1e-6 && scale <= 1e6; };
  if (good(settings.time_scale) && good(settings.length_scale)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("time_scale ", settings.time_scale,
                                                 " or length_scale ", settings.length_scale,
                                                 " is out of range; write 0.000001 to 1000000"));
}

absl::Status NothingLeft(const Replay& replay) {
  if (replay.dropped_long == 0) {
    return absl::InvalidArgumentError("no request lies in the window; write a longer duration");
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no request is left: all ", replay.dropped_long,
                   " are longer than length_max; write a larger length_max or a smaller "
                   "length_scale"));
}

// One mean gap after the last arrival: n requests of a steady load take n gaps.
Nanos WholeDuration(Nanos last, size_t looked_at) {
  const auto gaps = static_cast<Nanos>(std::max<size_t>(looked_at, 2) - 1);
  return std::max(kDurationMin, last + std::max(last / gaps, kMillisecond));
}

// Marks each of the replayed prompts' leading blocks that were there before.
class PrefixCount {
 public:
  PrefixCount(const Trace& trace, uint32_t block_tokens)
      : trace_(trace), block_(block_tokens), known_(trace.hashes) {
    std::sort(known_.begin(), known_.end());
    known_.erase(std::unique(known_.begin(), known_.end()), known_.end());
    seen_.resize(known_.size());
  }

  void Add(const ReplayRequest& request) {
    const TraceRequest& source = trace_.requests[request.source];
    bool prefix = true;
    for (uint32_t i = 0; i < source.hash_count; ++i) {
      const uint64_t begin = uint64_t{i} * block_;
      if (begin >= request.prompt_tokens) break;
      const bool last = i + 1 == source.hash_count;
      const uint64_t end =
          last ? request.prompt_tokens : std::min<uint64_t>(begin + block_, request.prompt_tokens);
      const size_t at = IndexOf(trace_.hashes[source.first_hash + i]);
      prefix = prefix && seen_[at];
      seen_[at] = true;
      ++blocks_;
      tokens_ += end - begin;
      if (!prefix) continue;
      ++hit_blocks_;
      hit_tokens_ += end - begin;
    }
  }

  void Put(Replay& replay) const {
    replay.prefix_block_share = static_cast<double>(hit_blocks_) / static_cast<double>(blocks_);
    replay.prefix_share = static_cast<double>(hit_tokens_) / static_cast<double>(tokens_);
  }

 private:
  size_t IndexOf(uint64_t hash) const {
    return static_cast<size_t>(std::lower_bound(known_.begin(), known_.end(), hash) -
                               known_.begin());
  }

  const Trace& trace_;
  const uint64_t block_;
  std::vector<uint64_t> known_;  // ascending
  std::vector<bool> seen_;       // of known_
  uint64_t blocks_ = 0, tokens_ = 0, hit_blocks_ = 0, hit_tokens_ = 0;
};

}  // namespace

const ReplayRequest& Replay::Longest() const {
  RACKMARK_CHECK(!requests.empty());
  return *std::max_element(requests.begin(), requests.end(),
                           [](const ReplayRequest& a, const ReplayRequest& b) {
                             return uint64_t{a.prompt_tokens} + a.output_tokens <
                                    uint64_t{b.prompt_tokens} + b.output_tokens;
                           });
}

absl::StatusOr<Replay> MakeReplay(const Trace& trace, const ReplaySettings& settings) {
  RETURN_IF_ERROR(CheckSettings(settings));
  Replay replay;
  Nanos last = 0;
  uint32_t looked_at = 0;
  for (; looked_at < trace.requests.size(); ++looked_at) {
    if (settings.request_limit && replay.requests.size() >= *settings.request_limit) break;
    const TraceRequest& request = trace.requests[looked_at];
    const double offset = static_cast<double>(request.offset_ns) * settings.time_scale;
    // Far enough from the end of Nanos for the gap that follows the last arrival.
    const double end = settings.duration_ns ? static_cast<double>(*settings.duration_ns) : 4e18;
    if (offset >= end && settings.duration_ns) break;
    if (offset >= end) {
      return absl::InvalidArgumentError(
          "the trace would last for centuries; write a smaller "
          "time_scale");
    }
    last = static_cast<Nanos>(offset);
    const uint64_t prompt = Scaled(request.prompt_tokens, settings.length_scale);
    const uint64_t output = Scaled(request.output_tokens, settings.length_scale);
    if (settings.length_max && prompt + output > *settings.length_max) {
      ++replay.dropped_long;
      continue;
    }
    if (prompt + output > kReplayTokensMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("the request of line ", request.line, " has ", prompt + output,
                       " tokens after scaling; write a length_max or a smaller length_scale"));
    }
    replay.requests.push_back(
        {last, static_cast<uint32_t>(prompt), static_cast<uint32_t>(output), looked_at});
    replay.input_tokens += prompt;
    replay.output_tokens += output;
  }
  if (replay.requests.empty()) return NothingLeft(replay);
  replay.duration_ns = settings.duration_ns.value_or(WholeDuration(last, looked_at));
  if (trace.hashes.empty()) return replay;
  replay.block_tokens = static_cast<uint32_t>(Scaled(kTraceBlockTokens, settings.length_scale));
  PrefixCount count(trace, replay.block_tokens);
  for (const ReplayRequest& request : replay.requests) count.Add(request);
  count.Put(replay);
  return replay;
}

BlockPosition BlockOf(uint32_t position, uint32_t block_tokens, uint32_t hash_count) {
  RACKMARK_CHECK(block_tokens > 0 && hash_count > 0);
  const uint32_t hash = std::min(position / block_tokens, hash_count - 1);
  return {hash, position - hash * block_tokens};
}

ReplaySettings SettingsOf(const v1::TraceLoad& load) {
  ReplaySettings settings;
  settings.time_scale = load.time_scale();
  settings.length_scale = load.length_scale();
  if (load.has_length_max()) settings.length_max = load.length_max();
  if (load.has_request_limit()) settings.request_limit = load.request_limit();
  return settings;
}

void PutFacts(const Trace& trace, const Replay& replay, v1::Load& load) {
  v1::TraceLoad& out = *load.mutable_trace();
  out.set_format(trace.format);
  out.set_requests(replay.requests.size());
  out.set_dropped_long(replay.dropped_long);
  out.set_input_tokens(replay.input_tokens);
  out.set_output_tokens(replay.output_tokens);
  if (replay.prefix_share) out.set_prefix_share(*replay.prefix_share);
  load.set_duration_ns(replay.duration_ns);
}

absl::Status CheckFacts(const Trace& trace, const Replay& replay, const v1::TraceLoad& promised) {
  v1::Load found;
  PutFacts(trace, replay, found);
  const v1::TraceLoad& facts = found.trace();
  // Two builds may round a share differently, but not by this much.
  const bool same_share = facts.has_prefix_share() == promised.has_prefix_share() &&
                          std::abs(facts.prefix_share() - promised.prefix_share()) < 1e-9;
  if (facts.format() == promised.format() && facts.requests() == promised.requests() &&
      facts.dropped_long() == promised.dropped_long() &&
      facts.input_tokens() == promised.input_tokens() &&
      facts.output_tokens() == promised.output_tokens() && same_share) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the trace gives ", facts.requests(), " requests, ", facts.dropped_long(),
                   " dropped, ", facts.input_tokens(), " prompt and ", facts.output_tokens(),
                   " output tokens here, but the job says ", promised.requests(), ", ",
                   promised.dropped_long(), ", ", promised.input_tokens(), " and ",
                   promised.output_tokens(), "; install programs of one build"));
}

}  // namespace rackmark

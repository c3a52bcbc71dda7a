#include "worker/load/request_table.h"

namespace rackmark {

absl::StatusOr<RequestTable> RequestTable::Create(const std::vector<Arrival>& schedule, Nanos t0) {
  size_t gaps = 0;
  for (const Arrival& arrival : schedule) gaps += arrival.lengths.output_tokens - 1;
  const size_t bytes = schedule.size() * sizeof(Request) + gaps * sizeof(int64_t);
  if (bytes > kRequestTableBytesMax) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "the stamps of ", schedule.size(), " requests need ", bytes, " bytes, over the bound of ",
        kRequestTableBytesMax, "; lower load.rate, load.duration or load.output_tokens"));
  }
  RequestTable table;
  table.requests_.resize(schedule.size());
  table.gaps_.resize(gaps);
  size_t next_gap = 0;
  for (size_t i = 0; i < schedule.size(); ++i) {
    Request& request = table.requests_[i];
    request.t_sched = t0 + schedule[i].offset_ns;
    request.lengths = schedule[i].lengths;
    request.first_gap = next_gap;
    next_gap += schedule[i].lengths.output_tokens - 1;
  }
  return table;
}

void RequestTable::Begin(Nanos t0) {
  for (Request& request : requests_) request.t_sched += t0;
}

void RequestTable::Issue(size_t index, Nanos now) {
  Request& request = requests_[index];
  RACKMARK_CHECK(!request.issued && !has_ended(index));
  request.t_issue = now;
  request.issued = true;
}

void RequestTable::Token(size_t index, Nanos now) {
  Request& request = requests_[index];
  RACKMARK_CHECK(!has_ended(index) && request.tokens < request.lengths.output_tokens);
  if (request.tokens == 0) {
    request.t_first = now;
  } else {
    gaps_[request.first_gap + request.tokens - 1] = now - request.t_last;
  }
  request.t_last = now;
  ++request.tokens;
}

void RequestTable::Cached(size_t index, uint32_t tokens) {
  Request& request = requests_[index];
  RACKMARK_CHECK(!has_ended(index) && tokens < request.lengths.prompt_tokens);
  request.cached = tokens;
  request.reuse = true;
}

void RequestTable::End(size_t index, Nanos now, v1::FinishReason finish) {
  Request& request = requests_[index];
  RACKMARK_CHECK(!has_ended(index) && finish != v1::FINISH_REASON_UNKNOWN);
  request.t_end = now;
  request.finish = finish;
  ++ended_;
}

v1::RequestRecord RequestTable::Record(size_t index) const {
  const Request& request = requests_[index];
  v1::RequestRecord record;
  record.set_index(index);
  record.set_phase(v1::LOAD_PHASE_MEASURE);
  record.set_t_sched_ns(request.t_sched);
  if (request.issued) record.set_t_issue_ns(request.t_issue);
  if (request.tokens > 0) {
    // An engine in this process has no partial tokens: the first token is the first visible one.
    record.set_t_first_token_ns(request.t_first);
    record.set_t_first_visible_ns(request.t_first);
    record.set_t_last_ns(request.t_last);
    const auto gaps = gaps_.begin() + static_cast<std::ptrdiff_t>(request.first_gap);
    record.mutable_token_delta_ns()->Add(gaps, gaps + (request.tokens - 1));
  }
  if (request.finish != v1::FINISH_REASON_UNFINISHED) record.set_t_end_ns(request.t_end);
  record.set_prompt_tokens(request.lengths.prompt_tokens);
  record.set_output_tokens_planned(request.lengths.output_tokens);
  record.set_output_tokens(request.tokens);
  if (request.reuse) record.set_cached_tokens(request.cached);
  record.set_finish(request.finish);
  return record;
}

std::optional<double> RequestTable::TtftMs(size_t index) const {
  const Request& request = requests_[index];
  if (request.tokens == 0) return std::nullopt;
  return static_cast<double>(request.t_first - request.t_sched) / 1e6;
}

}  // namespace rackmark

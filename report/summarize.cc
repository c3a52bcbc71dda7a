#include "report/summarize.h"

#include <algorithm>
#include <utility>

#include "report/intake.h"
#include "report/parts.h"
#include "report/run_data.h"
#include "samples/chunk_codec.h"

namespace rackmark {
namespace {

void AddFact(v1::RunSummary& summary, const char* name, std::optional<double> value,
             const char* unit) {
  v1::Check* check = summary.add_checks();
  check->set_name(name);
  if (value) check->set_value(*value);
  check->set_unit(unit);
}

std::optional<double> SumOverRanks(const RunData& data, SeriesId id) {
  std::optional<double> sum;
  for (const StreamData& rank : data.ranks) {
    if (const auto value = rank.First(id)) sum = sum.value_or(0) + *value;
  }
  return sum;
}

// Rank streams carry results and count; a node's telemetry is only missed.
double IncompleteRanks(const RunFacts& facts, RunData& data) {
  double incomplete = 0;
  std::map<uint64_t, std::string> nodes;
  for (const v1::RankPlace& place : facts.placement.ranks()) {
    const StreamData* rank = data.Rank(place.rank());
    if (rank == nullptr || !rank->complete) ++incomplete;
    nodes[place.node_id()] = place.node();
  }
  for (const auto& [id, name] : nodes) {
    const auto ended = [id = id](const StreamData& s) { return s.node_id == id && s.complete; };
    if (std::none_of(data.nodes.begin(), data.nodes.end(), ended)) {
      data.Miss(absl::StrCat("telemetry of node ", name), "its stream did not come to its end");
    }
  }
  return incomplete;
}

void CopyFacts(const RunFacts& facts, v1::RunSummary& summary) {
  summary.set_run_id(facts.run_id);
  summary.set_attempt(facts.attempt);
  *summary.mutable_spec() = facts.spec;
  *summary.mutable_placement() = facts.placement;
  for (const v1::NodeFacts& node : facts.nodes) *summary.add_nodes() = node;
  if (facts.failure) *summary.mutable_failure() = *facts.failure;
  for (const v1::Failure& failure : facts.earlier_failures) {
    *summary.add_earlier_failures() = failure;
  }
  for (const std::string& sentence : facts.transports) summary.add_transports(sentence);
}

}  // namespace

RunFacts FactsFrom(const v1::RunSummary& known) {
  RunFacts facts;
  facts.run_id = known.run_id();
  facts.attempt = known.attempt();
  facts.spec = known.spec();
  facts.placement = known.placement();
  facts.nodes = {known.nodes().begin(), known.nodes().end()};
  if (known.has_failure()) facts.failure = known.failure();
  facts.earlier_failures = {known.earlier_failures().begin(), known.earlier_failures().end()};
  facts.transports = {known.transports().begin(), known.transports().end()};
  return facts;
}

RunSummarizer::RunSummarizer() : streams_(std::make_unique<Intake>()) {}
RunSummarizer::~RunSummarizer() = default;

absl::Status RunSummarizer::CheckHeader(const v1::ChunkHeader& header) const {
  if (run_ && (*run_ != header.run() || attempt_ != header.attempt())) {
    return absl::InvalidArgumentError(absl::StrCat("a chunk of run ", header.run(), " attempt ",
                                                   header.attempt(), " is among those of run ",
                                                   *run_, " attempt ", attempt_));
  }
  if (header.kind() != v1::STREAM_KIND_RANK && header.kind() != v1::STREAM_KIND_NODE) {
    return absl::InvalidArgumentError(absl::StrCat("stream kind ", header.kind(), " is unknown"));
  }
  return absl::OkStatus();
}

absl::Status RunSummarizer::AddChunk(const v1::Chunk& chunk) {
  RETURN_IF_ERROR(CheckHeader(chunk.header()));
  ASSIGN_OR_RETURN(v1::ChunkPayload payload, UnpackChunk(chunk));
  return AddUnpacked(chunk.header(), chunk.payload().size(), std::move(payload));
}

absl::Status RunSummarizer::AddUnpacked(const v1::ChunkHeader& header, uint64_t packed_bytes,
                                        v1::ChunkPayload payload) {
  RETURN_IF_ERROR(CheckHeader(header));
  run_ = header.run();
  attempt_ = header.attempt();
  const IntakeKey key{header.kind(), header.stream()};
  StreamIntake& stream = (*streams_)[key];
  if (!stream.Add(key, header.seq(), std::move(payload))) return absl::OkStatus();
  if (header.seq() < stream.first) {
    stream.first = header.seq();
    stream.data.node_id = header.node_id();
    stream.boot_id = header.boot_id();
  }
  stream.last |= header.last();
  ++chunks_;
  packed_bytes_ += packed_bytes;
  return absl::OkStatus();
}

v1::RunSummary RunSummarizer::Finish(const RunFacts& facts) {
  v1::RunSummary summary;
  CopyFacts(facts, summary);
  RunData data = LayOut(std::move(*streams_), facts);
  summary.set_chunks(chunks_);
  summary.set_packed_bytes(packed_bytes_);
  summary.set_samples(data.samples);
  summary.set_dropped_results(data.dropped_results);
  summary.set_dropped_telemetry(data.dropped_telemetry);
  if (data.clock_uncertainty_ns) summary.set_clock_uncertainty_ns(*data.clock_uncertainty_ns);

  AddFact(summary, "incomplete rank streams", IncompleteRanks(facts, data), "streams");
  if (facts.spec.has_serve()) {
    AddFact(summary, "tokens checked", SumOverRanks(data, SeriesId::kVerifyChecked), "tokens");
    AddFact(summary, "wrong tokens", SumOverRanks(data, SeriesId::kVerifyWrong), "tokens");
    AddFact(summary, "requests of another length", WrongLengths(data), "requests");
  }
  if (data.has_window()) {
    if (facts.spec.has_serve()) SummarizeServe(facts, data, *summary.mutable_serve());
    SummarizeRanks(facts, data, summary);
    SummarizeOverhead(facts, data, *summary.mutable_overhead());
    SummarizeSeries(facts, data, summary);
  } else {
    data.Miss("measured window", "rank 0 recorded no complete window.start and window.end");
  }
  if (facts.spec.has_null() && SumOverRanks(data, SeriesId::kNullSteps)) {
    SummarizeNull(data, *summary.mutable_null());
  }
  for (const v1::MissingValue& missing : data.missing) *summary.add_missing() = missing;
  return summary;
}

}  // namespace rackmark

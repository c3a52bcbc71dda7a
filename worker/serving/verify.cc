#include "worker/serving/verify.h"

#include <algorithm>
#include <cmath>

#include "model/memory.h"
#include "worker/serving/reference_model.h"

namespace rackmark {
namespace {

// No measured request has this name.
constexpr uint64_t kProbeRequest = ~uint64_t{0};
constexpr uint32_t kProbePrompt = 12;
constexpr uint32_t kProbeOutput = 8;

void CountWrong(VerifyResult& result, std::string sentence) {
  ++result.wrong;
  if (result.first_wrong.empty()) result.first_wrong = std::move(sentence);
}

// One request alone through the gang.
absl::StatusOr<std::vector<TokenEvent>> Generate(Engine& engine, const EngineRequest& request) {
  RETURN_IF_ERROR(engine.Submit(request));
  std::vector<TokenEvent> tokens;
  tokens.reserve(request.output_tokens);
  while (true) {
    ASSIGN_OR_RETURN(const StepResult* step, engine.Step());
    if (step->idle) return tokens;
    tokens.insert(tokens.end(), step->tokens.begin(), step->tokens.end());
  }
}

void CompareTokens(const MeasuredRequest& measured, const std::vector<TokenEvent>& again,
                   VerifyResult& result) {
  for (size_t i = 0; i < measured.tokens.size(); ++i) {
    ++result.checked;
    if (i < again.size() && again[i].token == measured.tokens[i]) continue;
    CountWrong(result,
               absl::StrCat("request ", measured.request.index, " gave token ", measured.tokens[i],
                            " at position ", i, " in the run, but alone ",
                            i < again.size() ? absl::StrCat(again[i].token) : "none"));
  }
}

// A short request that fits even a tiny cache.
EngineRequest ProbeFor(const Engine& engine) {
  const EngineOptions& options = engine.options();
  const uint64_t room = std::min<uint64_t>(
      uint64_t{engine.kv_blocks_total()} * options.kv_block_tokens, options.shape.context_max - 1);
  const auto positions =
      static_cast<uint32_t>(std::min<uint64_t>(room, kProbePrompt + kProbeOutput - 1));
  const uint32_t output = std::min(kProbeOutput, positions);
  return {kProbeRequest, positions + 1 - output, output};
}

}  // namespace

void CompareWithReference(const EngineOptions& options, const EngineRequest& request,
                          const std::vector<TokenEvent>& tokens, VerifyResult& result) {
  RACKMARK_CHECK(!tokens.empty());
  std::vector<int32_t> ids;
  for (uint32_t p = 0; p < request.prompt_tokens; ++p) {
    ids.push_back(PromptToken(options.seed, request.index, p, options.shape.vocab));
  }
  for (size_t i = 0; i + 1 < tokens.size(); ++i) ids.push_back(tokens[i].token);
  const auto logits = ReferenceLogits(options.shape, options.seed, ids, request.prompt_tokens - 1);
  for (size_t i = 0; i < tokens.size(); ++i) {
    ++result.checked;
    ++result.reference_checked;
    const float best = *std::max_element(logits[i].begin(), logits[i].end());
    const float own = logits[i][static_cast<size_t>(tokens[i].token)];
    // Two tokens may tie within rounding; the chosen one must be one of the best, at its own value.
    const double error = std::fmax(std::fabs(double{own} - tokens[i].logit), double{best} - own);
    result.logit_error_max = std::fmax(result.logit_error_max, error);
    if (error <= kLogitTolerance) continue;
    CountWrong(result, absl::StrCat("token ", i, " of the probe request is ", tokens[i].token,
                                    " with logit ", tokens[i].logit, "; the reference has ", own,
                                    " there and its best is ", best));
  }
}

absl::StatusOr<VerifyResult> VerifyGang(Engine& engine,
                                        const std::vector<MeasuredRequest>& measured) {
  VerifyResult result;
  for (const MeasuredRequest& request : measured) {
    if (request.tokens.empty()) continue;
    // No more than will be compared: the rest of a long answer would only cost the run its limit.
    EngineRequest shortened = request.request;
    shortened.output_tokens =
        std::min(shortened.output_tokens, static_cast<uint32_t>(request.tokens.size()));
    ASSIGN_OR_RETURN(const std::vector<TokenEvent> again, Generate(engine, shortened));
    CompareTokens(request, again, result);
  }
  if (ParameterCount(engine.options().shape) <= kReferenceParametersMax) {
    const EngineRequest probe = ProbeFor(engine);
    ASSIGN_OR_RETURN(const std::vector<TokenEvent> tokens, Generate(engine, probe));
    CompareWithReference(engine.options(), probe, tokens, result);
  }
  RETURN_IF_ERROR(engine.EndPhase().status());
  return result;
}

}  // namespace rackmark

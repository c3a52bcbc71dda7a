// What a job is doing, as text: a WatchJobReply in, lines out. Pure: no clock, no terminal.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/time.h"
#include "rackmark/v1/client_api.pb.h"

namespace rackmark {

// One word or two: "placing", "starting", "rendezvous", "preparing", "warming up", "calibrating",
// "measuring" (the measured window), "verifying", "draining", "judging", "releasing", "ended";
// "running" where the ranks of a run that was told to measure say nothing.
std::string PhaseWord(const v1::WatchJobReply& reply);

// For a pipe: one line, without a line end.
// "[  12.3 s] measuring, run 1 of 1: 842 tok/s, TTFT p50 12.1 ms p95 30.2 ms, ..."
std::string PlainLine(const v1::WatchJobReply& reply, Nanos elapsed);

// For a terminal: a few lines, none wider than `width` columns, without line ends.
// `style`: bold for the phase and dim for the rest of the track.
struct LiveOptions {
  int width = 80;
  bool style = false;
  bool calibrates = false;  // calibrating is one of the phases to come, or was
};
std::vector<std::string> LiveLines(const v1::WatchJobReply& reply, Nanos elapsed,
                                   const LiveOptions& options);

// `text` cut to `columns`, control bytes escaped first.
std::string FitLine(std::string_view text, int columns);

}  // namespace rackmark

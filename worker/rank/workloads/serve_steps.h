// What is recorded of an engine step: the time split, the batch, each collective. No lock, no
// allocation: it runs inside the timed loop.
#pragma once

#include "worker/rank/recorder.h"
#include "worker/serving/engine.h"

namespace rackmark {

// All points of a step carry the step's end as their stamp, those of a collective its own end.
void RecordStep(const StepResult& step, bool leader, Recorder* recorder);

}  // namespace rackmark

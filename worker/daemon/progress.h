// What of a rank's words shows that its run gets on: its RankReport.progress counts it, and the
// coordinator takes a gang whose counts all stand still for stalled. Pure.
#pragma once

#include "rackmark/v1/rank_frame.pb.h"
#include "worker/daemon/local_state.h"

namespace rackmark {

// Any requests, or points of a result series. Memory and CPU figures come from a thread that beats
// on while the work hangs, and sketches repeat what has come before.
bool HasResults(const v1::ChunkPayload& payload);

// The rank says something that it has not said before; the once-a-second repetition is nothing new.
bool IsNews(const LocalRank& rank, const v1::RankStatus& status);

}  // namespace rackmark

#include "worker/daemon/progress.h"

#include "common/series.h"

namespace rackmark {

bool HasResults(const v1::ChunkPayload& payload) {
  if (payload.requests_size() > 0) return true;
  for (const v1::Column& column : payload.columns()) {
    // A rank is a program of ours, but its frame is checked elsewhere and later than this.
    const auto name = static_cast<int64_t>(column.name());
    if (column.value_size() == 0 || name >= payload.dictionary_size()) continue;
    const auto id = FindSeries(payload.dictionary(static_cast<int>(name)));
    if (id && Describe(*id).klass == SeriesClass::kResult) return true;
  }
  return false;
}

bool IsNews(const LocalRank& rank, const v1::RankStatus& status) {
  return rank.run != RunKey{status.run_id(), status.attempt()} || rank.phase != status.phase() ||
         rank.note != status.note();
}

}  // namespace rackmark

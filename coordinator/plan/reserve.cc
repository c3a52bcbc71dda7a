#include "coordinator/plan/reserve.h"

#include <algorithm>

#include "coordinator/plan/what_if.h"

namespace rackmark::plan {
namespace {

// A pool in which the first n leases by their end are over. Moves there and back, because devices
// of leases cost less to count again than a whole pool does to copy.
class Timeline {
 public:
  Timeline(const Fleet& fleet, const GangRequest& request)
      : fleet_(fleet), request_(request), pool_(fleet.PoolOf(request.selector, Assume::kNow)) {}

  size_t size() const { return fleet_.ends().size(); }
  Nanos EndOf(size_t i) const { return fleet_.ends()[i].first; }
  bool FitsAfter(size_t n) {
    for (; ended_ < n; ++ended_) SupposeEnded(fleet_, fleet_.ends()[ended_].second, true, pool_);
    for (; ended_ > n; --ended_) {
      SupposeEnded(fleet_, fleet_.ends()[ended_ - 1].second, false, pool_);
    }
    return FindSite(pool_, request_).has_value();
  }
  void EndTheUndated() {
    for (uint32_t slot = 0; slot < fleet_.leases().size(); ++slot) {
      const LeaseFacts& lease = fleet_.leases()[slot].facts;
      if (!lease.id.IsNone() && !lease.ends.has_value()) SupposeEnded(fleet_, slot, true, pool_);
    }
    undated_ = true;
  }
  std::optional<GangPlace> Place() const {
    const std::optional<Site> site = FindSite(pool_, request_);
    if (!site.has_value()) return std::nullopt;
    Supposed supposed;
    supposed.ended.assign(fleet_.leases().size(), undated_);
    for (size_t i = 0; i < ended_; ++i) supposed.ended[fleet_.ends()[i].second] = true;
    return PlaceAt(fleet_, pool_, request_, *site, supposed);
  }

 private:
  const Fleet& fleet_;
  const GangRequest& request_;
  Pool pool_;
  size_t ended_ = 0;
  bool undated_ = false;
};

}  // namespace

std::optional<Reservation> Reserve(const Fleet& fleet, const GangRequest& request, Nanos now) {
  Timeline timeline(fleet, request);
  const size_t size = timeline.size();
  // Doubling first: most gangs wait for few leases of many. It does not fit after `below`.
  size_t below = 0;
  size_t above = std::min<size_t>(1, size);
  while (above > below && !timeline.FitsAfter(above)) {
    below = above;
    above = std::min(size, 2 * above);
  }
  if (above == below) {
    timeline.FitsAfter(size);
    timeline.EndTheUndated();
    auto place = timeline.Place();
    if (!place.has_value()) return std::nullopt;
    return Reservation{std::nullopt, *std::move(place)};
  }
  while (above - below > 1) {
    const size_t middle = below + (above - below) / 2;
    (timeline.FitsAfter(middle) ? above : below) = middle;
  }
  const Nanos at = timeline.EndOf(above - 1);
  while (above < size && timeline.EndOf(above) == at) ++above;
  timeline.FitsAfter(above);
  return Reservation{std::max(at, now), *timeline.Place()};
}

}  // namespace rackmark::plan

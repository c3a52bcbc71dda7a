#include "common/sketch.h"

#include <algorithm>
#include <cmath>

#include "common/status.h"

namespace rackmark {
namespace {

constexpr double kZeroBelow = 1e-9;

double LogGamma(double relative_error) {
  return std::log((1 + relative_error) / (1 - relative_error));
}

}  // namespace

QuantileSketch::QuantileSketch(double relative_error)
    : relative_error_(relative_error), log_gamma_(LogGamma(relative_error)) {
  RACKMARK_CHECK(relative_error > 0 && relative_error < 1);
}

QuantileSketch::QuantileSketch(double relative_error, uint64_t zero_count, int32_t first_bucket,
                               std::vector<uint64_t> counts)
    : QuantileSketch(relative_error) {
  zero_count_ = zero_count;
  first_bucket_ = first_bucket;
  counts_ = std::move(counts);
  count_ = zero_count;
  for (uint64_t n : counts_) count_ += n;
}

void QuantileSketch::Add(double value) {
  RACKMARK_CHECK(value >= 0);
  ++count_;
  if (value < kZeroBelow) {
    ++zero_count_;
    return;
  }
  AddToBucket(static_cast<int32_t>(std::ceil(std::log(value) / log_gamma_)), 1);
}

void QuantileSketch::AddToBucket(int32_t bucket, uint64_t n) {
  if (counts_.empty()) first_bucket_ = bucket;
  if (bucket < first_bucket_) {
    const auto missing = static_cast<size_t>(first_bucket_ - bucket);
    // Low values are the ones whose loss nobody sees in a tail: they collapse into the lowest kept.
    if (counts_.size() + missing > kMaxBuckets) {
      counts_.front() += n;
      return;
    }
    counts_.insert(counts_.begin(), missing, 0);
    first_bucket_ = bucket;
  }
  auto index = static_cast<size_t>(bucket - first_bucket_);
  if (index >= counts_.size()) counts_.resize(index + 1, 0);
  counts_[index] += n;
  if (counts_.size() > kMaxBuckets) {
    const size_t excess = counts_.size() - kMaxBuckets;
    uint64_t folded = 0;
    for (size_t i = 0; i < excess; ++i) folded += counts_[i];
    counts_.erase(counts_.begin(), counts_.begin() + static_cast<ptrdiff_t>(excess));
    counts_.front() += folded;
    first_bucket_ += static_cast<int32_t>(excess);
  }
}

bool QuantileSketch::Merge(const QuantileSketch& other) {
  if (other.relative_error_ != relative_error_) return false;
  count_ += other.count_;
  zero_count_ += other.zero_count_;
  for (size_t i = other.counts_.size(); i-- > 0;) {  // from the top: fewer shifts
    if (other.counts_[i] > 0) {
      AddToBucket(other.first_bucket_ + static_cast<int32_t>(i), other.counts_[i]);
    }
  }
  return true;
}

std::optional<double> QuantileSketch::Quantile(double q) const {
  if (count_ == 0) return std::nullopt;
  const auto rank = std::clamp<uint64_t>(
      static_cast<uint64_t>(std::ceil(q * static_cast<double>(count_))), 1, count_);
  uint64_t seen = zero_count_;
  if (rank <= seen) return 0.0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen >= rank) {
      const double upper = std::exp(log_gamma_ * (first_bucket_ + static_cast<double>(i)));
      return upper * (1 - relative_error_);
    }
  }
  return std::nullopt;  // unreachable while count_ is the sum
}

}  // namespace rackmark

// Mergeable quantile sketch with a stated relative error: logarithmic buckets, as DDSketch has
// them. Any quantile it returns is within relative_error of a value that was added. One owner, no
// locks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace rackmark {

class QuantileSketch {
 public:
  static constexpr double kDefaultRelativeError = 0.01;
  static constexpr size_t kMaxBuckets = 4096;  // beyond it the lowest buckets collapse

  explicit QuantileSketch(double relative_error = kDefaultRelativeError);
  // From stored parts (rackmark.v1.Sketch).
  QuantileSketch(double relative_error, uint64_t zero_count, int32_t first_bucket,
                 std::vector<uint64_t> counts);

  // value >= 0; values below 1e-9 count as zero. Negative and NaN values are our bug.
  void Add(double value);
  // False, and nothing merged, if the relative errors differ.
  bool Merge(const QuantileSketch& other);
  // Nearest rank; missing while empty. q in [0, 1].
  std::optional<double> Quantile(double q) const;

  uint64_t count() const { return count_; }
  double relative_error() const { return relative_error_; }
  uint64_t zero_count() const { return zero_count_; }
  int32_t first_bucket() const { return first_bucket_; }
  const std::vector<uint64_t>& counts() const { return counts_; }

 private:
  void AddToBucket(int32_t bucket, uint64_t n);

  double relative_error_;
  double log_gamma_;
  uint64_t count_ = 0;
  uint64_t zero_count_ = 0;
  int32_t first_bucket_ = 0;
  std::vector<uint64_t> counts_;  // counts_[i]: bucket first_bucket_ + i
};

}  // namespace rackmark

// Seeded randomness with a fixed algorithm, so that a seed means the same stream for ever and on
// every machine (the standard distributions promise neither). Not for secrets.
#pragma once

#include <cmath>
#include <cstdint>

namespace rackmark {

// SplitMix64's output function: a good hash of 64 bits.
constexpr uint64_t Mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// A stream of numbers. Cheap to copy; one owner, no thread safety.
class Random {
 public:
  // Different streams of one seed are independent: arrivals do not shift when lengths change.
  Random(uint64_t seed, uint64_t stream) : state_(Mix64(seed ^ Mix64(stream))) {}

  uint64_t Next() {
    state_ += 0x9e3779b97f4a7c15ULL;
    uint64_t x = state_;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
  }
  // [0, 1), 53 bits.
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }
  // min..max, both included; bias below 2^-32 for ranges below 2^32.
  uint64_t Between(uint64_t min, uint64_t max) {
    const Wide product = static_cast<Wide>(Next()) * (max - min + 1);
    return min + static_cast<uint64_t>(product >> 64);
  }
  // Exponential with this mean.
  double Exponential(double mean) { return -mean * std::log1p(-Uniform()); }

 private:
  __extension__ typedef unsigned __int128 Wide;  // no ISO name for it
  uint64_t state_;
};

}  // namespace rackmark

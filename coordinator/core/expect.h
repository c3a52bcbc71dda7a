// What a suite expects of the fleet, against the fleet as it is: parts that are missing, too many,
// swapped or unlike the others, by node, slot and serial. Pure: nothing but what nodes say of
// themselves, and whether they can be asked.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "rackmark/v1/cluster.pb.h"
#include "rackmark/v1/suite.pb.h"

namespace rackmark {
namespace expect {

enum class Presence {
  kThere,     // it reports, and may be used
  kSilent,    // it may yet report
  kSetAside,  // it is there, and must not be used: cordoned, in quarantine
  kAbsent,    // it was there once, and is lost
};

// A node that the coordinator has heard of.
struct Seen {
  const v1::NodeInfo* info = nullptr;
  Presence presence = Presence::kThere;
  std::string why;                                // it is not kThere
  std::map<uint32_t, std::string> unusable = {};  // devices that nothing is placed on, and why
};

constexpr size_t kFindingsMax = 256;  // the last one then says how many more there are

// Which nodes an expectation speaks of. Refers to it.
class Meant {
 public:
  explicit Meant(const v1::Expectation& expectation);
  bool Includes(const v1::NodeInfo& node) const;  // named, or by its labels
  bool IsNamed(const std::string& node) const { return named_.count(node) != 0; }
  // All that are waited for, by name or by count: `present` are there, whether to be used or not.
  bool Complete(const std::set<std::string>& heard, uint32_t present) const;
  const std::set<std::string>& named() const { return named_; }

 private:
  const v1::Expectation& expectation_;
  std::set<std::string> named_;
};

// `nodes` in the order of their ids. Of those that are not kThere nothing can be said: EXCLUDED.
std::vector<v1::Finding> Compare(const v1::Expectation& expectation,
                                 const std::vector<Seen>& nodes);

// Of these findings those that are EXCLUDED: what was there is not there to be used any more.
std::vector<v1::Finding> Excluded(const v1::Expectation& expectation,
                                  const std::vector<Seen>& nodes);

}  // namespace expect

// "node n1 slot 3: links are 12, expected 18"
std::string SentenceOf(const v1::Finding& finding);

}  // namespace rackmark

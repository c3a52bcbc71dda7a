// The inventory: devices in nodes in NVLink domains in racks, and who holds them. Told of single
// changes (a node's facts, a lease's), so that a decision costs what has changed and not the fleet.
// Built for 10,000 nodes with 80,000 devices. One owner, one thread: it remembers what was asked
// (pools) behind const; answers depend on the facts alone.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/ids.h"
#include "common/time.h"
#include "coordinator/plan/gang.h"
#include "coordinator/plan/layout.h"
#include "coordinator/plan/pool.h"

namespace rackmark::plan {

struct DeviceFacts {
  uint32_t index = 0;
  v1::DeviceKind kind = v1::DEVICE_KIND_UNKNOWN;
  std::string model;
  bool healthy = true;
  LeaseId holder;  // none = free; a lease that nobody told of holds it just as well
};

// A node is in one domain. A GPU that reports another than its node's is for the caller to hand
// over as unhealthy.
struct NodeFacts {
  NodeId id;
  std::string name;
  std::string domain;  // NVLink domain; empty = none
  std::string rack;    // empty = unknown
  std::map<std::string, std::string> labels;
  Readiness readiness = Readiness::kReady;
  bool cordoned = false;     // by a person
  bool quarantined = false;  // by its own offences
  std::vector<DeviceFacts> devices;
};

struct LeaseFacts {
  LeaseId id;
  int32_t priority = 0;
  bool preemptible = false;
  bool yielding = false;   // has been told to go: its devices are on their way back
  bool exclusive = false;  // of the domains that it touches
  Nanos started = 0;
  std::optional<Nanos> ends;  // by its budget; missing = nobody can say
};

// What a node's new facts have changed.
enum class NodeChange {
  kNothing,
  kHolders,  // who holds its devices, and nothing else
  kFacts,  // what it is, or whether it and its devices may be used: what there is to be had at all
};

struct Refusals;

struct Seat {
  NodeId node;
  uint32_t device = 0;
  auto operator<=>(const Seat&) const = default;
};

class Fleet {
 public:
  struct Device {
    uint32_t index = 0;
    uint32_t klass = 0;  // of kind and model, into classes()
    bool healthy = true;
    std::optional<uint32_t> lease;  // slot, into leases()
    uint32_t seat = 0;              // and which of its seats this is
  };
  struct Node {
    NodeId id;
    std::string name, domain, rack;
    std::map<std::string, std::string> labels;
    Readiness readiness = Readiness::kReady;
    bool cordoned = false, quarantined = false;
    std::vector<Device> devices;  // by index
    bool Placeable(bool check_of_quarantined) const {
      return readiness == Readiness::kReady && !cordoned && quarantined == check_of_quarantined;
    }
  };
  // A device as slot of a node and position in its devices.
  struct Where {
    uint32_t node = 0, device = 0;
    bool operator==(const Where&) const = default;
  };
  struct Lease {
    LeaseFacts facts;    // id none = a free slot
    bool known = false;  // SetLease told of it; else it has no end and is nobody's to preempt
    std::vector<Where> seats;
  };
  using Class = std::pair<v1::DeviceKind, std::string>;  // kind and model
  struct Use {
    uint32_t held = 0, exclusive = 0;  // devices in a domain
  };

  NodeChange SetNode(const NodeFacts& facts);  // all of a node's facts; a new one joins
  void DropNode(NodeId id);
  void SetLease(const LeaseFacts& facts);
  // The seats' devices are the lease's from now on; each must exist and be free.
  void Hold(LeaseId lease, const std::vector<Seat>& seats);
  void Free(LeaseId lease);               // gives all back and forgets its facts
  void Free(LeaseId lease, NodeId node);  // what it has on one node

  const std::vector<Node>& nodes() const { return nodes_; }  // in no order that means anything
  const std::vector<Class>& classes() const { return classes_; }
  const std::vector<Lease>& leases() const { return leases_; }  // slots; a free one has no id
  // Leases whose end is known, soonest first: (end, slot).
  const std::vector<std::pair<Nanos, uint32_t>>& ends() const { return ends_; }
  const Layout& layout() const;
  Use UseOf(uint32_t domain) const;  // by the layout's number
  const Node& NodeAt(uint32_t ordinal) const { return nodes_[layout().order[ordinal]]; }
  const Node* Find(NodeId id) const;
  std::optional<Where> Find(const Seat& seat) const;

  std::optional<uint32_t> FindLease(LeaseId id) const;  // its slot
  // The device may be used under this assumption, were nobody holding it.
  bool Usable(const Pool& pool, const Node& node, const Device& device) const;

  // What the selector may choose from, up to date. Good until the fleet
  // changes, or is asked for many other selectors.
  const Pool& PoolOf(const Selector& selector, Assume assume) const;

  // Goes up with each change that Assume::kFreed sees; 0 = never.
  uint64_t facts_version() const { return facts_version_; }
  // Why the request has no place (refusals.h): kept until anything changes. Null = nobody asked.
  std::shared_ptr<const Refusals>& Explanation(const GangRequest& request) const;

  // What its answers have cost so far, in things looked at: tests and benches hold it down.
  struct Work {
    uint64_t counted = 0;    // nodes asked whether a selector means them
    uint64_t refreshed = 0;  // times that a pool took in what had changed of a node
    uint64_t explained = 0;
  };
  const Work& work() const { return work_; }

 private:
  struct Kept {
    Pool pool;
    uint64_t seen = 0;  // changes that are in it
    uint64_t used = 0;  // when it was asked for last
  };
  struct Changes {  // ordinals, since so many changes before
    std::vector<uint32_t> nodes;
    uint64_t before = 0;
    void Add(uint32_t ordinal);
    uint64_t now() const { return before + nodes.size(); }
  };
  struct Derived {  // from the facts, made when asked for
    Layout layout;
    std::vector<Use> use;                                                         // by domain
    std::map<std::pair<std::string, std::string>, std::vector<uint32_t>> labels;  // ordinals
    bool labels_known = false;
    std::map<std::string, std::vector<uint32_t>> names;  // ordinals
    Changes any, facts;  // most are of holders, and mean nothing to what assumes that all is free
    std::map<std::pair<Selector, Assume>, Kept> pools;
    uint64_t asked = 0;
    std::map<GangRequest, std::shared_ptr<const Refusals>> explained;  // as of `explained_at`
    uint64_t explained_at = 0;
  };

  uint32_t ClassOf(const DeviceFacts& device);
  void ForgetClasses();
  uint32_t LeaseSlot(LeaseId id);
  bool SamePlace(const Node& node, const NodeFacts& facts) const;
  void SetHolder(Where where, std::optional<uint32_t> lease);
  void DropLease(uint32_t slot);
  void SetEnd(uint32_t slot, std::optional<Nanos> ends);
  bool SameFacts(const Node& node, const NodeFacts& facts) const;
  void Touch(uint32_t node);       // its counts have changed
  void TouchFacts(uint32_t node);  // ... by more than its holders
  void Restructure();              // what was derived is void
  Pool Build(const Selector& selector, Assume assume) const;
  Pool BuildAvoiding(const Selector& selector, Assume assume) const;
  std::optional<std::vector<uint32_t>> Candidates(const Selector& selector) const;
  std::vector<uint32_t> Members(const Selector& selector,
                                const std::vector<uint8_t>& classes) const;
  void Refresh(Pool& pool, uint32_t position) const;

  std::vector<Node> nodes_;
  std::map<NodeId, uint32_t> slot_of_node_;
  std::vector<Class> classes_;
  std::map<Class, uint32_t> class_ids_;
  std::vector<Lease> leases_;
  std::vector<uint32_t> free_slots_;
  std::map<LeaseId, uint32_t> slot_of_lease_;
  std::vector<std::pair<Nanos, uint32_t>> ends_;
  uint64_t facts_version_ = 1;
  mutable std::optional<Derived> derived_;
  mutable Work work_;
};

}  // namespace rackmark::plan

#include "kernels/collective_hier.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "kernels/call_signature.h"
#include "kernels/leader_waits.h"

namespace rackmark {
namespace {

// What leaders tell each other first: equal numbers, or their calls differ. Of fixed size, so that
// it fits whatever the other side wants to call.
struct Token {
  uint64_t call = 0;
  uint64_t signature = 0;
};

// Up to here every leader sends all it has to every other; above, and with three hosts or more,
// each sums one share and sends that.
constexpr size_t kSharesFromBytes = 64 << 10;

class HierCollective : public Collective {
 public:
  explicit HierCollective(HierOptions options)
      : groups_(std::move(options.groups)),
        mesh_(std::move(options.mesh)),
        local_(options.local ? std::move(options.local) : MakeSoloCollective()),
        plan_(PlanTree(groups_, mesh_->world())) {
    for (size_t host = 0; host < groups_.size(); ++host) {
      const auto& ranks = groups_[host];
      if (std::find(ranks.begin(), ranks.end(), rank()) != ranks.end()) host_ = host;
    }
    RACKMARK_CHECK(groups_.size() >= 2 && local_->world() == static_cast<int>(mine().size()));
  }

  int rank() const override { return mesh_->rank(); }
  int world() const override { return mesh_->world(); }

  absl::StatusOr<CollectiveTiming> AllReduceSum(float* data, size_t n) override {
    Begin(CallSignature(CollectiveCall::kAllReduce, n * sizeof(float), 0));
    RETURN_IF_ERROR(Local([&] { return GatherPartials(data, n); }));
    RETURN_IF_ERROR(Across([&](Messages m) { return SumAcross(std::move(m), n, data); }));
    return End(data, n * sizeof(float), n * sizeof(float));
  }

  absl::StatusOr<CollectiveTiming> AllGather(const void* mine_data, size_t bytes,
                                             void* all) override {
    Begin(CallSignature(CollectiveCall::kAllGather, bytes, 0));
    rows_.resize(static_cast<size_t>(world()) * bytes / sizeof(float) + 1);
    char* rows = reinterpret_cast<char*>(rows_.data());  // (world, bytes) by host, then by rank
    char* host_rows = rows + RanksBefore(host_) * bytes;
    RETURN_IF_ERROR(Local([&] { return local_->AllGather(mine_data, bytes, host_rows); }));
    RETURN_IF_ERROR(Across([&](Messages m) {
      for (size_t host = 0; host < groups_.size(); ++host) {
        if (host == host_) continue;
        m.out.push_back({LeaderOf(host), host_rows, mine().size() * bytes});
        m.in.push_back(
            {LeaderOf(host), rows + RanksBefore(host) * bytes, groups_[host].size() * bytes});
      }
      return Send(m);
    }));
    if (IsLeader() && bytes > 0) ByRank(rows, bytes, static_cast<char*>(all));
    const size_t total = bytes * static_cast<size_t>(world());
    return End(all, total, total);
  }

  absl::StatusOr<CollectiveTiming> Broadcast(int root, void* data, size_t bytes) override {
    RACKMARK_CHECK(root >= 0 && root < world());
    Begin(CallSignature(CollectiveCall::kBroadcast, bytes, root));
    const auto here = std::find(mine().begin(), mine().end(), root);
    const bool ours = here != mine().end();
    RETURN_IF_ERROR(Local([&] {
      const int from = static_cast<int>(here - mine().begin());
      return ours ? local_->Broadcast(from, data, bytes) : local_->Barrier();
    }));
    RETURN_IF_ERROR(Across([&](Messages m) {
      for (size_t host = 0; host < groups_.size(); ++host) {
        const auto& ranks = groups_[host];
        const bool has = std::find(ranks.begin(), ranks.end(), root) != ranks.end();
        if (ours && host != host_) m.out.push_back({LeaderOf(host), data, bytes});
        if (!ours && has) m.in.push_back({LeaderOf(host), data, bytes});
      }
      return Send(m);
    }));
    return End(data, ours ? 0 : bytes, bytes);
  }

  absl::StatusOr<CollectiveTiming> Barrier() override {
    Begin(CallSignature(CollectiveCall::kBarrier, 0, 0));
    RETURN_IF_ERROR(Local([&] { return local_->Barrier(); }));
    RETURN_IF_ERROR(Across([&](Messages m) { return Send(m); }));
    return End(nullptr, 0, 0);
  }

  void SetCallLimit(Nanos limit) override { limit_ = limit; }

  void Abort() override {
    local_->Abort();
    mesh_->Abort();
  }

 private:
  struct Messages {
    std::vector<GlooMesh::Outgoing> out;
    std::vector<GlooMesh::Incoming> in;
  };

  const std::vector<int>& mine() const { return groups_[host_]; }
  int LeaderOf(size_t host) const { return groups_[host].front(); }
  bool IsLeader() const { return rank() == mine().front(); }
  bool HasMembers() const { return mine().size() > 1; }
  size_t RanksBefore(size_t host) const {
    size_t count = 0;
    for (size_t h = 0; h < host; ++h) count += groups_[h].size();
    return count;
  }

  void Begin(uint64_t signature) {
    started_ = SystemClock().Monotonic();
    deadline_ = started_ + limit_;
    token_ = {++calls_, signature};
    waits_ = {};
    local_->SetCallLimit(limit_);
  }

  // The part inside the host, from the first arrival there.
  template <typename Part>
  absl::Status Local(Part part) {
    const absl::StatusOr<CollectiveTiming> timing = part();
    if (!timing.ok()) return Dead(InGangsWords(timing.status()));
    local_timing_ = *timing;
    return absl::OkStatus();
  }

  // The part between leaders: first everybody's arrival, then what is to be moved.
  template <typename Move>
  absl::Status Across(Move move) {
    if (!IsLeader()) return absl::OkStatus();
    RETURN_IF_ERROR(MeetLeaders());
    times_.spread = local_timing_.wait + local_timing_.lateness;
    all_times_.assign(groups_.size(), times_);
    Messages messages;
    for (size_t host = 0; host < groups_.size(); ++host) {
      if (host == host_) continue;
      messages.out.push_back({LeaderOf(host), &times_, sizeof(times_)});
      messages.in.push_back({LeaderOf(host), &all_times_[host], sizeof(times_)});
    }
    RETURN_IF_ERROR(move(std::move(messages)));
    waits_ = WaitsOf(host_, all_times_);
    return absl::OkStatus();
  }

  absl::Status MeetLeaders() {
    const Nanos arrived = SystemClock().Monotonic();
    tokens_.assign(groups_.size(), token_);
    Messages messages;
    for (size_t host = 0; host < groups_.size(); ++host) {
      if (host == host_) continue;
      messages.out.push_back({LeaderOf(host), &token_, sizeof(token_)});
      messages.in.push_back({LeaderOf(host), &tokens_[host], sizeof(token_)});
    }
    RETURN_IF_ERROR(Send(messages));
    times_.meeting = SystemClock().Monotonic() - arrived;
    for (size_t host = 0; host < groups_.size(); ++host) {
      const Token& theirs = tokens_[host];
      if (theirs.call == token_.call && theirs.signature == token_.signature) continue;
      return Dead(absl::FailedPreconditionError(
          absl::StrCat("collective call ", token_.call, " differs: rank ", rank(), " makes ",
                       DescribeCall(token_.signature), ", rank ", LeaderOf(host), " makes ",
                       DescribeCall(theirs.signature))));
    }
    return absl::OkStatus();
  }

  absl::Status Send(Messages& messages) {
    const auto empty = [](const auto& piece) { return piece.bytes == 0; };
    std::erase_if(messages.out, empty);
    std::erase_if(messages.in, empty);
    const absl::Status status = mesh_->Exchange(messages.out, messages.in, deadline_);
    if (status.ok()) return status;
    std::string text =
        absl::StrCat("collective call ", token_.call, " (", DescribeCall(token_.signature), ") ");
    if (absl::IsDeadlineExceeded(status)) {
      absl::StrAppend(&text, "took more than ", FormatDuration(limit_));
    } else {
      absl::StrAppend(&text, "ended: ", status.message());
    }
    std::vector<std::string> names;
    for (const int late : mesh_->late()) names.push_back(HostName(late));
    if (!names.empty()) absl::StrAppend(&text, "; did not arrive: ", absl::StrJoin(names, ", "));
    return Dead(absl::Status(status.code(), text));
  }

  std::string HostName(int leader) const {
    for (const auto& ranks : groups_) {
      if (ranks.front() != leader || ranks.size() == 1) continue;
      return absl::StrCat("the host of ranks ", absl::StrJoin(ranks, ", "));
    }
    return absl::StrCat("rank ", leader);
  }

  // Shared memory counts its ranks from 0 on each host.
  absl::Status InGangsWords(const absl::Status& status) const {
    return absl::Status(
        status.code(),
        absl::StrCat("collective call ", token_.call, " (", DescribeCall(token_.signature),
                     "), on the host of ranks ", absl::StrJoin(mine(), ", "),
                     ", counted from 0 there: ", status.message()));
  }

  // Nobody may go on, neither here nor elsewhere.
  absl::Status Dead(absl::Status why) {
    Abort();
    return why;
  }

  // Leaves the sums of this host's subtrees in partials_, by number; only the leader's are used.
  absl::StatusOr<CollectiveTiming> GatherPartials(float* data, size_t n) {
    const std::vector<int>& own = plan_.of_host[host_];
    partials_.resize(plan_.partials.size() * n);
    if (own.size() == 1) {
      // The host's ranks are one subtree, whose shape is that of a gang of their number.
      const auto timing = local_->AllReduceSum(data, n);
      if (IsLeader()) std::copy_n(data, n, Row(own[0], n));
      return timing;
    }
    rows_.resize(mine().size() * n);
    const auto timing = local_->AllGather(data, n * sizeof(float), rows_.data());
    if (!timing.ok() || !IsLeader()) return timing;
    for (const int index : own) {
      const TreePlan::Partial& partial = plan_.partials[static_cast<size_t>(index)];
      std::vector<const float*> leaves;
      for (size_t i = 0; i < mine().size(); ++i) {
        if (mine()[i] >= partial.first && mine()[i] < partial.last) {
          leaves.push_back(rows_.data() + i * n);
        }
      }
      TreeSum(leaves.data(), static_cast<int>(leaves.size()), n, Row(index, n));
    }
    return timing;
  }

  float* Row(int partial, size_t n) { return partials_.data() + static_cast<size_t>(partial) * n; }

  absl::Status SumAcross(Messages messages, size_t n, float* data) {
    if (groups_.size() > 2 && n * sizeof(float) > kSharesFromBytes) {
      return SumShares(std::move(messages), n, data);
    }
    for (size_t host = 0; host < groups_.size(); ++host) {
      if (host == host_) continue;
      AddRows(host_, LeaderOf(host), {0, n}, n, messages);
      AddRows(host, LeaderOf(host), {0, n}, n, messages);
    }
    RETURN_IF_ERROR(Send(messages));
    AddUp(0, n, n);
    std::copy_n(Row(0, n), n, data);
    return absl::OkStatus();
  }

  // Each leader sums one share of the elements and sends it to the others.
  absl::Status SumShares(Messages messages, size_t n, float* data) {
    const auto share = [&](size_t host) {
      constexpr size_t kLine = 16;
      const size_t hosts = groups_.size();
      const size_t each = (n + hosts * kLine - 1) / (hosts * kLine) * kLine;
      const size_t first = std::min(n, each * host);
      return std::pair<size_t, size_t>(first, std::min(each, n - first));
    };
    for (size_t host = 0; host < groups_.size(); ++host) {
      if (host == host_) continue;
      AddRows(host_, LeaderOf(host), share(host), n, messages);
      AddRows(host, LeaderOf(host), share(host_), n, messages);
    }
    RETURN_IF_ERROR(Send(messages));
    const auto [first, count] = share(host_);
    AddUp(first, count, n);
    std::copy_n(Row(0, n) + first, count, data + first);
    Messages sums;
    for (size_t host = 0; host < groups_.size(); ++host) {
      if (host == host_) continue;
      sums.out.push_back({LeaderOf(host), data + first, count * sizeof(float)});
      sums.in.push_back(
          {LeaderOf(host), data + share(host).first, share(host).second * sizeof(float)});
    }
    return Send(sums);
  }

  // From the order of hosts to that of ranks.
  void ByRank(const char* rows, size_t bytes, char* all) const {
    for (const auto& ranks : groups_) {
      for (const int r : ranks) {
        std::memcpy(all + static_cast<size_t>(r) * bytes, rows, bytes);
        rows += bytes;
      }
    }
  }

  // The rows of `owner`, elements [first, first + count): out if they are ours, else in.
  void AddRows(size_t owner, int peer, std::pair<size_t, size_t> part, size_t n,
               Messages& messages) {
    for (const int index : plan_.of_host[owner]) {
      float* at = Row(index, n) + part.first;
      const size_t bytes = part.second * sizeof(float);
      if (owner == host_) {
        messages.out.push_back({peer, at, bytes});
      } else {
        messages.in.push_back({peer, at, bytes});
      }
    }
  }

  // Into row 0, elements [first, first + count).
  void AddUp(size_t first, size_t count, size_t n) {
    for (const auto& [to, from] : plan_.additions) {
      float* sum = Row(to, n) + first;
      const float* more = Row(from, n) + first;
      for (size_t i = 0; i < count; ++i) sum[i] += more[i];
    }
  }

  // The leader gives the result, and the times, to the others of its host.
  absl::StatusOr<CollectiveTiming> End(void* result, size_t result_bytes, uint64_t bytes) {
    if (HasMembers()) {
      // The leader may have taken its own limit to meet the others.
      local_->SetCallLimit(2 * limit_);
      for (const auto& [data, size] : {std::pair<void*, size_t>{result, result_bytes},
                                       std::pair<void*, size_t>{&waits_, sizeof(waits_)}}) {
        if (size == 0) continue;
        const auto timing = local_->Broadcast(0, data, size);
        if (!timing.ok()) return Dead(InGangsWords(timing.status()));
      }
    }
    // Only leaders speak to other hosts. Everybody is in its first call, so nothing of the meeting
    // is still on its way.
    if (!IsLeader() && calls_ == 1) mesh_->Leave();
    const Nanos total = SystemClock().Monotonic() - started_;
    const Nanos wait = local_timing_.wait + waits_.of_host;
    return CollectiveTiming{.wait = wait,
                            .transfer = std::max<Nanos>(0, total - wait),
                            .lateness = std::max<Nanos>(0, waits_.longest - wait),
                            .bytes = bytes};
  }

  const HostGroups groups_;
  const std::shared_ptr<GlooMesh> mesh_;
  const std::unique_ptr<Collective> local_;
  const TreePlan plan_;
  size_t host_ = 0;  // index of this rank's group
  Nanos limit_ = kDefaultCallLimit;

  // Of the call in progress. Members, because Gloo reads and writes them until the call is over.
  Nanos started_ = 0;
  Nanos deadline_ = 0;
  uint64_t calls_ = 0;
  Token token_;
  CollectiveTiming local_timing_;
  LeaderWaits waits_;  // what the members of a host learn of their leader, with the result
  LeaderTimes times_;
  std::vector<Token> tokens_;           // (hosts)
  std::vector<LeaderTimes> all_times_;  // (hosts)
  std::vector<float> rows_;      // this host's rows, or everybody's; only as bytes in AllGather
  std::vector<float> partials_;  // (partials, n)
};

}  // namespace

std::unique_ptr<Collective> MakeHierCollective(HierOptions options) {
  return std::make_unique<HierCollective>(std::move(options));
}

}  // namespace rackmark

#include "worker/rank/host_transport.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <tuple>
#include <utility>

#include "common/gloo_card.h"
#include "common/log.h"
#include "common/text.h"
#include "kernels/collective_hier.h"
#include "worker/rank/interface.h"

namespace rackmark {
namespace {

constexpr const char* kShmFolder = "/dev/shm";
// How long ranks that could also use Gloo wait for one that does not come to the shared segment.
constexpr Nanos kPatience = 10 * kSecond;

// Host ids are hashes: their beginning tells two apart.
std::string Short(const std::string& id) { return id.substr(0, 16); }

HostGroups Singles(int world) {
  HostGroups groups;
  for (int rank = 0; rank < world; ++rank) groups.push_back({rank});
  return groups;
}

const std::vector<int>& GroupOf(const HostGroups& groups, int rank) {
  for (const auto& ranks : groups) {
    if (std::find(ranks.begin(), ranks.end(), rank) != ranks.end()) return ranks;
  }
  RACKMARK_CHECK(false);
  return groups.front();
}

}  // namespace

// What a rank says of its part in the proof, in a message of fixed size.
struct HostTransport::Proof {
  uint8_t good = 1;
  char why[255] = {};

  void Fail(int rank, std::string_view reason) {
    good = 0;
    const std::string text = absl::StrCat("rank ", rank, ": ", ToAbsl(reason));
    std::memcpy(why, text.data(), std::min(text.size(), sizeof(why) - 1));
  }
  // It came over the network in the clear.
  std::string Why() const {
    return EscapeControl(std::string_view(why, strnlen(why, sizeof(why))));
  }
};

std::optional<std::string> WhyApart(const v1::AddressCard& a, const v1::AddressCard& b) {
  if (a.host_id() != b.host_id()) {
    return absl::StrCat("hosts ", Short(a.host_id()), " and ", Short(b.host_id()), " differ");
  }
  for (const v1::AddressCard* card : {&a, &b}) {
    if (card->shm_device() == 0) {
      return absl::StrCat("rank ", card->rank(), " offers no shared memory");
    }
  }
  if (a.boot_id() != b.boot_id()) {
    return absl::StrCat("ranks ", a.rank(), " and ", b.rank(), " run under different kernels");
  }
  if (a.shm_device() != b.shm_device()) {
    return absl::StrCat("ranks ", a.rank(), " and ", b.rank(),
                        " see different /dev/shm file systems");
  }
  return std::nullopt;
}

HostGroups CandidateGroups(const std::vector<v1::AddressCard>& cards) {
  HostGroups groups;
  std::map<std::tuple<std::string, std::string, uint64_t>, size_t> known;
  for (size_t rank = 0; rank < cards.size(); ++rank) {
    const v1::AddressCard& card = cards[rank];
    size_t group = groups.size();
    if (card.shm_device() != 0) {
      group = known.try_emplace({card.host_id(), card.boot_id(), card.shm_device()}, group)
                  .first->second;
    }
    if (group == groups.size()) groups.emplace_back();
    groups[group].push_back(static_cast<int>(rank));
  }
  return groups;
}

HostTransport::HostTransport(const v1::RankInit& init, SegmentName* name)
    : init_(init),
      policy_(init.transport() == v1::TRANSPORT_POLICY_UNKNOWN ? v1::TRANSPORT_POLICY_AUTO
                                                               : init.transport()),
      name_(name) {}

std::vector<std::string> GlooAddressesOf(const std::vector<v1::AddressCard>& cards, int rank,
                                         size_t card_bytes) {
  std::vector<std::string> addresses;
  for (const v1::AddressCard& card : cards) {
    const std::string& bytes = card.gloo_addresses();
    addresses.push_back(IsGlooSlice(bytes)
                            ? WidenGlooSlice(bytes, card_bytes, cards.size(), card.rank(),
                                             static_cast<uint32_t>(rank))
                            : bytes);
  }
  return addresses;
}

absl::Status HostTransport::FillCard(v1::AddressCard* card) {
  if (World() == 1) return absl::OkStatus();  // there is nobody to meet
  if (!MayShare()) no_memory_ = "its worker's --transport is gloo";
  if (!MayGloo()) no_gloo_ = "its worker's --transport is shm";
  if (MayShare()) {
    const absl::Status status = OfferMemory(card);
    if (!status.ok() && !MayGloo()) return status;
    if (!status.ok()) no_memory_ = std::string(status.message());
  }
  if (!MayGloo()) return absl::OkStatus();
  const absl::Status status = OfferGloo(card);
  if (status.ok()) return status;
  no_gloo_ = std::string(status.message());
  if (no_memory_.empty()) return absl::OkStatus();
  return absl::UnimplementedError(
      absl::StrCat("this rank has no transport: ", no_gloo_, "; shared memory: ", no_memory_));
}

absl::Status HostTransport::OfferMemory(v1::AddressCard* card) {
  struct stat shm {};
  if (stat(kShmFolder, &shm) != 0) return ErrnoStatus(errno, kShmFolder);
  ASSIGN_OR_RETURN(promise_, ShmSegment::Promise());
  if (!name_->given().empty()) promise_.name = name_->given();
  // Only rank 0 makes its segment now. Who leads another host is known with the cards.
  if (Rank() == 0) RETURN_IF_ERROR(MakeSegment(World()));
  card->set_shm_device(shm.st_dev);
  card->set_shm_name(promise_.name);
  card->set_shm_nonce(promise_.nonce);
  return absl::OkStatus();
}

absl::Status HostTransport::OfferGloo(v1::AddressCard* card) {
  if (static_cast<size_t>(World()) > kGlooRanksMax) {
    return absl::UnimplementedError(
        absl::StrCat("Gloo meets at most ", kGlooRanksMax, " ranks, and these are ", World()));
  }
  interface_ = init_.interface();
  if (interface_.empty()) {
    // A machine that is in no network can still be several nodes.
    interface_ = DefaultInterface().value_or("lo");
  }
  ASSIGN_OR_RETURN(auto mesh, GlooMesh::Create({Rank(), World(), interface_, kMeetingLimit}));
  if (Rank() == 0) {
    ASSIGN_OR_RETURN(listener_, ChannelListener::Open(interface_));
    card->set_channel_address(listener_->address());
    card->set_channel_nonce(listener_->nonce());
  }
  card->set_gloo_addresses(mesh->addresses());
  std::lock_guard lock(mutex_);
  mesh_ = std::move(mesh);
  return absl::OkStatus();
}

absl::Status HostTransport::MakeSegment(int world) {
  ShmSegment::Options options = promise_;
  options.world = world;
  name_->Made(options.name);  // before it stands, so that no end of this process leaves it there
  ASSIGN_OR_RETURN(auto segment, ShmSegment::Create(options));
  std::lock_guard lock(mutex_);
  segment_ = std::move(segment);
  if (aborted_.load()) segment_->Abort();
  return absl::OkStatus();
}

absl::Status HostTransport::Attach(const v1::AddressCard& leader, int local_rank) {
  ASSIGN_OR_RETURN(auto segment,
                   ShmSegment::Attach(leader.shm_name(), leader.shm_nonce(), local_rank));
  std::lock_guard lock(mutex_);
  segment_ = std::move(segment);
  if (aborted_.load()) segment_->Abort();
  return absl::OkStatus();
}

void HostTransport::DropSegment() {
  std::lock_guard lock(mutex_);
  segment_.reset();
  name_->Remove();
}

void HostTransport::DropGloo() {
  listener_.reset();
  std::lock_guard lock(mutex_);
  if (mesh_ == nullptr) return;
  // Its threads notice only when their poll returns, which no run should wait for.
  goodbye_ = std::thread([mesh = std::move(mesh_)]() mutable { mesh.reset(); });
}

HostTransport::~HostTransport() {
  if (goodbye_.joinable()) goodbye_.join();
}

absl::Status HostTransport::NoTransport(const std::vector<v1::AddressCard>& cards,
                                        std::string_view why) const {
  std::string text = absl::StrCat("no common transport: ", ToAbsl(why));
  for (const v1::AddressCard& card : cards) {
    if (!card.gloo_addresses().empty()) continue;
    const bool own = static_cast<int>(card.rank()) == Rank();
    absl::StrAppend(&text, ", and rank ", card.rank(), " offers no Gloo",
                    own && !no_gloo_.empty()
                        ? absl::StrCat(" (", no_gloo_, ")")
                        : " (see --transport and --interface of its worker; more ranks than its "
                          "addresses fit into a message for need fewer of them on a node)");
    break;
  }
  return absl::UnimplementedError(text);
}

absl::Status HostTransport::Connect(const std::vector<v1::AddressCard>& cards) {
  const absl::Status met = Meet(cards);
  // What cannot be is found by each rank itself.
  if (!met.ok() && !absl::IsUnimplemented(met)) GiveUp(cards);
  return met;
}

// The peers must not wait for a rank that will not come.
void HostTransport::GiveUp(const std::vector<v1::AddressCard>& cards) {
  Abort();
  listener_.reset();
  if (mesh_ == nullptr) return;
  mesh_->Connect(GlooAddressesOf(cards, Rank(), mesh_->addresses().size())).IgnoreError();
}

absl::Status HostTransport::Meet(const std::vector<v1::AddressCard>& cards) {
  if (World() == 1) {
    collective_ = MakeSoloCollective();
    return absl::OkStatus();
  }
  const bool gloo = std::none_of(cards.begin(), cards.end(), [](const v1::AddressCard& card) {
    return card.gloo_addresses().empty();
  });
  HostGroups groups = CandidateGroups(cards);
  std::string why;
  if (groups.size() == 1) {
    const absl::Status met = MeetInMemory(cards[0], gloo ? kPatience : kMeetingLimit, gloo);
    if (met.ok()) DropGloo();
    if (met.ok() || aborted_.load() || absl::IsUnavailable(met)) return met;
    if (!gloo) {
      if (absl::IsDeadlineExceeded(met)) return met;
      return NoTransport(cards, absl::StrCat("shared memory was not proven (", met.message(), ")"));
    }
    DropSegment();
    why = absl::StrCat("shared memory was not proven: ", met.message());
    Log(LogLevel::kWarning, absl::StrCat("Gloo instead of shared memory: ", met.message()));
    groups = Singles(World());
  } else {
    const int other = groups[1].front();
    why = policy_ == v1::TRANSPORT_POLICY_GLOO
              ? "forced by the worker's --transport"
              : *WhyApart(cards[0], cards[static_cast<size_t>(other)]);
    if (!gloo) return NoTransport(cards, why);
  }
  return MeetOverGloo(cards, std::move(groups), std::move(why));
}

absl::Status HostTransport::MeetInMemory(const v1::AddressCard& leader, Nanos limit,
                                         bool else_gloo) {
  if (Rank() != 0) RETURN_IF_ERROR(Attach(leader, Rank()));
  absl::Status met = segment_->AwaitAll(limit);
  // Either all ranks meet here or none does: the first to lose patience decides, unless the last
  // one has just come.
  if (absl::IsDeadlineExceeded(met) && else_gloo && !segment_->Abandon()) {
    met = segment_->AwaitAll(limit);
  }
  RETURN_IF_ERROR(met);
  name_->Gone();
  collective_ = MakeShmCollective(segment_);
  channel_ = MakeShmChannel(segment_);
  collective_->SetCallLimit(kCollectiveLimit);
  code_ = TransportCode::kShm;
  sentence_ = "shared memory of one host, proven by its nonce";
  return absl::OkStatus();
}

absl::Status HostTransport::MeetOverGloo(const std::vector<v1::AddressCard>& cards,
                                         HostGroups groups, std::string why) {
  RETURN_IF_ERROR(mesh_->Connect(GlooAddressesOf(cards, Rank(), mesh_->addresses().size())));
  RETURN_IF_ERROR(ProveGroups(cards, groups, why));
  std::unique_ptr<Collective> local;
  std::unique_ptr<HostChannel> ring;
  if (GroupOf(groups, Rank()).size() > 1) {
    RETURN_IF_ERROR(segment_->AwaitAll(kMeetingLimit));
    name_->Gone();
    local = MakeShmCollective(segment_);
    ring = MakeShmChannel(segment_);
  }
  const bool mixed = static_cast<int>(groups.size()) < World();
  RETURN_IF_ERROR(OpenChannel(cards[0], groups, std::move(ring)));
  code_ = mixed ? TransportCode::kMixed : TransportCode::kGloo;
  sentence_ = absl::StrCat(
      "Gloo over ", interface_,
      mixed ? absl::StrCat(" between ", groups.size(), " hosts, shared memory inside them: ")
            : ": ",
      why);
  auto collective = MakeHierCollective({std::move(groups), mesh_, std::move(local)});
  collective->SetCallLimit(kCollectiveLimit);
  std::lock_guard lock(mutex_);
  collective_ = std::move(collective);
  return absl::OkStatus();
}

absl::Status HostTransport::ProveGroups(const std::vector<v1::AddressCard>& cards,
                                        HostGroups& groups, std::string& why) {
  DropSegment();  // rank 0's was for the whole gang
  if (static_cast<int>(groups.size()) == World()) return absl::OkStatus();
  const std::vector<int>& mine = GroupOf(groups, Rank());
  const bool leads = mine.front() == Rank();
  Proof proof;
  if (mine.size() > 1 && leads) {
    const absl::Status made = MakeSegment(static_cast<int>(mine.size()));
    if (!made.ok()) proof.Fail(Rank(), FromAbsl(made.message()));
  }
  // Only now are the segments there to be looked for.
  ASSIGN_OR_RETURN(const auto made, ShareProofs(proof));
  const size_t leader = static_cast<size_t>(mine.front());
  if (mine.size() > 1 && !leads && made[leader].good != 0) {
    const auto place = std::find(mine.begin(), mine.end(), Rank());
    const absl::Status attached = Attach(cards[leader], static_cast<int>(place - mine.begin()));
    if (!attached.ok()) proof.Fail(Rank(), FromAbsl(attached.message()));
  }
  ASSIGN_OR_RETURN(const auto proofs, ShareProofs(proof));
  HostGroups proven;
  bool still_mine = false;
  for (const auto& ranks : groups) {
    const auto bad = std::find_if(ranks.begin(), ranks.end(), [&](int rank) {
      return proofs[static_cast<size_t>(rank)].good == 0;
    });
    if (bad == ranks.end()) {
      proven.push_back(ranks);
      still_mine = still_mine || (&ranks == &mine && ranks.size() > 1);
      continue;
    }
    why +=
        absl::StrCat("; shared memory was not proven: ", proofs[static_cast<size_t>(*bad)].Why());
    for (const int rank : ranks) proven.push_back({rank});
  }
  // Hosts are in the order of their first rank, whoever broke up.
  std::sort(proven.begin(), proven.end());
  if (!still_mine) DropSegment();
  groups = std::move(proven);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<HostTransport::Proof>> HostTransport::ShareProofs(const Proof& mine) {
  std::vector<Proof> all(static_cast<size_t>(World()), mine);
  std::vector<GlooMesh::Outgoing> out;
  std::vector<GlooMesh::Incoming> in;
  for (int peer = 0; peer < World(); ++peer) {
    if (peer == Rank()) continue;
    out.push_back({peer, &mine, sizeof(mine)});
    in.push_back({peer, &all[static_cast<size_t>(peer)], sizeof(mine)});
  }
  RETURN_IF_ERROR(mesh_->Exchange(out, in, SystemClock().Monotonic() + kMeetingLimit));
  return all;
}

absl::Status HostTransport::OpenChannel(const v1::AddressCard& leader, const HostGroups& groups,
                                        std::unique_ptr<HostChannel> ring) {
  TcpChannelOptions options;
  options.groups = groups;
  options.rank = Rank();
  options.world = World();
  options.local = std::move(ring);
  options.abort = channel_abort_;
  options.limit = kMeetingLimit;
  auto channel = Rank() == 0 ? listener_->Accept(std::move(options))
                             : DialHostChannel(std::move(options), leader.channel_address(),
                                               leader.channel_nonce());
  if (!channel.ok()) return channel.status();
  channel_ = *std::move(channel);
  listener_.reset();
  return absl::OkStatus();
}

void HostTransport::Abort() {
  aborted_.store(true);
  channel_abort_->Trigger();
  std::lock_guard lock(mutex_);
  if (segment_ != nullptr) segment_->Abort();
  if (mesh_ != nullptr) mesh_->Abort();
}

}  // namespace rackmark

// How ranks on CPU slots meet: shared memory among those that prove it, Gloo between the rest. What
// goes on the address card, the proof, and the collective and host channel that come of it. Used by
// the runner's thread; Abort by any. One object serves one communicator.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/series.h"
#include "common/status.h"
#include "common/time.h"
#include "kernels/collective.h"
#include "kernels/collective_gloo.h"
#include "kernels/collective_shm.h"
#include "kernels/host_channel.h"
#include "kernels/host_channel_tcp.h"
#include "kernels/tree_plan.h"
#include "rackmark/v1/rank_frame.pb.h"
#include "rackmark/v1/worker_api.pb.h"
#include "worker/rank/segment_name.h"

namespace rackmark {

// No call of a healthy gang takes this long; a hung peer is found by the daemon far earlier.
constexpr Nanos kMeetingLimit = 60 * kSecond;
constexpr Nanos kCollectiveLimit = 60 * kSecond;

// Why these two cannot share memory, as far as cards tell; missing if they may try.
std::optional<std::string> WhyApart(const v1::AddressCard& a, const v1::AddressCard& b);

// By rank, each as large as this rank's own: of what was sliced only its own address stands in it.
std::vector<std::string> GlooAddressesOf(const std::vector<v1::AddressCard>& cards, int rank,
                                         size_t card_bytes);

// Ranks whose cards say that they may share memory, by host. `cards` are by rank.
HostGroups CandidateGroups(const std::vector<v1::AddressCard>& cards);

class HostTransport {
 public:
  // `name` outlives this object.
  HostTransport(const v1::RankInit& init, SegmentName* name);
  ~HostTransport();
  HostTransport(const HostTransport&) = delete;
  HostTransport& operator=(const HostTransport&) = delete;

  // Makes what the card speaks of and writes it there; the card's identity is filled already.
  // UNIMPLEMENTED: the policy permits only what this host does not have.
  absl::Status FillCard(v1::AddressCard* card);
  // Meets all others; `cards` are everybody's, by rank. UNIMPLEMENTED: no common transport.
  absl::Status Connect(const std::vector<v1::AddressCard>& cards);

  // After Connect; the channel is null in a world of one.
  Collective& collective() { return *collective_; }
  HostChannel* channel() { return channel_.get(); }
  TransportCode code() const { return code_; }
  // How collectives travel and what proved it, one sentence.
  const std::string& sentence() const { return sentence_; }

  void Abort();

 private:
  struct Proof;
  bool MayShare() const { return policy_ != v1::TRANSPORT_POLICY_GLOO; }
  bool MayGloo() const { return policy_ != v1::TRANSPORT_POLICY_SHM; }
  int Rank() const { return static_cast<int>(init_.rank()); }
  int World() const { return static_cast<int>(init_.world_size()); }

  absl::Status OfferMemory(v1::AddressCard* card);
  absl::Status OfferGloo(v1::AddressCard* card);
  absl::Status MakeSegment(int world);
  absl::Status Attach(const v1::AddressCard& leader, int local_rank);
  void DropSegment();
  void DropGloo();
  absl::Status Meet(const std::vector<v1::AddressCard>& cards);
  void GiveUp(const std::vector<v1::AddressCard>& cards);
  // All ranks in one segment. An error other than UNAVAILABLE: none of them uses it.
  absl::Status MeetInMemory(const v1::AddressCard& leader, Nanos limit, bool else_gloo);
  absl::Status MeetOverGloo(const std::vector<v1::AddressCard>& cards, HostGroups groups,
                            std::string why);
  // Brings groups down to those whose ranks all read their leader's nonce back; says why others
  // broke up.
  absl::Status ProveGroups(const std::vector<v1::AddressCard>& cards, HostGroups& groups,
                           std::string& why);
  absl::StatusOr<std::vector<Proof>> ShareProofs(const Proof& mine);
  absl::Status OpenChannel(const v1::AddressCard& leader, const HostGroups& groups,
                           std::unique_ptr<HostChannel> ring);
  absl::Status NoTransport(const std::vector<v1::AddressCard>& cards, std::string_view why) const;

  const v1::RankInit init_;
  const v1::TransportPolicy policy_;
  SegmentName* const name_;
  ShmSegment::Options promise_;
  std::string interface_;
  std::string no_memory_;  // why this rank offers none; empty: it does
  std::string no_gloo_;
  std::unique_ptr<ChannelListener> listener_;
  const std::shared_ptr<ChannelAbort> channel_abort_ = std::make_shared<ChannelAbort>();
  std::atomic<bool> aborted_{false};
  std::mutex mutex_;  // Abort may come while Connect sets these
  std::shared_ptr<ShmSegment> segment_;
  std::shared_ptr<GlooMesh> mesh_;
  std::thread goodbye_;  // of a mesh that was not needed
  std::unique_ptr<Collective> collective_;
  std::unique_ptr<HostChannel> channel_;
  TransportCode code_ = TransportCode::kSolo;
  std::string sentence_ = "none: a gang of one has no collectives";
};

}  // namespace rackmark

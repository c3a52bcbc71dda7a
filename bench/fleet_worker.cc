#include "bench/fleet_worker.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "common/status.h"
#include "grpcpp/channel.h"
#include "rpc/identity.h"

namespace rackmark {

FleetWorker::FleetWorker(uint64_t index, FleetCounts* counts) : counts_(counts) {
  info_.set_name(absl::StrCat("n", index + 1));
  info_.set_boot_id(absl::StrCat("3f0c8a52-90bd-4c1e-8d7a-", 100'000'000'000 + index));
  info_.set_host_id(info_.boot_id());
  info_.set_rack(absl::StrCat("rack", index / kNodesPerRack));
  info_.set_driver("570.133.20");
  incarnation_ = absl::StrCat(info_.boot_id(), "/0123456789abcdef");
  for (uint32_t i = 0; i < kDevices; ++i) {
    v1::Device& device = *info_.add_devices();
    device.set_index(i);
    device.set_kind(v1::DEVICE_KIND_GPU);
    device.set_model("NVIDIA H200");
    device.set_uuid(
        absl::StrCat("GPU-7d1c0c5e-11f2-4a35-", 10'000'000'000'000'000 + 8 * index + i));
    device.set_memory_bytes(150'754'820'096);
    device.set_serial(absl::StrCat(1'650'000'000'000 + 8 * index + i));
    device.set_slot(absl::StrCat("00000000:", 10 + i, ":00.0"));
    device.set_links(18);
  }
  v1::Environment& environment = *info_.mutable_environment();
  environment.set_os("Debian GNU/Linux 12 (bookworm)");
  environment.set_kernel("6.1.0-28-amd64");
  environment.set_cpu_model("AMD EPYC 9554 64-Core Processor");
  environment.set_cpu_count(128);
  environment.set_memory_bytes(1'649'267'441'664);
  info_.set_shm_free_bytes(824'633'720'832);
  v1::Report report;
  Fill(report, 1);
  number_ = 0;
  const size_t bytes = report.ByteSizeLong();
  if (bytes + 16 < kReportBytes) {
    (*environment.mutable_more())["facts"] = std::string(kReportBytes - bytes - 14, 'f');
  }
}

void FleetWorker::Begin(const std::shared_ptr<grpc::Channel>& channel) {
  stub_ = v1::WorkerService::NewStub(channel);
  context_.set_wait_for_ready(true);  // the channel dials again by itself, as a worker does
  stub_->async()->Sync(&context_, this);
  AddHold();  // Send comes from outside of the reactions
  StartRead(&reply_);
  StartCall();
  Send();
}

void FleetWorker::Send() {
  std::lock_guard lock(mutex_);
  if (ended_ || silent_) return;
  if (writing_) {
    again_ = true;
    return;
  }
  Fill(report_, SystemClock().Monotonic());
  writing_ = true;
  ++counts_->sent;
  counts_->bytes += report_.ByteSizeLong();
  StartWrite(&report_);
}

void FleetWorker::FallSilent() {
  std::lock_guard lock(mutex_);
  silent_ = true;
}

FleetWorker::View FleetWorker::Look() const {
  std::lock_guard lock(mutex_);
  return view_;
}

void FleetWorker::ExpectNews() {
  std::lock_guard lock(mutex_);
  view_.told = view_.sent = 0;
}

void FleetWorker::End() {
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  context_.TryCancel();
  RemoveHold();
}

void FleetWorker::Fill(v1::Report& report, Nanos now) {
  report.Clear();
  *report.mutable_identity() = MakeIdentity(cluster_id_, epoch_, incarnation_);
  *report.mutable_node() = info_;
  report.set_reflects_version(desired_.version());
  report.set_worker_send_ns(now);
  report.set_report_number(++number_);
  if (exchange_.coordinator_send_ns() != 0) *report.mutable_exchange() = exchange_;
  std::map<uint32_t, uint64_t> used;
  for (const v1::DesiredLease& lease : desired_.leases()) {
    v1::LeaseReport& said = *report.add_leases();
    said.set_lease_id(lease.lease_id());
    said.set_generation(lease.generation());
    for (const v1::DesiredRank& rank : lease.ranks()) {
      used[rank.device()] = lease.lease_id();
      v1::RankReport& of_rank = *said.add_ranks();
      of_rank.set_rank(rank.rank());
      of_rank.set_phase(v1::RANK_PHASE_STARTING);
      of_rank.set_pid(static_cast<int32_t>(10'000 + rank.rank()));
    }
  }
  for (uint32_t i = 0; i < kDevices; ++i) {
    v1::DeviceReport& device = *report.add_devices();
    device.set_index(i);
    device.set_healthy(true);
    device.set_lease_id(used[i]);
  }
}

void FleetWorker::Take(Nanos now) {
  cluster_id_ = reply_.identity().cluster_id();
  epoch_ = reply_.identity().epoch();
  if (reply_.answers_report() != 0) {
    if (view_.answered++ == 0) ++counts_->met;
    ++counts_->answered;
    view_.received = reply_.coordinator_receive_ns();
    exchange_.set_worker_send_ns(reply_.worker_send_ns());
    exchange_.set_coordinator_receive_ns(reply_.coordinator_receive_ns());
    exchange_.set_coordinator_send_ns(reply_.coordinator_send_ns());
    exchange_.set_worker_receive_ns(now);
    exchange_.set_worker_boot_id(info_.boot_id());
    exchange_.set_coordinator_boot_id(reply_.coordinator_boot_id());
    std::lock_guard lock(counts_->mutex);
    counts_->answer_times.push_back(now - reply_.worker_send_ns());
  }
  if (!reply_.has_desired() || reply_.desired().version() == desired_.version()) return;
  desired_ = reply_.desired();
  if (desired_.leases_size() > 0 && view_.lease == 0) ++counts_->holding;
  if (desired_.leases_size() > 0) view_.lease = desired_.leases(0).lease_id();
  view_.version = desired_.version();
  if (view_.told != 0) return;
  view_.told = now;
  view_.sent = reply_.coordinator_send_ns();
}

void FleetWorker::OnReadDone(bool ok) {
  const Nanos now = SystemClock().Monotonic();
  bool changed = false;
  {
    std::lock_guard lock(mutex_);
    if (!ok) {
      if (!ended_) ++counts_->broken;
      ended_ = true;
      return;
    }
    const uint64_t before = desired_.version();
    Take(now);
    changed = before != desired_.version();
  }
  StartRead(&reply_);
  if (changed) Send();
}

void FleetWorker::OnWriteDone(bool ok) {
  bool send = false;
  {
    std::lock_guard lock(mutex_);
    writing_ = false;
    send = ok && again_;
    again_ = false;
  }
  if (send) Send();
}

void FleetWorker::OnDone(const grpc::Status&) { ++counts_->over; }

}  // namespace rackmark

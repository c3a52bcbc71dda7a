// A coordinator process and N workers of it, each with a TCP connection of its own (and, over mTLS,
// a certificate of its own), on loopback. Made in a process that has not used gRPC yet. One thread.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "bench/certificates.h"
#include "bench/fleet_worker.h"
#include "common/random.h"
#include "rackmark/v1/client_api.grpc.pb.h"
#include "rpc/security.h"

namespace rackmark {

struct FleetOptions {
  uint64_t nodes = 0;
  bool tls = false;
  uint64_t seed = 1;
  std::string programs;  // folder of rackmark-coordinator
  std::string folder;    // of this fleet alone
  Nanos interval = 5 * kSecond;
};

class Fleet {
 public:
  explicit Fleet(FleetOptions options);
  ~Fleet();  // ends the streams, then the coordinator

  // Returns when the coordinator listens.
  absl::Status Start();
  // All workers connect, few at a time, and have had an answer.
  absl::Status Connect();
  // So many jobs on so many devices each, several on their way at a time.
  absl::Status Submit(uint64_t jobs, const std::function<uint32_t(uint64_t)>& devices);
  // Sends the Reports that are due until `done`, or the patience is over (DEADLINE_EXCEEDED).
  absl::Status PumpUntil(const std::function<bool()>& done, Nanos patience);
  void PumpFor(Nanos duration);
  // How many of the nodes are in each phase, as the coordinator says.
  absl::StatusOr<std::vector<uint64_t>> CountPhases();

  FleetCounts& counts() { return counts_; }
  FleetWorker& worker(uint64_t index) { return *workers_[index]; }
  pid_t coordinator() const { return coordinator_; }
  // How late Reports went out, since the last call: what a client that cannot keep up shows.
  std::vector<Nanos> TakeLateness() { return std::move(lateness_); }

 private:
  struct Due {
    Nanos at;
    uint64_t worker;
    bool operator>(const Due& other) const { return at > other.at; }
  };

  absl::StatusOr<std::vector<std::string>> Arguments();
  absl::StatusOr<Security> SecurityOf(uint64_t index);
  absl::Status BeginOne(uint64_t index);

  const FleetOptions options_;
  Random random_;
  std::unique_ptr<CertificateMaker> certificates_;
  pid_t coordinator_ = 0;
  int lifeline_ = -1;
  std::string address_;
  FleetCounts counts_;
  std::vector<std::unique_ptr<FleetWorker>> workers_;
  std::unique_ptr<v1::ClientService::Stub> person_;
  uint64_t submissions_ = 0;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  std::vector<Nanos> lateness_;
};

}  // namespace rackmark

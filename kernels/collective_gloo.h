// Messages between the ranks of a gang over TCP, carried by Gloo: what collectives between hosts
// are made of (collective_hier.h). Plain TCP without encryption or authentication, on the interface
// that is named. One mesh per rank, used by one thread; Abort() from any. Gloo's exceptions end
// here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/status.h"
#include "common/time.h"

namespace rackmark {

class GlooMesh {
 public:
  struct Options {
    int rank = 0;
    int world = 0;          // 2 or more
    std::string interface;  // "eth0"; never empty
    Nanos connect_limit = 60 * kSecond;
  };
  // Listens for every peer; returns as soon as the addresses are known. The meeting itself runs on
  // a thread of its own, which waits for Connect. UNAVAILABLE: no such interface, or none that can
  // be listened on.
  static absl::StatusOr<std::unique_ptr<GlooMesh>> Create(const Options& options);
  ~GlooMesh();
  GlooMesh(const GlooMesh&) = delete;
  GlooMesh& operator=(const GlooMesh&) = delete;

  int rank() const;
  int world() const;
  // For the address card. They serve one meeting.
  const std::string& addresses() const;
  // Meets everybody; addresses (world) are those of the cards, by rank. Once; UNAVAILABLE: a peer
  // gave up, or is gone. After Abort it only tells the peers, who then need not wait for this rank.
  absl::Status Connect(std::vector<std::string> addresses);

  struct Outgoing {
    int peer;
    const void* data;
    size_t bytes;
  };
  struct Incoming {
    int peer;
    void* data;
    size_t bytes;
  };
  // Sends and receives all of it. Two ranks pair their messages in order, so both must make the
  // same calls with the same sizes: who is not sure asks first, in a message of fixed size.
  // DEADLINE_EXCEEDED or UNAVAILABLE: the mesh is dead, and late() names those that owe a message.
  absl::Status Exchange(const std::vector<Outgoing>& out, const std::vector<Incoming>& in,
                        Nanos deadline);
  // Peers whose messages had not come when the last Exchange failed, ascending.
  const std::vector<int>& late() const;

  // This rank has nothing to exchange any more, nor has anybody with it: closes its connections.
  // The others' exchanges among themselves go on.
  void Leave();
  // Ends blocked and later calls here with UNAVAILABLE, and closes all connections, which does the
  // same to the peers.
  void Abort();

 private:
  class Impl;
  explicit GlooMesh(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace rackmark

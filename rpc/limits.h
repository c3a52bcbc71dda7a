// The explicit bounds of every connection (law 5, PROTOCOL 8). One place.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rackmark {

constexpr int kMessageBytesMax = 4 << 20;       // one gRPC message, both ways
constexpr int kStreamsPerConnectionMax = 100;   // HTTP/2 streams
constexpr size_t kServerMemoryMax = 2UL << 30;  // gRPC's buffers of all connections
constexpr int kMetadataBytesMax = 16 << 10;
constexpr int kKeepaliveTimeMs = 10'000;    // ping an idle connection this often ...
constexpr int kKeepaliveTimeoutMs = 5'000;  // ... and drop it this long after an unanswered one
// Where another coordinator may lead meanwhile: as often as a listener (half of the above) allows.
constexpr int kHastyKeepaliveTimeMs = 6'000;
constexpr int kHastyKeepaliveTimeoutMs = 2'000;
constexpr size_t kInboxCommandsMax = 16'384;  // commands waiting for the coordinator's loop
constexpr size_t kIngestBytesMax = 64 << 20;  // chunks waiting for the sample store
constexpr size_t kSampleBatchBytesMax = 3 << 20;
constexpr uint64_t kRunSampleBytesMax = 16ULL << 30;  // stored, of one attempt of a run
constexpr uint64_t kArtifactBytesMax = 64ULL << 20;   // one file that a job refers to by hash
constexpr size_t kArtifactPieceBytesMax = 1 << 20;    // on its way, both ways

}  // namespace rackmark

// The two streams that carry artifacts: up from people, down to workers. Each is a chain on which
// one thing is under way at a time: a read, a write, or a piece of work on the desk. They own
// themselves until gRPC is done with them.
#pragma once

#include "coordinator/serve/artifact_desk.h"
#include "coordinator/serve/auth.h"
#include "grpcpp/support/server_callback.h"
#include "rackmark/v1/client_api.pb.h"
#include "rackmark/v1/worker_api.pb.h"

namespace rackmark {

struct ArtifactContext {
  ArtifactDesk* desk = nullptr;
  const Gate* gate = nullptr;
  v1::Identity identity;  // ours
};

// `admitted`: what the gate said to the caller. `context` must outlive the stream.
grpc::ServerReadReactor<v1::PutArtifactRequest>* TakeArtifact(const ArtifactContext& context,
                                                              const absl::Status& admitted,
                                                              v1::PutArtifactReply* reply);
grpc::ServerWriteReactor<v1::ArtifactPiece>* GiveArtifact(const ArtifactContext& context,
                                                          const absl::Status& admitted,
                                                          const v1::GetArtifactRequest& request);

}  // namespace rackmark

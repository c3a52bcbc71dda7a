// A CUDA, cuBLASLt or NCCL error as a status that says which call failed, on which device and
// stream. Nothing here ends the process. Any thread.
#pragma once

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <string_view>

#include "common/status.h"

namespace rackmark {

// Where a call was made; -1 and null where there is no device or stream yet.
struct CudaPlace {
  int device = -1;
  cudaStream_t stream = nullptr;
};

// RESOURCE_EXHAUSTED: out of device memory. FAILED_PRECONDITION: no driver, no device, or one that
// this build has no code for. Else INTERNAL.
absl::Status ToStatus(cudaError_t error, std::string_view expression, const CudaPlace& place);
absl::Status ToStatus(cublasStatus_t error, std::string_view expression, const CudaPlace& place);

}  // namespace rackmark

// A status, with the call's own text: RETURN_IF_ERROR(CUDA_STATUS(cudaSetDevice(0), place)).
#define CUDA_STATUS(call, place) ::rackmark::ToStatus((call), #call, (place))

#include "kernels/cuda/matmul_lt.h"

#include <cublasLt.h>

#include <array>
#include <map>
#include <utility>

namespace rackmark {
namespace {

constexpr size_t kWorkspace = size_t{32} << 20;  // what NVIDIA advises for Hopper and later
constexpr uint32_t kAlignment = 16;

template <typename T, cublasStatus_t (*kDestroy)(T)>
struct Destroy {
  void operator()(T object) const { kDestroy(object); }
};
template <typename T, cublasStatus_t (*kDestroy)(T)>
using Owned = std::unique_ptr<std::remove_pointer_t<T>, Destroy<T, kDestroy>>;
using Handle = Owned<cublasLtHandle_t, cublasLtDestroy>;
using Operation = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

struct Plan {
  Operation operation;
  Layout w, x, y;
  cublasLtMatmulAlgo_t algorithm{};
};

absl::StatusOr<Layout> MakeLayout(cudaDataType type, int rows, int columns,
                                  const CudaPlace& place) {
  cublasLtMatrixLayout_t layout = nullptr;
  RETURN_IF_ERROR(CUDA_STATUS(cublasLtMatrixLayoutCreate(&layout, type, static_cast<uint64_t>(rows),
                                                         static_cast<uint64_t>(columns), rows),
                              place));
  return Layout(layout);
}

bool Aligned(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % kAlignment == 0; }

class Multiplier : public LtMatMul {
 public:
  explicit Multiplier(const CudaStream* stream) : stream_(stream) {}

  absl::Status Init() {
    cublasLtHandle_t handle = nullptr;
    RETURN_IF_ERROR(CUDA_STATUS(cublasLtCreate(&handle), stream_->place()));
    handle_.reset(handle);
    ASSIGN_OR_RETURN(workspace_, DeviceBuffer::Allocate(kWorkspace, stream_->place().device));
    return absl::OkStatus();
  }

  absl::Status Queue(const MatMulShape& shape, const Bf16* x, const Bf16* w, float* y) override {
    if (shape.m <= 0 || shape.k <= 0 || shape.k % 8 != 0 || shape.n <= 0 || shape.n % 4 != 0 ||
        !Aligned(x) || !Aligned(w) || !Aligned(y)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a product of ", shape.m, "x", shape.n, "x", shape.k,
          ": on GPUs k must be a multiple of 8, n of 4, and all rows begin at 16 bytes"));
    }
    ASSIGN_OR_RETURN(const Plan* plan, PlanFor(shape));
    const float alpha = 1;
    const float beta = 0;
    return CUDA_STATUS(
        cublasLtMatmul(handle_.get(), plan->operation.get(), &alpha, w, plan->w.get(), x,
                       plan->x.get(), &beta, y, plan->y.get(), y, plan->y.get(), &plan->algorithm,
                       workspace_.data(), workspace_.bytes(), stream_->get()),
        stream_->place());
  }

 private:
  absl::StatusOr<const Plan*> PlanFor(const MatMulShape& shape) {
    const std::array<int, 3> key{shape.m, shape.n, shape.k};
    const auto found = plans_.find(key);
    if (found != plans_.end()) return &found->second;
    ASSIGN_OR_RETURN(Plan plan, MakePlan(shape));
    return &plans_.emplace(key, std::move(plan)).first->second;
  }

  // cuBLAS counts columns first: in its words y^T (n, m) = W^T-stored-as (k, n), transposed, times
  // x-stored-as (k, m).
  absl::StatusOr<Plan> MakePlan(const MatMulShape& shape) {
    const CudaPlace place = stream_->place();
    Plan plan;
    cublasLtMatmulDesc_t operation = nullptr;
    RETURN_IF_ERROR(
        CUDA_STATUS(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), place));
    plan.operation.reset(operation);
    const cublasOperation_t transposed = CUBLAS_OP_T;
    RETURN_IF_ERROR(
        CUDA_STATUS(cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSA,
                                                   &transposed, sizeof transposed),
                    place));
    ASSIGN_OR_RETURN(plan.w, MakeLayout(CUDA_R_16BF, shape.k, shape.n, place));
    ASSIGN_OR_RETURN(plan.x, MakeLayout(CUDA_R_16BF, shape.k, shape.m, place));
    ASSIGN_OR_RETURN(plan.y, MakeLayout(CUDA_R_32F, shape.n, shape.m, place));
    RETURN_IF_ERROR(Choose(shape, &plan));
    return plan;
  }

  absl::Status Choose(const MatMulShape& shape, Plan* plan) {
    const CudaPlace place = stream_->place();
    cublasLtMatmulPreference_t made = nullptr;
    RETURN_IF_ERROR(CUDA_STATUS(cublasLtMatmulPreferenceCreate(&made), place));
    const Preference preference(made);
    const size_t workspace = kWorkspace;
    RETURN_IF_ERROR(CUDA_STATUS(
        cublasLtMatmulPreferenceSetAttribute(made, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &workspace, sizeof workspace),
        place));
    for (const auto which :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      RETURN_IF_ERROR(CUDA_STATUS(
          cublasLtMatmulPreferenceSetAttribute(made, which, &kAlignment, sizeof kAlignment),
          place));
    }
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    RETURN_IF_ERROR(
        CUDA_STATUS(cublasLtMatmulAlgoGetHeuristic(handle_.get(), plan->operation.get(),
                                                   plan->w.get(), plan->x.get(), plan->y.get(),
                                                   plan->y.get(), made, 1, &best, &found),
                    place));
    if (found == 0) {
      return absl::UnimplementedError(absl::StrCat("cuBLAS has no kernel for a product of ",
                                                   shape.m, "x", shape.n, "x", shape.k,
                                                   " in bf16 on device ", place.device));
    }
    plan->algorithm = best.algo;
    return absl::OkStatus();
  }

  const CudaStream* const stream_;
  Handle handle_;
  DeviceBuffer workspace_;
  std::map<std::array<int, 3>, Plan> plans_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LtMatMul>> LtMatMul::Create(const CudaStream* stream) {
  auto multiplier = std::make_unique<Multiplier>(stream);
  RETURN_IF_ERROR(multiplier->Init());
  return multiplier;
}

}  // namespace rackmark

#include "kernels/cuda/device.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <functional>
#include <utility>

namespace rackmark {
namespace {

std::string Where(const CudaPlace& place) {
  if (place.device < 0) return "";
  std::string where = absl::StrCat(" on device ", place.device);
  if (place.stream != nullptr) {
    where += absl::StrCat(" stream ", absl::Hex(reinterpret_cast<uintptr_t>(place.stream)));
  }
  return where;
}

// "GPU-xxxxxxxx-xxxx-...", which NVML and CUDA_VISIBLE_DEVICES use.
std::string UuidText(const cudaUUID_t& uuid) {
  std::string text = "GPU-";
  for (size_t i = 0; i < sizeof uuid.bytes; ++i) {
    std::array<char, 3> hex{};
    std::snprintf(hex.data(), hex.size(), "%02x", static_cast<unsigned char>(uuid.bytes[i]));
    text += hex.data();
    if (i == 3 || i == 5 || i == 7 || i == 9) text += '-';
  }
  return text;
}

// Page-locked host memory for one copy.
class Pinned {
 public:
  static absl::StatusOr<Pinned> Allocate(size_t bytes, const CudaPlace& place) {
    Pinned out;
    void* data = nullptr;
    RETURN_IF_ERROR(CUDA_STATUS(cudaHostAlloc(&data, bytes, cudaHostAllocDefault), place));
    out.data_.reset(data);
    return out;
  }
  void* data() const { return data_.get(); }
  // Freeing waits for the device, without a limit. A copy that hung may still use the block, and
  // the process is about to end: it takes the block with it.
  void Abandon() { (void)data_.release(); }

 private:
  struct Deleter {
    void operator()(void* data) const { cudaFreeHost(data); }
  };
  std::unique_ptr<void, Deleter> data_;
};

constexpr size_t kCopyPiece = size_t{16} << 20;

std::optional<int> Attribute(cudaDeviceAttr what, int ordinal) {
  int value = 0;
  if (cudaDeviceGetAttribute(&value, what, ordinal) != cudaSuccess || value <= 0) {
    cudaGetLastError();  // it is not another call's error
    return std::nullopt;
  }
  return value;
}

}  // namespace

absl::Status ToStatus(cudaError_t error, std::string_view expression, const CudaPlace& place) {
  if (error == cudaSuccess) return absl::OkStatus();
  // The runtime remembers it for whoever asks next; a later launch would take it for its own. What
  // has broken the context stays broken all the same.
  (void)cudaGetLastError();
  const std::string text =
      absl::StrCat(ToAbsl(expression), Where(place), ": ", cudaGetErrorName(error), " (",
                   cudaGetErrorString(error), ")");
  switch (error) {
    case cudaErrorMemoryAllocation: return absl::ResourceExhaustedError(text);
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorDevicesUnavailable:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorSystemNotReady: return absl::FailedPreconditionError(text);
    default: return absl::InternalError(text);
  }
}

absl::Status ToStatus(cublasStatus_t error, std::string_view expression, const CudaPlace& place) {
  if (error == CUBLAS_STATUS_SUCCESS) return absl::OkStatus();
  const std::string text =
      absl::StrCat(ToAbsl(expression), Where(place), ": ", cublasLtGetStatusName(error));
  if (error == CUBLAS_STATUS_ALLOC_FAILED) return absl::ResourceExhaustedError(text);
  if (error == CUBLAS_STATUS_NOT_SUPPORTED || error == CUBLAS_STATUS_ARCH_MISMATCH) {
    return absl::UnimplementedError(text);
  }
  return absl::InternalError(text);
}

absl::Status CudaReady() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorInsufficientDriver || error == cudaErrorNoDevice ||
      (error == cudaSuccess && count == 0)) {
    cudaGetLastError();
    int driver = 0;
    const bool known = cudaDriverGetVersion(&driver) == cudaSuccess && driver > 0;
    return absl::FailedPreconditionError(
        known ? absl::StrCat("no GPU that this process can use: the driver serves CUDA ",
                             driver / 1000, ".", driver % 1000 / 10, " and CUDA says ",
                             error == cudaSuccess ? "0 devices" : cudaGetErrorString(error))
              : "no GPU that this process can use: no NVIDIA driver is loaded (libcuda.so.1)");
  }
  return CUDA_STATUS(error, CudaPlace{});
}

absl::StatusOr<DeviceBuffer> DeviceBuffer::Allocate(size_t bytes, int device) {
  DeviceBuffer out;
  void* data = nullptr;
  const absl::Status status = CUDA_STATUS(cudaMalloc(&data, bytes), (CudaPlace{device, nullptr}));
  if (!status.ok()) return Annotate(status, absl::StrCat(bytes, " bytes of device memory"));
  out.data_.reset(data);
  out.bytes_ = bytes;
  return out;
}

absl::StatusOr<CudaEvent> CudaEvent::Create(int device) {
  CudaEvent out;
  cudaEvent_t event = nullptr;
  RETURN_IF_ERROR(CUDA_STATUS(cudaEventCreate(&event), (CudaPlace{device, nullptr})));
  out.event_.reset(event);
  return out;
}

absl::StatusOr<CudaStream> CudaStream::Create(int device) {
  CudaStream out;
  cudaStream_t stream = nullptr;
  RETURN_IF_ERROR(CUDA_STATUS(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking),
                              (CudaPlace{device, nullptr})));
  out.device_ = device;
  out.stream_.reset(stream);
  return out;
}

absl::Status CudaStream::AwaitIdle(const Watch& watch, std::string_view what,
                                   const std::function<absl::Status()>& also) const {
  return Await(watch, what, [&]() -> absl::StatusOr<bool> {
    const cudaError_t state = cudaStreamQuery(stream_.get());
    if (state == cudaSuccess) return true;
    if (state != cudaErrorNotReady) {
      return Annotate(ToStatus(state, "cudaStreamQuery", place()), what);
    }
    if (also != nullptr) RETURN_IF_ERROR(also());
    return false;
  });
}

absl::Status CudaStream::Record(const CudaEvent& event) const {
  return CUDA_STATUS(cudaEventRecord(event.get(), stream_.get()), place());
}

absl::StatusOr<double> CudaStream::Milliseconds(const CudaEvent& start,
                                                const CudaEvent& stop) const {
  float elapsed = 0;
  RETURN_IF_ERROR(CUDA_STATUS(cudaEventElapsedTime(&elapsed, start.get(), stop.get()), place()));
  return static_cast<double>(elapsed);
}

absl::Status CudaStream::CopyIn(void* device, const void* host, size_t bytes,
                                const Watch& watch) const {
  if (bytes == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(Pinned pinned, Pinned::Allocate(std::min(bytes, kCopyPiece), place()));
  for (size_t at = 0; at < bytes; at += kCopyPiece) {
    const size_t piece = std::min(kCopyPiece, bytes - at);
    std::memcpy(pinned.data(), static_cast<const char*>(host) + at, piece);
    RETURN_IF_ERROR(CUDA_STATUS(cudaMemcpyAsync(static_cast<char*>(device) + at, pinned.data(),
                                                piece, cudaMemcpyHostToDevice, stream_.get()),
                                place()));
    if (const absl::Status done = AwaitIdle(watch, "a copy to the device"); !done.ok()) {
      pinned.Abandon();
      return done;
    }
  }
  return absl::OkStatus();
}

absl::Status CudaStream::CopyOut(void* host, const void* device, size_t bytes,
                                 const Watch& watch) const {
  if (bytes == 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(Pinned pinned, Pinned::Allocate(std::min(bytes, kCopyPiece), place()));
  for (size_t at = 0; at < bytes; at += kCopyPiece) {
    const size_t piece = std::min(kCopyPiece, bytes - at);
    RETURN_IF_ERROR(
        CUDA_STATUS(cudaMemcpyAsync(pinned.data(), static_cast<const char*>(device) + at, piece,
                                    cudaMemcpyDeviceToHost, stream_.get()),
                    place()));
    if (const absl::Status done = AwaitIdle(watch, "a copy from the device"); !done.ok()) {
      pinned.Abandon();
      return done;
    }
    std::memcpy(static_cast<char*>(host) + at, pinned.data(), piece);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<CudaDevice>> CudaDevice::Open(int ordinal) {
  RETURN_IF_ERROR(CudaReady());
  std::unique_ptr<CudaDevice> device(new CudaDevice(ordinal));
  const CudaPlace place{ordinal, nullptr};
  RETURN_IF_ERROR(CUDA_STATUS(cudaSetDevice(ordinal), place));
  // A context is made by the first call that needs one; here, so that its failure is this one's.
  RETURN_IF_ERROR(CUDA_STATUS(cudaFree(nullptr), place));
  RETURN_IF_ERROR(device->ReadFacts());
  return device;
}

absl::Status CudaDevice::ReadFacts() {
  cudaDeviceProp properties{};
  const CudaPlace place{ordinal_, nullptr};
  RETURN_IF_ERROR(CUDA_STATUS(cudaGetDeviceProperties(&properties, ordinal_), place));
  facts_.name = properties.name;
  facts_.uuid = UuidText(properties.uuid);
  facts_.major = properties.major;
  facts_.minor = properties.minor;
  facts_.multiprocessors = properties.multiProcessorCount;
  facts_.memory_bytes = properties.totalGlobalMem;
  facts_.l2_bytes = static_cast<uint64_t>(properties.l2CacheSize);
  facts_.memory_bus_bits = properties.memoryBusWidth;
  facts_.sm_clock_khz = Attribute(cudaDevAttrClockRate, ordinal_);
  facts_.memory_clock_khz = Attribute(cudaDevAttrMemoryClockRate, ordinal_);
  RETURN_IF_ERROR(CUDA_STATUS(cudaDriverGetVersion(&facts_.driver_version), place));
  return CUDA_STATUS(cudaRuntimeGetVersion(&facts_.runtime_version), place);
}

}  // namespace rackmark

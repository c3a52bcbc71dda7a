// A GPU as this process uses it: opened once, with its memory, streams and events as objects that
// free themselves. Every wait has a limit (kernels/watch.h): nothing here synchronises for ever.
// Owned by one thread, which stays the one that has set the device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/status.h"
#include "kernels/cuda/cuda_status.h"
#include "kernels/watch.h"

namespace rackmark {

struct CudaFacts {
  std::string name;
  std::string uuid;  // as NVML writes it: "GPU-..."
  int major = 0;     // compute capability
  int minor = 0;
  int multiprocessors = 0;
  uint64_t memory_bytes = 0;
  uint64_t l2_bytes = 0;
  std::optional<int> sm_clock_khz;  // the most that it may run at; missing if not told
  std::optional<int> memory_clock_khz;
  int memory_bus_bits = 0;
  int driver_version = 0;   // 13000 = CUDA 13.0: the newest that the driver serves
  int runtime_version = 0;  // of the library that was loaded
};

// OK, or why this process can use no GPU: no driver, an old one, no device. Never an exit.
absl::Status CudaReady();

// Device memory. A value that moves; freed with it.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  static absl::StatusOr<DeviceBuffer> Allocate(size_t bytes, int device);

  void* data() const { return data_.get(); }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_.get());
  }
  size_t bytes() const { return bytes_; }

 private:
  struct Deleter {
    void operator()(void* data) const { cudaFree(data); }
  };
  std::unique_ptr<void, Deleter> data_;
  size_t bytes_ = 0;
};

class CudaEvent {
 public:
  static absl::StatusOr<CudaEvent> Create(int device);
  cudaEvent_t get() const { return event_.get(); }

 private:
  struct Deleter {
    void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
  };
  std::unique_ptr<CUevent_st, Deleter> event_;
};

// A stream of one device; work on it goes in order.
class CudaStream {
 public:
  static absl::StatusOr<CudaStream> Create(int device);

  cudaStream_t get() const { return stream_.get(); }
  CudaPlace place() const { return {device_, stream_.get()}; }
  // Until everything queued is done. `also` (may be null) is asked in between: a communicator can
  // fail while its kernel runs on.
  absl::Status AwaitIdle(const Watch& watch, std::string_view what,
                         const std::function<absl::Status()>& also = nullptr) const;
  absl::Status Record(const CudaEvent& event) const;
  // Between two events that are both past.
  absl::StatusOr<double> Milliseconds(const CudaEvent& start, const CudaEvent& stop) const;
  // Copies between the host and the device, and waits for them. Through pinned memory: a copy from
  // pageable memory would wait inside the driver, without a limit.
  absl::Status CopyIn(void* device, const void* host, size_t bytes, const Watch& watch) const;
  absl::Status CopyOut(void* host, const void* device, size_t bytes, const Watch& watch) const;
  void Destroy() { stream_.reset(); }

 private:
  struct Deleter {
    void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
  };
  int device_ = -1;
  std::unique_ptr<CUstream_st, Deleter> stream_;
};

class CudaDevice {
 public:
  // The process's device `ordinal`, as CUDA_VISIBLE_DEVICES numbers them. Makes its context.
  static absl::StatusOr<std::unique_ptr<CudaDevice>> Open(int ordinal);

  int ordinal() const { return ordinal_; }
  const CudaFacts& facts() const { return facts_; }

 private:
  explicit CudaDevice(int ordinal) : ordinal_(ordinal) {}
  absl::Status ReadFacts();

  const int ordinal_;
  CudaFacts facts_;
};

}  // namespace rackmark

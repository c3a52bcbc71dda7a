// The GPUs of this machine, as the driver's management library tells them. The library is opened at
// run time, so that the daemon starts on a machine without it and links no CUDA. Called once at the
// daemon's start; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rackmark/v1/cluster.pb.h"

namespace rackmark {

constexpr const char* kNvmlLibrary = "libnvidia-ml.so.1";

struct GpuProbe {
  std::vector<v1::Device> devices;  // without index: the node numbers its devices
  std::string driver;               // version; empty without one
  // Why there are none, or why some were left out; empty if all is well.
  std::string note;
};

// Never fails: a machine without GPUs, or with a broken driver, has none and says why.
GpuProbe ProbeGpus(const std::string& library);

// Numbers them after the node's own devices, and tells the driver in its environment. Of the CPUs
// that the driver calls near, those in `usable` count; if none is, the ranks are not bound.
void AddGpus(const GpuProbe& gpus, const std::vector<uint32_t>& usable, v1::NodeInfo* node);

}  // namespace rackmark

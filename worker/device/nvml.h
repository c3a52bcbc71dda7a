// The part of NVIDIA's management library that we call: its stable C interface, declared here
// because toolkits without a driver ship no nvml.h. Sizes and offsets are part of that interface;
// the library checks the versioned ones. Pure declarations.
#pragma once

#include <cstdint>

namespace rackmark::nvml {

using Return = int;
constexpr Return kSuccess = 0;
constexpr Return kInvalidArgument = 2;
constexpr Return kNotSupported = 3;
constexpr Return kFunctionNotFound = 13;
constexpr Return kArgumentVersionMismatch = 25;

using Device = struct DeviceHandle*;

struct MemoryV2 {
  unsigned version;
  unsigned long long total, reserved, free, used;
};
static_assert(sizeof(MemoryV2) == 40);

struct FabricInfoV2 {
  unsigned version;
  unsigned char cluster_uuid[16];
  Return status;
  unsigned clique_id;
  unsigned char state;
  unsigned health_mask;
};
static_assert(sizeof(FabricInfoV2) == 36);
constexpr unsigned char kFabricCompleted = 3;

// How NVML versions a structure: its size, and a number in the top byte.
template <typename T>
constexpr unsigned Version(unsigned number) {
  return static_cast<unsigned>(sizeof(T)) | (number << 24U);
}

struct PciInfoV3 {
  char bus_id_legacy[16];
  unsigned domain, bus, device, device_id, subsystem_id;
  char bus_id[32];
};
static_assert(sizeof(PciInfoV3) == 68);

constexpr unsigned kNameBytes = 96;
constexpr unsigned kSerialBytes = 30;
constexpr unsigned kVersionBytes = 80;

using Init = Return (*)();
using Shutdown = Return (*)();
using ErrorString = const char* (*)(Return);
using SystemText = Return (*)(char* text, unsigned bytes);
using Count = Return (*)(unsigned*);
using HandleByIndex = Return (*)(unsigned, Device*);
using DeviceText = Return (*)(Device, char* text, unsigned bytes);
using MemoryInfo = Return (*)(Device, MemoryV2*);
using FabricInfo = Return (*)(Device, FabricInfoV2*);
using ModuleId = Return (*)(Device, unsigned*);
using PciInfo = Return (*)(Device, PciInfoV3*);
using LinkState = Return (*)(Device, unsigned link, unsigned* is_up);
using CpuAffinity = Return (*)(Device, unsigned words, unsigned long*);

}  // namespace rackmark::nvml

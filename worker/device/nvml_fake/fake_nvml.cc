// A libnvidia-ml.so.1 for tests: as many GPUs as FAKE_NVML_GPUS says, of a rack where FAKE_NVML has
// "fabric", without a driver where it has "no-driver", with the second GPU lost where it has
// "lost", each in a slot of its own and none in a tray where it has "pcie", and with a library too
// old for fabrics, modules and links where it has "old". Of the 18
// links of each one is down where it has "link-down"; without links, as a PCIe board, where it has
// "no-links". Loaded by path; no program links it.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "worker/device/nvml.h"

namespace {

using rackmark::nvml::Device;
using rackmark::nvml::Return;

bool Has(std::string_view word) {
  const char* mode = std::getenv("FAKE_NVML");
  return mode != nullptr && std::string_view(mode).find(word) != std::string_view::npos;
}

unsigned Number(Device device) {
  return static_cast<unsigned>(reinterpret_cast<uintptr_t>(device) - 1);
}

Return Put(char* out, unsigned bytes, const char* text) {
  const size_t length = std::strlen(text) + 1;
  if (length > bytes) return 7;
  std::memcpy(out, text, length);
  return 0;
}

}  // namespace

extern "C" {

Return nvmlInit_v2() { return Has("no-driver") ? 9 : 0; }
Return nvmlShutdown() { return 0; }
const char* nvmlErrorString(Return result) {
  return result == 9 ? "Driver Not Loaded" : result == 15 ? "GPU is lost" : "some error";
}
Return nvmlSystemGetDriverVersion(char* text, unsigned bytes) {
  return Put(text, bytes, "999.01.02");
}
Return nvmlDeviceGetCount_v2(unsigned* count) {
  const char* gpus = std::getenv("FAKE_NVML_GPUS");
  *count = gpus == nullptr ? 2 : static_cast<unsigned>(std::atoi(gpus));
  return 0;
}
Return nvmlDeviceGetHandleByIndex_v2(unsigned index, Device* device) {
  if (index == 1 && Has("lost")) return 15;
  *device = reinterpret_cast<Device>(static_cast<uintptr_t>(index) + 1);
  return 0;
}
Return nvmlDeviceGetName(Device, char* text, unsigned bytes) {
  return Put(text, bytes, "NVIDIA Fake 1000");
}
Return nvmlDeviceGetUUID(Device device, char* text, unsigned bytes) {
  char uuid[64];
  std::snprintf(uuid, sizeof uuid, "GPU-fa4e0000-0000-0000-0000-%012u", Number(device));
  return Put(text, bytes, uuid);
}
Return nvmlDeviceGetMemoryInfo_v2(Device, rackmark::nvml::MemoryV2* memory) {
  if (memory->version != 0x02000028) return rackmark::nvml::kArgumentVersionMismatch;
  memory->total = 80ULL << 30U;
  memory->reserved = 1ULL << 30U;
  return 0;
}
Return nvmlDeviceGetGpuFabricInfoV(Device, rackmark::nvml::FabricInfoV2* info) {
  if (Has("old")) return rackmark::nvml::kFunctionNotFound;
  if (info->version != 0x02000024) return rackmark::nvml::kArgumentVersionMismatch;
  info->state = rackmark::nvml::kFabricCompleted;
  info->clique_id = 7;
  for (unsigned i = 0; i < 16 && Has("fabric"); ++i) {
    info->cluster_uuid[i] = static_cast<unsigned char>(i + 1);
  }
  return 0;
}
Return nvmlDeviceGetSerial(Device device, char* text, unsigned bytes) {
  if (Has("old")) return rackmark::nvml::kNotSupported;
  char serial[16];
  std::snprintf(serial, sizeof serial, "16500%08u", Number(device));
  return Put(text, bytes, serial);
}
Return nvmlDeviceGetModuleId(Device device, unsigned* module) {
  if (Has("old")) return rackmark::nvml::kNotSupported;
  *module = Has("pcie") ? 0 : Number(device) + 1;
  return 0;
}
Return nvmlDeviceGetPciInfo_v3(Device device, rackmark::nvml::PciInfoV3* pci) {
  std::snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:%02X:00.0", 27 + Number(device));
  return 0;
}
Return nvmlDeviceGetNvLinkState(Device device, unsigned link, unsigned* is_up) {
  if (Has("old") || Has("no-links")) return rackmark::nvml::kNotSupported;
  if (link >= 18) return rackmark::nvml::kInvalidArgument;
  *is_up = Has("link-down") && Number(device) == 1 && link == 4 ? 0 : 1;
  return 0;
}
Return nvmlDeviceGetCpuAffinity(Device device, unsigned words, unsigned long* set) {
  std::memset(set, 0, words * sizeof(unsigned long));
  if (Number(device) == 0) set[0] = 0b101;
  if (Number(device) == 1) set[1] = 1;
  return 0;
}

}  // extern "C"

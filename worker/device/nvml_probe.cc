#include "worker/device/nvml_probe.h"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdio>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "common/status.h"
#include "worker/device/nvml.h"

namespace rackmark {
namespace {

constexpr unsigned kGpusMax = 64;      // more than any machine has; what a broken library may claim
constexpr size_t kAffinityWords = 64;  // 4096 CPUs
constexpr unsigned kLinksMax = 64;     // a GPU of today has 18

struct Close {
  void operator()(void* library) const { dlclose(library); }
};

// The library's functions by their versioned names. One that is missing is a fact that is missing.
class Library {
 public:
  static absl::StatusOr<Library> Open(const std::string& path) {
    Library out;
    out.handle_.reset(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL));
    if (out.handle_ == nullptr) {
      const char* why = dlerror();
      return absl::NotFoundError(why == nullptr ? path : why);
    }
    const auto init = out.Find<nvml::Init>("nvmlInit_v2");
    if (init == nullptr) {
      return absl::FailedPreconditionError(absl::StrCat(path, " has no nvmlInit_v2"));
    }
    const nvml::Return result = init();
    if (result != nvml::kSuccess) {
      return absl::FailedPreconditionError(absl::StrCat("nvmlInit_v2: ", out.Explain(result)));
    }
    out.ready_ = true;
    return out;
  }
  Library(Library&& other) noexcept : handle_(std::move(other.handle_)), ready_(other.ready_) {
    other.ready_ = false;
  }
  Library& operator=(Library&&) = delete;
  ~Library() {
    if (!ready_) return;
    if (const auto shutdown = Find<nvml::Shutdown>("nvmlShutdown")) shutdown();
  }

  template <typename Function>
  Function Find(const char* name) const {
    return reinterpret_cast<Function>(dlsym(handle_.get(), name));
  }
  std::string Explain(nvml::Return result) const {
    const auto explain = Find<nvml::ErrorString>("nvmlErrorString");
    const char* text = explain == nullptr ? nullptr : explain(result);
    return text == nullptr ? absl::StrCat("error ", result) : text;
  }
  // A call that is absent answers as NVML itself would.
  template <typename Function, typename... Arguments>
  nvml::Return Call(const char* name, Arguments... arguments) const {
    const auto function = Find<Function>(name);
    return function == nullptr ? nvml::kFunctionNotFound : function(arguments...);
  }

 private:
  Library() = default;
  std::unique_ptr<void, Close> handle_;
  bool ready_ = false;
};

// Text in a buffer of the library's; missing if it is not told or not ended.
template <size_t kBytes, typename Ask>
std::optional<std::string> Text(const Ask& ask) {
  std::array<char, kBytes> text{};
  if (ask(text.data(), static_cast<unsigned>(kBytes)) != nvml::kSuccess) return std::nullopt;
  text.back() = '\0';
  return std::string(text.data());
}

// "<clusterUuid>.<cliqueId>"; empty unless the GPU has joined a fabric that has a name: HGX boards
// complete with a UUID of zeros, which is no domain.
std::string NvlinkDomain(const Library& library, nvml::Device device) {
  nvml::FabricInfoV2 info{};
  info.version = nvml::Version<nvml::FabricInfoV2>(2);
  if (library.Call<nvml::FabricInfo>("nvmlDeviceGetGpuFabricInfoV", device, &info) !=
          nvml::kSuccess ||
      info.state != nvml::kFabricCompleted || info.status != nvml::kSuccess) {
    return "";
  }
  if (std::all_of(std::begin(info.cluster_uuid), std::end(info.cluster_uuid),
                  [](unsigned char byte) { return byte == 0; })) {
    return "";
  }
  std::string text;
  for (size_t i = 0; i < std::size(info.cluster_uuid); ++i) {
    std::array<char, 3> hex{};
    std::snprintf(hex.data(), hex.size(), "%02x", info.cluster_uuid[i]);
    text += hex.data();
    if (i == 3 || i == 5 || i == 7 || i == 9) text += '-';
  }
  return absl::StrCat(text, ".", info.clique_id);
}

struct Gpu {
  v1::Device device;               // with its PCI address as its slot
  std::optional<unsigned> module;  // in its tray
};

std::optional<unsigned> Module(const Library& library, nvml::Device device) {
  unsigned module = 0;
  if (library.Call<nvml::ModuleId>("nvmlDeviceGetModuleId", device, &module) != nvml::kSuccess) {
    return std::nullopt;
  }
  return module;
}

// The PCI address names a slot, too.
std::string PciSlot(const Library& library, nvml::Device device) {
  nvml::PciInfoV3 pci{};
  if (library.Call<nvml::PciInfo>("nvmlDeviceGetPciInfo_v3", device, &pci) != nvml::kSuccess) {
    return "";
  }
  pci.bus_id[sizeof pci.bus_id - 1] = '\0';
  return absl::StrCat("pci ", pci.bus_id);
}

// Boards in a tray are counted by it. Of PCIe boards each calls itself module 0: a number that
// several have names no slot.
void NameModules(std::vector<Gpu>& gpus) {
  std::set<unsigned> modules;
  for (const Gpu& gpu : gpus) {
    if (!gpu.module.has_value() || !modules.insert(*gpu.module).second) return;
  }
  for (Gpu& gpu : gpus) gpu.device.set_slot(absl::StrCat("module ", *gpu.module));
}

// Links that are up. Missing if it has none that the driver could tell of.
std::optional<uint32_t> Links(const Library& library, nvml::Device device) {
  std::optional<uint32_t> up;
  for (unsigned link = 0; link < kLinksMax; ++link) {
    unsigned is_up = 0;
    const nvml::Return asked =
        library.Call<nvml::LinkState>("nvmlDeviceGetNvLinkState", device, link, &is_up);
    if (asked == nvml::kInvalidArgument || asked == nvml::kFunctionNotFound) break;
    if (asked == nvml::kSuccess) up = up.value_or(0) + (is_up == 1 ? 1 : 0);
  }
  return up;
}

void ReadCpus(const Library& library, nvml::Device device, v1::Device* out) {
  std::array<unsigned long, kAffinityWords> words{};
  if (library.Call<nvml::CpuAffinity>("nvmlDeviceGetCpuAffinity", device,
                                      static_cast<unsigned>(words.size()),
                                      words.data()) != nvml::kSuccess) {
    return;
  }
  constexpr size_t kBits = sizeof(unsigned long) * CHAR_BIT;
  for (size_t cpu = 0; cpu < words.size() * kBits; ++cpu) {
    if ((words[cpu / kBits] >> (cpu % kBits)) & 1U) out->add_cpus(static_cast<uint32_t>(cpu));
  }
}

absl::StatusOr<Gpu> ReadDevice(const Library& library, unsigned index) {
  nvml::Device device = nullptr;
  const nvml::Return found =
      library.Call<nvml::HandleByIndex>("nvmlDeviceGetHandleByIndex_v2", index, &device);
  if (found != nvml::kSuccess) {
    return absl::UnavailableError(absl::StrCat("GPU ", index, ": ", library.Explain(found)));
  }
  const auto uuid = Text<nvml::kNameBytes>([&](char* text, unsigned bytes) {
    return library.Call<nvml::DeviceText>("nvmlDeviceGetUUID", device, text, bytes);
  });
  // The name by which a rank asks CUDA for it: without one it could get another GPU.
  if (!uuid || uuid->empty()) {
    return absl::UnavailableError(absl::StrCat("GPU ", index, " tells no UUID"));
  }
  Gpu gpu;
  v1::Device& out = gpu.device;
  out.set_kind(v1::DEVICE_KIND_GPU);
  out.set_uuid(*uuid);
  out.set_model(Text<nvml::kNameBytes>([&](char* text, unsigned bytes) {
                  return library.Call<nvml::DeviceText>("nvmlDeviceGetName", device, text, bytes);
                }).value_or(""));
  nvml::MemoryV2 memory{};
  memory.version = nvml::Version<nvml::MemoryV2>(2);
  if (library.Call<nvml::MemoryInfo>("nvmlDeviceGetMemoryInfo_v2", device, &memory) ==
          nvml::kSuccess &&
      memory.total > memory.reserved) {
    out.set_memory_bytes(memory.total - memory.reserved);
  }
  out.set_nvlink_domain(NvlinkDomain(library, device));
  out.set_serial(Text<nvml::kSerialBytes>([&](char* text, unsigned bytes) {
                   return library.Call<nvml::DeviceText>("nvmlDeviceGetSerial", device, text,
                                                         bytes);
                 }).value_or(""));
  out.set_slot(PciSlot(library, device));
  gpu.module = Module(library, device);
  if (const auto links = Links(library, device)) out.set_links(*links);
  ReadCpus(library, device, &out);
  return gpu;
}

void Note(std::string_view text, GpuProbe* probe) {
  if (!probe->note.empty()) probe->note += "; ";
  probe->note += text;
}

}  // namespace

GpuProbe ProbeGpus(const std::string& library_path) {
  GpuProbe probe;
  const auto library = Library::Open(library_path);
  if (!library.ok()) {
    Note(FromAbsl(library.status().message()), &probe);
    return probe;
  }
  probe.driver =
      Text<nvml::kVersionBytes>([&](char* text, unsigned bytes) {
        return library->Call<nvml::SystemText>("nvmlSystemGetDriverVersion", text, bytes);
      }).value_or("");
  unsigned count = 0;
  const nvml::Return counted = library->Call<nvml::Count>("nvmlDeviceGetCount_v2", &count);
  if (counted != nvml::kSuccess) Note("the GPUs: " + library->Explain(counted), &probe);
  std::vector<Gpu> gpus;
  for (unsigned i = 0; i < std::min(count, kGpusMax); ++i) {
    auto gpu = ReadDevice(*library, i);
    if (gpu.ok()) {
      gpus.push_back(*std::move(gpu));
    } else {
      Note(FromAbsl(gpu.status().message()), &probe);
    }
  }
  NameModules(gpus);
  for (Gpu& gpu : gpus) probe.devices.push_back(std::move(gpu.device));
  return probe;
}

void AddGpus(const GpuProbe& gpus, const std::vector<uint32_t>& usable, v1::NodeInfo* node) {
  for (const v1::Device& gpu : gpus.devices) {
    v1::Device* device = node->add_devices();
    *device = gpu;
    device->set_index(static_cast<uint32_t>(node->devices_size() - 1));
    device->clear_cpus();
    for (const uint32_t cpu : gpu.cpus()) {
      if (std::find(usable.begin(), usable.end(), cpu) != usable.end()) device->add_cpus(cpu);
    }
  }
  node->set_driver(gpus.driver);
  if (!gpus.driver.empty()) {
    (*node->mutable_environment()->mutable_more())["nvidia_driver"] = gpus.driver;
  }
}

}  // namespace rackmark

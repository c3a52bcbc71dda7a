// What one GPU does, one JSON object a line: read and copy bandwidth, RMSNorm, the bf16 product,
// the cost of a collective call. Times come from events, are the median of many, after a warm-up,
// on random data and buffers larger than the L2; each result is checked outside of the timed
// region, and a figure whose check fails is printed as unverified. Formulas: kernels/MEASURING.md.
//   gpu_bench          exit status 6, and one line with the reason, where there is no GPU
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/exit_codes.h"
#include "common/random.h"
#include "common/text.h"
#include "kernels/cpu/reference.h"
#include "kernels/cuda/collective_nccl.h"
#include "kernels/cuda/cuda_ops.h"
#include "kernels/work.h"

namespace rackmark {
namespace {

constexpr int kWarmups = 5;
constexpr int kTimes = 20;
constexpr size_t kPattern = size_t{64} << 20;

struct Bench {
  std::unique_ptr<CudaDevice> device;
  CudaStream stream;
  std::unique_ptr<CudaOps> ops;
  bool all_verified = true;
};

Watch Patience() { return {&SystemClock(), 60 * kSecond, nullptr}; }

std::string Quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"";
}

// Milliseconds of each of kTimes calls.
absl::StatusOr<std::vector<double>> Time(Bench& bench, const std::function<absl::Status()>& call) {
  for (int i = 0; i < kWarmups; ++i) RETURN_IF_ERROR(call());
  RETURN_IF_ERROR(bench.stream.AwaitIdle(Patience(), "the warm-up"));
  std::vector<CudaEvent> events;
  for (int i = 0; i <= kTimes; ++i) {
    ASSIGN_OR_RETURN(CudaEvent event, CudaEvent::Create(bench.device->ordinal()));
    events.push_back(std::move(event));
  }
  RETURN_IF_ERROR(bench.stream.Record(events[0]));
  for (size_t i = 1; i <= kTimes; ++i) {
    RETURN_IF_ERROR(call());
    RETURN_IF_ERROR(bench.stream.Record(events[i]));
  }
  RETURN_IF_ERROR(bench.stream.AwaitIdle(Patience(), "the measurement"));
  std::vector<double> times;
  for (size_t i = 1; i <= kTimes; ++i) {
    ASSIGN_OR_RETURN(const double ms, bench.stream.Milliseconds(events[i - 1], events[i]));
    times.push_back(ms);
  }
  return times;
}

struct Figure {
  std::string name;
  std::string unit;
  double amount = 0;  // of the unit, in one call, per second: value = amount / time
  std::string method;
  std::optional<double> limit;  // of the data sheet or of NVML's arithmetic; missing if unknown
  std::string limit_source;
};

void Print(Bench& bench, const Figure& figure, std::vector<double> ms, bool verified) {
  std::sort(ms.begin(), ms.end());
  const auto rate = [&](double time) { return figure.amount / (time / 1e3); };
  const double median = rate(ms[ms.size() / 2]);
  std::string line = absl::StrCat(
      "{\"name\":", Quoted(figure.name), ",\"unit\":", Quoted(figure.unit), ",\"value\":", median,
      ",\"best\":", rate(ms.front()), ",\"worst\":", rate(ms.back()),
      ",\"median_ms\":", ms[ms.size() / 2], ",\"times\":", ms.size(),
      ",\"method\":", Quoted(figure.method), ",\"verified\":", verified ? "true" : "false");
  if (figure.limit) {
    absl::StrAppend(&line, ",\"limit\":", *figure.limit, ",\"share\":", median / *figure.limit,
                    ",\"limit_source\":", Quoted(figure.limit_source));
  }
  std::printf("%s}\n", line.c_str());
  std::fflush(stdout);
  bench.all_verified = bench.all_verified && verified;
}

// Random words on the device, made of one random block said again and again.
absl::StatusOr<DeviceBuffer> RandomBuffer(Bench& bench, size_t bytes,
                                          std::vector<uint64_t>* block) {
  block->resize(kPattern / sizeof(uint64_t));
  Random random(20'251'121, 1);
  for (uint64_t& word : *block) word = random.Next();
  ASSIGN_OR_RETURN(DeviceBuffer buffer, DeviceBuffer::Allocate(bytes, bench.device->ordinal()));
  RETURN_IF_ERROR(bench.stream.CopyIn(buffer.data(), block->data(), kPattern, Patience()));
  for (size_t at = kPattern; at < bytes; at += kPattern) {
    RETURN_IF_ERROR(CUDA_STATUS(
        cudaMemcpyAsync(buffer.as<char>() + at, buffer.data(), std::min(kPattern, bytes - at),
                        cudaMemcpyDeviceToDevice, bench.stream.get()),
        bench.stream.place()));
  }
  RETURN_IF_ERROR(bench.stream.AwaitIdle(Patience(), "filling a buffer"));
  return buffer;
}

std::optional<double> MemoryLimit(const CudaFacts& facts) {
  if (!facts.memory_clock_khz || facts.memory_bus_bits <= 0) return std::nullopt;
  return 2.0 * *facts.memory_clock_khz * 1e3 * facts.memory_bus_bits / 8 / 1e9;
}

absl::Status Memory(Bench& bench) {
  const CudaFacts& facts = bench.device->facts();
  // Whole blocks: then the sum that must come out is known. An eighth of the memory, 4 GiB at most.
  const size_t bytes =
      std::min<size_t>(size_t{4} << 30, facts.memory_bytes / 8) / kPattern * kPattern;
  std::vector<uint64_t> block;
  ASSIGN_OR_RETURN(const DeviceBuffer from, RandomBuffer(bench, bytes, &block));
  uint64_t sum = 0;
  for (const uint64_t word : block) sum += word;
  sum *= bytes / kPattern;
  ASSIGN_OR_RETURN(const auto read,
                   Time(bench, [&] { return bench.ops->QueueRead(from.data(), bytes); }));
  ASSIGN_OR_RETURN(const ReadPass pass, bench.ops->ReadBandwidth(from.data(), bytes, Patience()));
  const auto gigabytes = static_cast<double>(bytes) / 1e9;
  const std::string source = "2 x memory clock x bus width";
  Print(bench,
        {"memory_read", "GB/s", gigabytes, "own kernel, 16-byte loads; bytes read / time",
         MemoryLimit(facts), source},
        read, pass.checksum == sum);

  ASSIGN_OR_RETURN(const DeviceBuffer to, DeviceBuffer::Allocate(bytes, bench.device->ordinal()));
  ASSIGN_OR_RETURN(const auto copy, Time(bench, [&] {
                     return CUDA_STATUS(
                         cudaMemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice,
                                         bench.stream.get()),
                         bench.stream.place());
                   }));
  ASSIGN_OR_RETURN(const ReadPass copied, bench.ops->ReadBandwidth(to.data(), bytes, Patience()));
  Print(bench,
        {"memory_copy", "GB/s", 2 * gigabytes,
         "cudaMemcpyAsync device to device; bytes read + bytes written / time", MemoryLimit(facts),
         source},
        copy, copied.checksum == sum);
  return absl::OkStatus();
}

std::vector<float> Floats(size_t n, uint64_t seed) {
  Random random(seed, 1);
  std::vector<float> out(n);
  for (float& f : out) f = static_cast<float>(2 * random.Uniform() - 1);
  return out;
}

template <typename T>
absl::StatusOr<DeviceBuffer> Upload(Bench& bench, const std::vector<T>& host) {
  ASSIGN_OR_RETURN(DeviceBuffer buffer,
                   DeviceBuffer::Allocate(host.size() * sizeof(T), bench.device->ordinal()));
  RETURN_IF_ERROR(
      bench.stream.CopyIn(buffer.data(), host.data(), host.size() * sizeof(T), Patience()));
  return buffer;
}

absl::Status Norm(Bench& bench) {
  const Ops::Norm shape{16384, 8192, 1e-5F};
  const size_t n = static_cast<size_t>(shape.m) * static_cast<size_t>(shape.hidden);
  const std::vector<float> x = Floats(n, 1);
  std::vector<Bf16> weight;
  for (const float f : Floats(static_cast<size_t>(shape.hidden), 2)) weight.push_back(ToBf16(f));
  ASSIGN_OR_RETURN(const DeviceBuffer dx, Upload(bench, x));
  ASSIGN_OR_RETURN(const DeviceBuffer dw, Upload(bench, weight));
  ASSIGN_OR_RETURN(const DeviceBuffer out, Upload(bench, std::vector<float>(n, std::nanf(""))));
  ASSIGN_OR_RETURN(const auto times, Time(bench, [&] {
                     return bench.ops->RmsNorm(shape, dx.as<float>(), dw.as<Bf16>(),
                                               out.as<float>());
                   }));
  // The last row: one that the first blocks did not write.
  const auto hidden = static_cast<size_t>(shape.hidden);
  std::vector<float> got(hidden), want(hidden);
  RETURN_IF_ERROR(bench.stream.CopyOut(got.data(), out.as<float>() + n - hidden,
                                       hidden * sizeof(float), Patience()));
  MakeReferenceOps()->RmsNorm({1, shape.hidden, shape.epsilon}, x.data() + n - hidden,
                              weight.data(), want.data());
  double worst = 0;
  for (size_t i = 0; i < hidden; ++i) {
    const double error = std::abs(static_cast<double>(got[i]) - static_cast<double>(want[i]));
    worst = error <= worst ? worst : error;  // a NaN stays
  }
  Print(bench,
        {"rmsnorm_16384x8192", "GB/s", 8.0 * static_cast<double>(n) / 1e9,
         "own kernel; x read once and the result written once, fp32 / time",
         MemoryLimit(bench.device->facts()), "2 x memory clock x bus width"},
        times, worst < 1e-5);
  return absl::OkStatus();
}

// Dense bf16, of the SXM data sheets; missing for every other chip.
std::optional<double> MatMulLimit(const CudaFacts& facts) {
  if (facts.major == 9 && facts.multiprocessors >= 132) return 989;
  if (facts.major == 10 && facts.minor == 0) return 2250;
  return std::nullopt;
}

absl::Status Product(Bench& bench, const MatMulShape& shape) {
  const auto m = static_cast<size_t>(shape.m), n = static_cast<size_t>(shape.n),
             k = static_cast<size_t>(shape.k);
  std::vector<Bf16> x, w;
  for (const float f : Floats(m * k, 3)) x.push_back(ToBf16(f));
  for (const float f : Floats(n * k, 4)) w.push_back(ToBf16(f));
  ASSIGN_OR_RETURN(const DeviceBuffer dx, Upload(bench, x));
  ASSIGN_OR_RETURN(const DeviceBuffer dw, Upload(bench, w));
  ASSIGN_OR_RETURN(const DeviceBuffer y, Upload(bench, std::vector<float>(m * n, std::nanf(""))));
  ASSIGN_OR_RETURN(const auto times, Time(bench, [&] {
                     return bench.ops->MatMul(shape, dx.as<Bf16>(), dw.as<Bf16>(), y.as<float>());
                   }));
  std::vector<float> got(m * n);
  RETURN_IF_ERROR(bench.stream.CopyOut(got.data(), y.data(), m * n * sizeof(float), Patience()));
  Random random(5, 1);
  bool right = true;
  for (int probe = 0; probe < 256; ++probe) {
    const size_t i = random.Next() % m, j = random.Next() % n;
    double want = 0;
    for (size_t l = 0; l < k; ++l) {
      want +=
          static_cast<double>(ToFloat(x[i * k + l])) * static_cast<double>(ToFloat(w[j * k + l]));
    }
    const double error = std::abs(static_cast<double>(got[i * n + j]) - want);
    right = right && error < 1e-3 * std::sqrt(static_cast<double>(k));
  }
  const MatMulWork work = WorkOfMatMul(shape.m, shape.n, shape.k);
  Print(bench,
        {absl::StrCat("matmul_bf16_", shape.m, "x", shape.n, "x", shape.k), "TFLOP/s",
         work.flops / 1e12, "cuBLASLt, fp32 sums; 2 m n k / time",
         MatMulLimit(bench.device->facts()), "data sheet, dense bf16, SXM"},
        times, right);
  return absl::OkStatus();
}

absl::Status Collectives(Bench& bench) {
  NcclCollective::Options options;
  ASSIGN_OR_RETURN(options.id, MakeNcclId());
  options.on_stuck = [](std::string_view) { std::abort(); };
  ASSIGN_OR_RETURN(const auto solo, NcclCollective::Connect(bench.device.get(), &bench.stream,
                                                            bench.ops.get(), options));
  const absl::Status right = solo->Verify(9, 10'007);
  std::vector<double> ms;
  for (int i = 0; i < kWarmups + kTimes; ++i) {
    ASSIGN_OR_RETURN(const CollectiveTiming timing, solo->Barrier());
    if (i >= kWarmups) ms.push_back(static_cast<double>(timing.transfer) / 1e6);
  }
  Print(bench,
        {"nccl_barrier_world_1", "calls/s", 1,
         absl::StrCat("NCCL ", NcclVersion(),
                      "; call to result on the host, a world of one: "
                      "what launching and polling cost"),
         std::nullopt, ""},
        ms, right.ok());
  return solo->Close();
}

int Main() {
  Bench bench;
  auto device = CudaDevice::Open(0);
  if (!device.ok()) {
    std::printf("{\"skipped\":%s}\n", Quoted(std::string(device.status().message())).c_str());
    return absl::IsFailedPrecondition(device.status()) ? kExitSkipped : kExitError;
  }
  bench.device = *std::move(device);
  const CudaFacts& facts = bench.device->facts();
  std::printf(
      "{\"device\":%s,\"uuid\":%s,\"compute_capability\":\"%d.%d\",\"multiprocessors\":%d,"
      "\"memory_bytes\":%llu,\"l2_bytes\":%llu,\"driver_cuda\":%d,\"runtime_cuda\":%d,"
      "\"nccl\":%s,\"cublaslt\":%zu}\n",
      Quoted(facts.name).c_str(), Quoted(facts.uuid).c_str(), facts.major, facts.minor,
      facts.multiprocessors, static_cast<unsigned long long>(facts.memory_bytes),
      static_cast<unsigned long long>(facts.l2_bytes), facts.driver_version, facts.runtime_version,
      Quoted(NcclVersion()).c_str(), cublasLtGetVersion());
  std::fflush(stdout);
  const std::vector<std::pair<const char*, std::function<absl::Status()>>> parts = {
      {"open",
       [&]() -> absl::Status {
         ASSIGN_OR_RETURN(bench.stream, CudaStream::Create(0));
         ASSIGN_OR_RETURN(bench.ops, CudaOps::Create(bench.device.get(), &bench.stream));
         return absl::OkStatus();
       }},
      {"memory", [&] { return Memory(bench); }},
      {"rmsnorm", [&] { return Norm(bench); }},
      {"matmul",
       [&] {
         return Product(bench, {8192, 8192, 8192, 1});
       }},
      {"matmul_decode",
       [&] {
         return Product(bench, {16, 8192, 8192, 1});
       }},
      {"nccl", [&] { return Collectives(bench); }},
  };
  bool ok = true;
  for (const auto& [name, part] : parts) {
    const absl::Status status = part();
    if (status.ok()) continue;
    ok = false;
    std::printf("{\"failed\":%s,\"reason\":%s}\n", Quoted(name).c_str(),
                Quoted(std::string(status.message())).c_str());
    std::fflush(stdout);
    if (bench.ops == nullptr) break;
  }
  return !ok ? kExitError : bench.all_verified ? kExitPass : kExitFail;
}

}  // namespace
}  // namespace rackmark

int main() { return rackmark::Main(); }

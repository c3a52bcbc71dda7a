// Main of a fuzz target without libFuzzer: runs the seeds, the inputs that found something once,
// and a number of mutations that is the same everywhere. A crash leaves its input in a file.
//
//   fuzz_x [--runs N] [--seed N] [--out FOLDER] [--write-seeds FOLDER] [FILE or FOLDER...]
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "common/sha256.h"
#include "tests/fuzz/mutate.h"
#include "tests/fuzz/target.h"

// A sanitizer's report ends in SIGABRT too, so that one handler keeps the input.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "abort_on_error=1"; }
extern "C" const char* __ubsan_default_options();
extern "C" const char* __ubsan_default_options() {
  return "halt_on_error=1:abort_on_error=1:print_stacktrace=1";
}

namespace rackmark::fuzz {
namespace {

namespace fs = std::filesystem;

// For the signal handler: what is being run, and where to put it.
const std::string* g_input = nullptr;
char g_crash_path[4096] = "";

extern "C" void KeepInput(int signal) {
  const int fd = open(g_crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd >= 0 && g_input != nullptr) {
    ssize_t done = write(fd, g_input->data(), g_input->size());
    done = write(STDERR_FILENO, "crash: the input is in ", 23);
    done = write(STDERR_FILENO, g_crash_path, strlen(g_crash_path));
    done = write(STDERR_FILENO, "\n", 1);
    static_cast<void>(done);
    close(fd);
  }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    std::exit(2);
  }
  return {std::istreambuf_iterator<char>(in), {}};
}

void AddFiles(const fs::path& path, std::vector<std::string>& to) {
  if (!fs::is_directory(path)) return to.push_back(ReadFile(path));
  std::vector<fs::path> files;  // in an order that no file system decides
  for (const auto& entry : fs::directory_iterator(path)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) to.push_back(ReadFile(file));
}

void RunOne(const std::string& input) {
  g_input = &input;
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
  g_input = nullptr;
}

struct Options {
  uint64_t runs = 0;
  uint64_t seed = 1;
  std::string write_seeds;
  std::vector<std::string> inputs;
};

[[noreturn]] void Usage() {
  std::fprintf(stderr,
               "usage: [--runs N] [--seed N] [--out FOLDER] [--write-seeds FOLDER] "
               "[FILE or FOLDER...]\n");
  std::exit(2);
}

Options Parse(int argc, char** argv) {
  Options options;
  std::string out = ".";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.rfind("--", 0) != 0) {
      options.inputs.push_back(word);
      continue;
    }
    if (i + 1 == argc) Usage();
    const char* value = argv[++i];
    if (word == "--runs") {
      options.runs = std::strtoull(value, nullptr, 10);
    } else if (word == "--seed") {
      options.seed = std::strtoull(value, nullptr, 10);
    } else if (word == "--out") {
      out = value;
    } else if (word == "--write-seeds") {
      options.write_seeds = value;
    } else {
      Usage();
    }
  }
  std::snprintf(g_crash_path, sizeof(g_crash_path), "%s/crash-%s", out.c_str(),
                fs::path(argv[0]).filename().c_str());
  return options;
}

void WriteSeeds(const std::vector<std::string>& seeds, const fs::path& folder) {
  fs::create_directories(folder);
  for (const std::string& seed : seeds) {
    std::ofstream(folder / Sha256Hex(seed).substr(0, 16), std::ios::binary) << seed;
  }
}

}  // namespace

int Main(int argc, char** argv) {
  const Options options = Parse(argc, argv);
  for (const int signal : {SIGABRT, SIGBUS, SIGFPE, SIGILL}) std::signal(signal, KeepInput);
#ifndef __SANITIZE_ADDRESS__  // which says more about it than the input
  std::signal(SIGSEGV, KeepInput);
#endif
  std::vector<std::string> inputs = Seeds();
  if (!options.write_seeds.empty()) {
    WriteSeeds(inputs, options.write_seeds);
    return 0;
  }
  for (const std::string& path : options.inputs) AddFiles(path, inputs);
  for (const std::string& input : inputs) RunOne(input);
  Random random(options.seed, 0);
  for (uint64_t run = 0; run < options.runs; ++run) {
    const size_t from = static_cast<size_t>(random.Between(0, inputs.size() - 1));
    RunOne(Mutate(inputs[from], inputs, random));
  }
  std::printf("%zu seeds, %llu mutations, no crash\n", inputs.size(),
              static_cast<unsigned long long>(options.runs));
  return 0;
}

}  // namespace rackmark::fuzz

int main(int argc, char** argv) { return rackmark::fuzz::Main(argc, argv); }

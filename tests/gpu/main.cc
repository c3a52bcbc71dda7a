// Runs the GPU tests. Where every one of them was skipped it says so with the status of SKIPPED, so
// that nobody takes it for a pass. With --nccl-peer it is one rank of a test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string_view>

#include "common/exit_codes.h"
#include "tests/gpu/gpu_fixture.h"

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "--nccl-peer") {
    return rackmark::NcclPeerMain(argc, argv);
  }
  testing::InitGoogleMock(&argc, argv);
  const int failed = RUN_ALL_TESTS();
  if (failed != 0) return failed;
  const testing::UnitTest& all = *testing::UnitTest::GetInstance();
  if (all.test_to_run_count() > 0 && all.skipped_test_count() == all.test_to_run_count()) {
    std::printf("SKIPPED: none of %d tests could run here\n", all.test_to_run_count());
    return rackmark::kExitSkipped;
  }
  return rackmark::kExitPass;
}

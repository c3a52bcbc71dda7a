# Third-party packages: Debian 12 and Ubuntu 24.04 ship all of them (scripts/packages).
find_package(Threads REQUIRED)
find_package(Protobuf REQUIRED)
find_package(absl REQUIRED)
find_package(gRPC REQUIRED)
find_package(spdlog REQUIRED)
find_package(GTest REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(PostgreSQL REQUIRED)  # libpq
find_package(zstd REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
# Its config file names the target `gloo` without a namespace.
find_package(Gloo REQUIRED)
find_library(RACKMARK_JEMALLOC jemalloc REQUIRED)
find_package(benchmark QUIET)

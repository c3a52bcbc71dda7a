# The optional CUDA part: kernels/cuda, rackmark-rank-cuda, tests/gpu. Sets RACKMARK_CUDA_FOUND, and
# RACKMARK_CUDA_WHY for the summary. Nothing else links CUDA (tests/lint checks the programs).
set(RACKMARK_CUDA AUTO CACHE STRING
  "CUDA programs: AUTO (where a toolkit and NCCL are found), ON (an error if not), OFF")
set_property(CACHE RACKMARK_CUDA PROPERTY STRINGS AUTO ON OFF)
if(NOT RACKMARK_CUDA MATCHES "^(AUTO|ON|OFF)$")
  message(FATAL_ERROR "RACKMARK_CUDA is ${RACKMARK_CUDA}; use AUTO, ON or OFF")
endif()

set(RACKMARK_CUDA_FOUND OFF)
set(RACKMARK_CUDA_WHY "")
if(RACKMARK_CUDA STREQUAL "OFF")
  set(RACKMARK_CUDA_WHY "switched off (RACKMARK_CUDA=OFF)")
elseif(RACKMARK_SANITIZE)
  set(RACKMARK_CUDA_WHY "nvcc takes no -fsanitize; build it without RACKMARK_SANITIZE")
else()
  if(DEFINED ENV{CUDACXX} AND NOT RACKMARK_NVCC)
    set(RACKMARK_NVCC $ENV{CUDACXX} CACHE FILEPATH "nvcc" FORCE)
  endif()
  find_program(RACKMARK_NVCC nvcc
    HINTS ENV CUDA_HOME ENV CUDA_PATH PATH_SUFFIXES bin PATHS /usr/local/cuda/bin)
  if(RACKMARK_NVCC)
    # Behind a link, so that the toolkit's own folder is searched and not the link's.
    get_filename_component(nvcc_folder ${RACKMARK_NVCC} REALPATH)
    get_filename_component(nvcc_folder ${nvcc_folder} DIRECTORY)
    get_filename_component(CUDAToolkit_ROOT ${nvcc_folder} DIRECTORY)
    find_package(CUDAToolkit 12.8 QUIET)
  endif()
  if(CUDAToolkit_FOUND)
    find_path(RACKMARK_NCCL_INCLUDE nccl.h
      HINTS ENV NCCL_HOME ${CUDAToolkit_INCLUDE_DIRS} PATH_SUFFIXES include)
    find_library(RACKMARK_NCCL_LIBRARY NAMES nccl libnccl.so.2
      HINTS ENV NCCL_HOME ${CUDAToolkit_LIBRARY_DIR} PATH_SUFFIXES lib lib64)
  endif()
  if(NOT RACKMARK_NVCC)
    set(RACKMARK_CUDA_WHY "no nvcc; put it on PATH or name it in CUDACXX")
  elseif(NOT CUDAToolkit_FOUND)
    set(RACKMARK_CUDA_WHY "no CUDA toolkit 12.8 or newer around ${RACKMARK_NVCC}; set CUDAToolkit_ROOT")
  elseif(NOT TARGET CUDA::cudart OR NOT TARGET CUDA::cublasLt)
    set(RACKMARK_CUDA_WHY "the toolkit at ${CUDAToolkit_ROOT} has no cudart or no cublasLt; install its development packages")
  elseif(NOT RACKMARK_NCCL_INCLUDE OR NOT RACKMARK_NCCL_LIBRARY)
    set(RACKMARK_CUDA_WHY "no NCCL (nccl.h, libnccl); install libnccl-dev or set NCCL_HOME")
  else()
    include(CheckLanguage)
    # Asked through the environment, because a compiler that CMake was given is not checked: a broken
    # one would end AUTO's configuration.
    set(ENV{CUDACXX} ${RACKMARK_NVCC})
    # Hopper, Blackwell (both data-centre chips), and code for what comes after them. Fewer compile
    # faster: -DCMAKE_CUDA_ARCHITECTURES=90-real.
    set(CMAKE_CUDA_ARCHITECTURES "90-real;100-real;103-real;120-virtual" CACHE STRING
      "GPU architectures, as CMake names them")
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER)
      set(RACKMARK_CUDA_FOUND ON)
    else()
      set(RACKMARK_CUDA_WHY "${RACKMARK_NVCC} compiles nothing; see CMakeFiles/CMakeError.log")
    endif()
  endif()
endif()

if(RACKMARK_CUDA STREQUAL "ON" AND NOT RACKMARK_CUDA_FOUND)
  message(FATAL_ERROR "RACKMARK_CUDA=ON, and it cannot be built: ${RACKMARK_CUDA_WHY}")
endif()

if(RACKMARK_CUDA_FOUND)
  # One runtime in a process: with the static default, CUDA::cudart would bring a second one.
  set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
  enable_language(CUDA)
  # CMake 3.25 knows no C++20 for CUDA and would silently add no flag.
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  if(RACKMARK_CCACHE)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${RACKMARK_CCACHE})
  endif()
  file(STRINGS ${RACKMARK_NCCL_INCLUDE}/nccl.h nccl_version REGEX "define NCCL_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE "[^0-9;]" "" nccl_version "${nccl_version}")
  string(REPLACE ";" "." nccl_version "${nccl_version}")
  add_library(rackmark_nccl INTERFACE)
  target_include_directories(rackmark_nccl SYSTEM INTERFACE ${RACKMARK_NCCL_INCLUDE})
  target_link_libraries(rackmark_nccl INTERFACE ${RACKMARK_NCCL_LIBRARY})
  set(RACKMARK_CUDA_WHY
    "toolkit ${CUDAToolkit_VERSION}, NCCL ${nccl_version}, for ${CMAKE_CUDA_ARCHITECTURES}")
endif()

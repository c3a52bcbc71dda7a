# rackmark_room(NAME [DEPS targets...] [FILES extra sources...] [TEST_DEPS targets...])
#   One static library `rackmark_NAME` of every *.cc of this folder except *_test.cc and *main.cc, and
#   one test program `NAME_test` of every *_test.cc beside it, registered with CTest: a test file that
#   exists is a test that runs.
add_library(rackmark_flags INTERFACE)
target_compile_options(rackmark_flags INTERFACE
  -Wall -Wextra -Wconversion -Wsign-conversion -Wshadow -Wpedantic)
if(RACKMARK_WERROR)
  target_compile_options(rackmark_flags INTERFACE -Werror)
endif()
target_include_directories(rackmark_flags INTERFACE ${CMAKE_SOURCE_DIR})
if(RACKMARK_SANITIZE)
  # -O1: checks at -O2 take twice as long to compile, and find the same.
  add_compile_options(-fsanitize=${RACKMARK_SANITIZE} -fno-omit-frame-pointer -g1 -O1
                      -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${RACKMARK_SANITIZE})
endif()

find_program(RACKMARK_MOLD mold)
if(RACKMARK_MOLD)
  add_link_options(-fuse-ld=mold)
endif()
find_program(RACKMARK_CCACHE ccache)
if(RACKMARK_CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${RACKMARK_CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${RACKMARK_CCACHE})
endif()

# Several files in one compiler run: each parses protobuf, abseil and gRPC anew, which is most of a
# build. For work on few files with ccache, -DRACKMARK_UNITY=OFF. Two files of one target that use a
# name for different things are compiled by themselves:
# rackmark_apart(FILES...). Measured code stands apart as a room, so that its machine code is the same
# in both ways of building.
option(RACKMARK_UNITY "Compile a target's sources in batches" ON)
function(rackmark_batches target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${RACKMARK_UNITY} UNITY_BUILD_BATCH_SIZE 8)
endfunction()
function(rackmark_apart)
  set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# A room that is not built would be taken for a library of that name, and be missed by the linker only.
function(rackmark_need name)
  foreach(dep IN LISTS ARGN)
    if(dep MATCHES "^rackmark_" AND NOT TARGET ${dep})
      message(FATAL_ERROR "${name} needs ${dep}, whose room is not built; add it to RACKMARK_ROOMS")
    endif()
  endforeach()
endfunction()

function(rackmark_room name)
  cmake_parse_arguments(ARG "" "" "DEPS;FILES;TEST_DEPS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cc)
  file(GLOB tests CONFIGURE_DEPENDS *_test.cc)
  list(FILTER sources EXCLUDE REGEX "(_test|main)\\.cc$")
  list(APPEND sources ${ARG_FILES})
  rackmark_need(rackmark_${name} ${ARG_DEPS})
  add_library(rackmark_${name} STATIC ${sources})
  rackmark_batches(rackmark_${name})
  target_link_libraries(rackmark_${name} PUBLIC ${ARG_DEPS} PRIVATE rackmark_flags)
  target_include_directories(rackmark_${name} PUBLIC ${CMAKE_SOURCE_DIR})
  if(tests)
    rackmark_test(${name}_test FILES ${tests} DEPS rackmark_${name} ${ARG_TEST_DEPS})
  endif()
endfunction()

function(rackmark_test name)
  cmake_parse_arguments(ARG "" "" "FILES;DEPS" ${ARGN})
  rackmark_need(${name} ${ARG_DEPS})
  add_executable(${name} ${ARG_FILES})
  rackmark_batches(${name})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gmock_main rackmark_flags)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 600)
endfunction()

function(rackmark_program name)
  cmake_parse_arguments(ARG "" "" "FILES;DEPS" ${ARGN})
  rackmark_need(${name} ${ARG_DEPS})
  add_executable(${name} ${ARG_FILES})
  rackmark_batches(${name})
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} rackmark_flags)
  rackmark_relocatable(${name})
endfunction()

# The program looks for libraries in ../lib beside it first, wherever it lies, and so do those
# libraries in turn (the old tag's meaning): scripts/bundle puts them there.
function(rackmark_relocatable name)
  target_link_options(${name} PRIVATE LINKER:--disable-new-dtags)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin
    BUILD_RPATH "$ORIGIN/../lib" INSTALL_RPATH "$ORIGIN/../lib")
  # Of the benches a bundle takes those that a GPU node is measured with.
  if(NOT name MATCHES "^(report|restart|ingest|lease|placement|turn|fleet)_bench$")
    install(TARGETS ${name} RUNTIME DESTINATION bin COMPONENT programs OPTIONAL)
  endif()
endfunction()

# rackmark_start_fast(TARGET)
#   For a program whose start people wait for: protobuf, abseil and zstd from their archives, so that
#   the loader has a quarter of the libraries to open (measured: 7 ms of CPU a start less).
#   Instrumented builds keep the shared ones, which the instrumented libraries replace.
function(rackmark_start_fast target)
  find_package(Python3 COMPONENTS Interpreter QUIET)
  if(Python3_FOUND AND NOT RACKMARK_SANITIZE)
    set_property(TARGET ${target} PROPERTY RULE_LAUNCH_LINK
      "${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/cmake/static_link.py")
  endif()
endfunction()

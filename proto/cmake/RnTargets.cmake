# Defines functions that declare the library of a folder, a schema, a program and a test.

add_library(rn_flags INTERFACE)
target_compile_options(rn_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes
  $<$<C_COMPILER_ID:Clang>:-Wshorten-64-to-32>
  $<$<BOOL:${RN_WERROR}>:-Werror>
  -ffp-contract=off -fno-math-errno -fno-trapping-math)
target_compile_definitions(rn_flags INTERFACE _GNU_SOURCE)
target_include_directories(rn_flags INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
if(RN_SANITIZE OR RN_TSAN)
  # With the checks of a sanitizer in its body, clang cannot vectorise every loop marked `omp simd`.
  target_compile_options(rn_flags INTERFACE $<$<C_COMPILER_ID:Clang>:-Wno-pass-failed>)
endif()
if(RN_SANITIZE)
  target_compile_options(rn_flags INTERFACE
    -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  target_link_options(rn_flags INTERFACE -fsanitize=address,undefined)
endif()
if(RN_COVERAGE)
  # Threads may lose counts of each other, which is harmless: atomic counters make inner loops five
  # times as slow.
  target_compile_options(rn_flags INTERFACE --coverage -fprofile-update=single)
  target_link_options(rn_flags INTERFACE --coverage -Wl,--wrap=_exit -Wl,--wrap=MPI_Abort)
  add_library(rn_count_exit STATIC ${CMAKE_SOURCE_DIR}/tests/support/count_exit.c)
  target_link_libraries(rn_count_exit PRIVATE MPI::MPI_C)
  target_link_libraries(rn_flags INTERFACE rn_count_exit)
endif()
if(RN_TSAN)
  target_compile_options(rn_flags INTERFACE -O1 -fsanitize=thread -fno-omit-frame-pointer)
  target_link_options(rn_flags INTERFACE -fsanitize=thread)
endif()
if(RN_LIBFUZZER)
  target_compile_options(rn_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# Builds schemas (.pb-c.h) as a separate library without our warning flags, because the code is
# generated.
# rn_proto(<name> FILES a.proto b.proto)
function(rn_proto name)
  cmake_parse_arguments(ARG "" "" "FILES" ${ARGN})
  set(sources)
  foreach(file ${ARG_FILES})
    string(REGEX REPLACE "\\.proto$" "" stem ${file})
    set(out ${CMAKE_CURRENT_BINARY_DIR}/${stem}.pb-c)
    add_custom_command(OUTPUT ${out}.c ${out}.h
      COMMAND ${RN_PROTOC_C} --proto_path=${CMAKE_SOURCE_DIR} --c_out=${CMAKE_BINARY_DIR}
              ${CMAKE_CURRENT_SOURCE_DIR}/${file}
      DEPENDS ${file} VERBATIM)
    list(APPEND sources ${out}.c)
  endforeach()
  add_library(${name} STATIC ${sources})
  target_include_directories(${name} PUBLIC ${CMAKE_BINARY_DIR})
  target_link_libraries(${name} PUBLIC PkgConfig::PROTOBUF_C)
endfunction()

# rn_library(<folder> SOURCES ... DEPS targets [DEFINES ...]) makes rn_<folder>.
function(rn_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;DEFINES" ${ARGN})
  add_library(rn_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(rn_${name} PRIVATE rn_flags PUBLIC ${ARG_DEPS})
  target_compile_definitions(rn_${name} PUBLIC ${ARG_DEFINES})
endfunction()

# rn_program(<name> SOURCES ... DEPS targets) builds a program in build/bin and installs it with its
# manual page and its completion for bash, which the program generates.
function(rn_program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE rn_flags ${ARG_DEPS})
  # Programs that use neither MPI nor another library of their dependencies start without it.
  target_link_options(${name} PRIVATE -Wl,--as-needed)
  set_target_properties(${name} PROPERTIES
    LINKER_LANGUAGE C RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin
    ENABLE_EXPORTS ON) # the watchdog's stacks then show names of functions
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  if(CMAKE_CROSSCOMPILING AND NOT CMAKE_CROSSCOMPILING_EMULATOR)
    return()
  endif()
  set(manual ${CMAKE_BINARY_DIR}/man/${name}.1)
  set(completion ${CMAKE_BINARY_DIR}/completions/${name})
  add_custom_command(OUTPUT ${manual} ${completion}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/man ${CMAKE_BINARY_DIR}/completions
    COMMAND ${name} --generate man > ${manual}
    COMMAND ${name} --generate bash > ${completion}
    DEPENDS ${name} VERBATIM)
  add_custom_target(${name}_manual ALL DEPENDS ${manual} ${completion})
  install(FILES ${manual} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${completion} DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
endfunction()

# rn_test(<kind>/<name> DEPS targets [SOURCES ...] [NP 1 2 3 ...] [ARGS ...] [TIMEOUT s] [LABELS ...])
# Builds tests/<kind>/<name>.c and runs it; with NP, runs it once for each number of ranks,
# oversubscribed. PROCESSORS is the number of ranks, or one or two for tests of programs. They mostly
# wait: all tests together use a quarter of a core for each. Therefore, call `ctest -j` with four
# times the number of cores. COST, the seconds of a long test, makes ctest start the test early.
# TIMEOUT turns a deadlock into a failure. A test that cannot run on this machine prints the reason
# and exits with 77; ctest then counts it as skipped. LABELS threads: a test of threads, which the preset tsan builds (target thread_tests) and
# runs.
add_custom_target(thread_tests)
function(rn_test path)
  cmake_parse_arguments(ARG "" "TIMEOUT" "DEPS;SOURCES;NP;ARGS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  if(RN_SANITIZE OR RN_TSAN OR RN_COVERAGE)
    math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * 5")
  endif()
  string(REGEX REPLACE "/.*" "" kind ${path})
  string(REPLACE "/" "_" target "test_${path}")
  add_executable(${target} ${CMAKE_SOURCE_DIR}/tests/${path}.c ${ARG_SOURCES})
  target_link_libraries(${target} PRIVATE rn_flags rn_test_support ${ARG_DEPS})
  set_target_properties(${target} PROPERTIES LINKER_LANGUAGE C)
  if("threads" IN_LIST ARG_LABELS)
    add_dependencies(thread_tests ${target})
  endif()
  if(NOT ARG_NP)
    add_test(NAME ${path} COMMAND ${target} ${ARG_ARGS})
    set_tests_properties(${path} PROPERTIES
      TIMEOUT ${ARG_TIMEOUT} LABELS "${kind};${ARG_LABELS}" PROCESSORS 1
      SKIP_RETURN_CODE 77 ENVIRONMENT "${RN_TEST_ENVIRONMENT}")
  endif()
  foreach(np ${ARG_NP})
    add_test(NAME ${path}.np${np}
             COMMAND ${MPIEXEC_EXECUTABLE} -n ${np} --oversubscribe --bind-to none
                     $<TARGET_FILE:${target}> ${ARG_ARGS})
    set_tests_properties(${path}.np${np} PROPERTIES
      TIMEOUT ${ARG_TIMEOUT} LABELS "${kind};${ARG_LABELS}" PROCESSORS ${np}
      SKIP_RETURN_CODE 77 ENVIRONMENT "${RN_TEST_ENVIRONMENT}")
  endforeach()
endfunction()

# The environment of tests, which may run as root in containers, with more ranks than cores, and
# with sanitizers.
set(RN_TEST_ENVIRONMENT
  OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
  OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_mpi_yield_when_idle=1
  PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
  OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive
  # ignore_noninstrumented_modules: MPI, OpenMP and zstd are not built for the thread sanitizer; libarcher
  # tells it how OpenMP synchronises.
  TSAN_OPTIONS=ignore_noninstrumented_modules=1:suppressions=${CMAKE_SOURCE_DIR}/tests/support/tsan.supp
  # intercept_tls_get_addr=0: the sanitizer does not track thread-local memory of loaded libraries.
  # Otherwise, the leak check of GCC 12 reads the memory of threads that MPI has ended, and crashes.
  ASAN_OPTIONS=fast_unwind_on_malloc=0:intercept_tls_get_addr=0
  LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/support/lsan.supp:print_suppressions=0
  UBSAN_OPTIONS=print_stacktrace=1)

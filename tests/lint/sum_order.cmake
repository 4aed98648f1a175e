# Fails on code that lets a compiler choose the order or the rounding of a floating-point sum: an
# OpenMP reduction, or a flag or pragma that reorders sums or fuses multiply and add.
# cmake -DROOT=<source tree> -P sum_order.cmake
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/lines.cmake)

set(reduction "#[ \t]*pragma[ \t]+omp[^\n]*reduction")
set(flags "-ffast-math|-fassociative-math|-funsafe-math-optimizations|-Ofast|-mrecip|-freciprocal-math")
set(contract "-ffp-contract=(fast|on)|FP_CONTRACT[ \t]+ON|clang[ \t]+fp[ \t]")
# The sum in this file is only printed.
set(exempt "^trainer/bench/bench_sweep\\.c$")

file(GLOB_RECURSE files RELATIVE ${ROOT} ${ROOT}/model/*.[ch] ${ROOT}/trainer/*.[ch]
     ${ROOT}/comm/*.[ch] ${ROOT}/data/*.[ch] ${ROOT}/proto/*.[ch])
# Listed one by one, because a recursive search from the root would read build folders too.
file(GLOB build_files RELATIVE ${ROOT} ${ROOT}/CMakeLists.txt ${ROOT}/CMakePresets.json
     ${ROOT}/*/CMakeLists.txt ${ROOT}/proto/cmake/*.cmake)
list(APPEND files ${build_files})
# Comments may mention these flags.
find_lines(faults PATTERN "${reduction}|${flags}|${contract}" EXEMPT "${exempt}"
           SKIP "^[ \t]*(\\*|//|/\\*|#)" KEEP "^[ \t]*#[ \t]*pragma" FILES ${files})
if(faults)
  message(FATAL_ERROR "the order of these sums is the compiler's (see model/kernel/ref/lanes.h):\n"
                      "${faults}")
endif()
list(LENGTH files count)
message(STATUS "${count} files leave no order to the compiler")

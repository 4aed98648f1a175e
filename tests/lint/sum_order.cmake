# Fails on what lets a compiler choose the order or the rounding of a floating-point sum whose bits
# are promised: an OpenMP reduction, or a flag or pragma that reorders or fuses.
# cmake -DROOT=<source tree> -P sum_order.cmake
cmake_minimum_required(VERSION 3.25)

set(reduction "#[ \t]*pragma[ \t]+omp[^\n]*reduction")
set(flags "-ffast-math|-fassociative-math|-funsafe-math-optimizations|-Ofast|-mrecip|-freciprocal-math")
set(contract "-ffp-contract=(fast|on)|FP_CONTRACT[ \t]+ON|clang[ \t]+fp[ \t]")
# Its sum is printed, and nothing is computed from it.
set(exempt "^trainer/bench/bench_sweep\\.c$")

file(GLOB_RECURSE files RELATIVE ${ROOT} ${ROOT}/model/*.[ch] ${ROOT}/trainer/*.[ch]
     ${ROOT}/comm/*.[ch] ${ROOT}/data/*.[ch] ${ROOT}/proto/*.[ch])
# Named one by one: a recursive search from the root would read build folders too.
file(GLOB build_files RELATIVE ${ROOT} ${ROOT}/CMakeLists.txt ${ROOT}/CMakePresets.json
     ${ROOT}/*/CMakeLists.txt ${ROOT}/proto/cmake/*.cmake)
list(APPEND files ${build_files})
list(LENGTH files count)
if(count EQUAL 0)
  message(FATAL_ERROR "no source found below ${ROOT}")
endif()

set(faults "")
foreach(file ${files})
  if(file MATCHES "${exempt}")
    continue()
  endif()
  file(STRINGS ${ROOT}/${file} lines REGEX "${reduction}|${flags}|${contract}")
  foreach(line ${lines})
    # A comment may speak of them.
    if(NOT line MATCHES "^[ \t]*(\\*|//|/\\*)" AND NOT (line MATCHES "^[ \t]*#" AND
       NOT line MATCHES "pragma"))
      string(APPEND faults "  ${file}: ${line}\n")
    endif()
  endforeach()
endforeach()
if(faults)
  message(FATAL_ERROR "the order of these sums is the compiler's (see model/kernel/ref/lanes.h):\n"
                      "${faults}")
endif()
message(STATUS "${count} files leave no order to the compiler")

# Fails on code outside model/ that bypasses the interface of a stage (model/stage/stage.h): that
# includes headers of the CPU backend's layers, activations or decoder, or calls their functions.
# cmake -DROOT=<source tree> -P stage_interface.cmake
cmake_minimum_required(VERSION 3.25)
include(${CMAKE_CURRENT_LIST_DIR}/lines.cmake)

set(headers "#[ \t]*include[ \t]+\"model/(stage/(layer|layer_stack|activations)|decode/[a-z_]+)\\.h\"")
set(calls "rn_(layer_stack|layer_activations|activations|decoder)_[a-z_]+\\(")
# Measures the CPU's decoder, as bench_kernels.c measures its kernels.
set(exempt "^trainer/bench/bench_(decode|decode_grid|generator)\\.[ch]$")

file(GLOB_RECURSE files RELATIVE ${ROOT} ${ROOT}/trainer/*.[ch] ${ROOT}/comm/*.[ch]
     ${ROOT}/data/*.[ch])
find_lines(faults PATTERN "${headers}|${calls}" EXEMPT "${exempt}" FILES ${files})
if(faults)
  message(FATAL_ERROR "use model/stage/stage.h, which all backends provide, in place of:\n${faults}")
endif()
list(LENGTH files count)
message(STATUS "${count} files use stages through their interface")

# Tests sum_order.cmake: it accepts code that follows the rule and reports each kind of violation.
# cmake -DLINT=sum_order.cmake -DWORK=<scratch folder> -P sum_order_must_fail.cmake
cmake_minimum_required(VERSION 3.25)

include(${CMAKE_CURRENT_LIST_DIR}/must_fail.cmake)

must_pass(model/a.c "#pragma omp simd")
must_pass(model/a.c "#pragma omp parallel for schedule(static)")
must_pass(model/a.h " * such as -ffast-math or a reduction")
must_pass(model/CMakeLists.txt "target_compile_options(a PRIVATE -ffp-contract=off)")
must_fail(model/kernel/a.c "#pragma omp simd reduction(+ : sum)")
must_fail(comm/a.c "#  pragma omp parallel for reduction(+ : sum)")
must_fail(trainer/a.c "#pragma STDC FP_CONTRACT ON")
must_fail(model/CMakeLists.txt "set_source_files_properties(a.c PROPERTIES COMPILE_OPTIONS -ffp-contract=fast)")
must_fail(proto/cmake/a.cmake "target_compile_options(a INTERFACE -ffast-math)")

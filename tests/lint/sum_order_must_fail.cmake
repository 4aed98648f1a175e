# The lint of sums passes a tree that keeps the rule and names each kind of breach.
# cmake -DLINT=sum_order.cmake -DWORK=<scratch folder> -P sum_order_must_fail.cmake
cmake_minimum_required(VERSION 3.25)

function(lint_one file line)
  file(REMOVE_RECURSE ${WORK})
  file(WRITE ${WORK}/${file} "${line}\n")
  execute_process(COMMAND ${CMAKE_COMMAND} -DROOT=${WORK} -P ${LINT}
                  RESULT_VARIABLE result OUTPUT_QUIET ERROR_VARIABLE text)
  set(result ${result} PARENT_SCOPE)
  set(text "${text}" PARENT_SCOPE)
endfunction()

function(must_pass file line)
  lint_one(${file} "${line}")
  if(NOT result EQUAL 0)
    message(SEND_ERROR "refused, but right: ${file}: ${line}\n${text}")
  endif()
endfunction()

function(must_fail file line)
  lint_one(${file} "${line}")
  string(FIND "${text}" "${file}" named)
  if(result EQUAL 0 OR named EQUAL -1)
    message(SEND_ERROR "passed or not named, but wrong: ${file}: ${line}\n${text}")
  endif()
endfunction()

must_pass(model/a.c "#pragma omp simd")
must_pass(model/a.c "#pragma omp parallel for schedule(static)")
must_pass(model/a.h " * such as -ffast-math or a reduction")
must_pass(model/CMakeLists.txt "target_compile_options(a PRIVATE -ffp-contract=off)")
must_fail(model/kernel/a.c "#pragma omp simd reduction(+ : sum)")
must_fail(comm/a.c "#  pragma omp parallel for reduction(+ : sum)")
must_fail(trainer/a.c "#pragma STDC FP_CONTRACT ON")
must_fail(model/CMakeLists.txt "set_source_files_properties(a.c PROPERTIES COMPILE_OPTIONS -ffp-contract=fast)")
must_fail(proto/cmake/a.cmake "target_compile_options(a INTERFACE -ffast-math)")

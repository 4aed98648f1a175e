# The lint of the documentation of comm/ passes a header that follows the rule and names each
# function that does not.
# cmake -DLINT=comm_docs.cmake -DWORK=<scratch folder> -P comm_docs_must_fail.cmake
cmake_minimum_required(VERSION 3.25)

function(lint_one text)
  file(REMOVE_RECURSE ${WORK})
  file(WRITE ${WORK}/comm/world/a.h "#ifndef A_H\n#define A_H\n\n${text}\n#endif\n")
  execute_process(COMMAND ${CMAKE_COMMAND} -DROOT=${WORK} -P ${LINT}
                  RESULT_VARIABLE result OUTPUT_QUIET ERROR_VARIABLE output)
  set(result ${result} PARENT_SCOPE)
  set(output "${output}" PARENT_SCOPE)
endfunction()

function(must_pass text)
  lint_one("${text}")
  if(NOT result EQUAL 0)
    message(SEND_ERROR "refused, but right:\n${text}\n${output}")
  endif()
endfunction()

function(must_fail text fault)
  lint_one("${text}")
  string(FIND "${output}" "${fault}" named)
  if(result EQUAL 0 OR named EQUAL -1)
    message(SEND_ERROR "passed, or not named \"${fault}\":\n${text}\n${output}")
  endif()
endfunction()

set(whole "/**\n * Does x for i in [0, n).\n *\n * Collective: over the world.\n * Errors: RN_ERR_MPI.\n */\n")
set(short "/** Does x. Not collective. Errors: none. */\n")
must_pass("${whole}rn_status rn_a(rn_err *err,\n               int n);\n")
must_pass("${short}int rn_a(void);\nconst char *rn_b(void);\n")
must_pass("${short}static inline int rn_a(void) {\n  return rn_c(1);\n}\n")
must_pass("/** A table. */\ntypedef struct rn_ops {\n  int (*rn_x)(void);\n} rn_ops;\n\n${short}int rn_a(void);\n")
must_fail("int rn_a(void);\n" "rn_a lacks Collective")
must_fail("int rn_a(void);\n" "rn_a lacks Errors")
must_fail("/** Does x. Errors: none. */\nint rn_a(void);\n" "rn_a lacks Collective")
must_fail("/** Does x. Not collective. */\nint rn_a(void);\n" "rn_a lacks Errors")
must_fail("${short}int rn_a(void);\n\nint rn_b(void);\n" "rn_b lacks Errors")
must_fail("${short}int rn_a(void);\n/** Does y. */\nvoid *rn_b(void);\n" "rn_b lacks Collective")
must_fail("/** Does x. */\nstatic inline int rn_a(void) {\n  return 1;\n}\n" "rn_a lacks Errors")
must_fail("/* Does x. Not collective. Errors: none. */\nint rn_a(void);\n" "rn_a lacks Errors")

# Tests comm_docs.cmake: it accepts a header that follows the rule and reports each function that does
# not.
# cmake -DLINT=comm_docs.cmake -DWORK=<scratch folder> -P comm_docs_must_fail.cmake
cmake_minimum_required(VERSION 3.25)

include(${CMAKE_CURRENT_LIST_DIR}/must_fail.cmake)
set(BEFORE "#ifndef A_H\n#define A_H\n\n")
set(AFTER "#endif\n")

set(whole "/**\n * Does x for i in [0, n).\n *\n * Collective: over the world.\n * Errors: RN_ERR_MPI.\n */\n")
set(short "/** Does x. Not collective. Errors: none. */\n")
must_pass(comm/world/a.h "${whole}rn_status rn_a(rn_err *err,\n               int n);\n")
must_pass(comm/world/a.h "${short}int rn_a(void);\nconst char *rn_b(void);\n")
must_pass(comm/world/a.h "${short}static inline int rn_a(void) {\n  return rn_c(1);\n}\n")
must_pass(comm/world/a.h "/** A table. */\ntypedef struct rn_ops {\n  int (*rn_x)(void);\n} rn_ops;\n\n${short}int rn_a(void);\n")
must_fail(comm/world/a.h "int rn_a(void);\n" "rn_a lacks Collective")
must_fail(comm/world/a.h "int rn_a(void);\n" "rn_a lacks Errors")
must_fail(comm/world/a.h "/** Does x. Errors: none. */\nint rn_a(void);\n" "rn_a lacks Collective")
must_fail(comm/world/a.h "/** Does x. Not collective. */\nint rn_a(void);\n" "rn_a lacks Errors")
must_fail(comm/world/a.h "${short}int rn_a(void);\n\nint rn_b(void);\n" "rn_b lacks Errors")
must_fail(comm/world/a.h "${short}int rn_a(void);\n/** Does y. */\nvoid *rn_b(void);\n" "rn_b lacks Collective")
must_fail(comm/world/a.h "/** Does x. */\nstatic inline int rn_a(void) {\n  return 1;\n}\n" "rn_a lacks Errors")
must_fail(comm/world/a.h "/* Does x. Not collective. Errors: none. */\nint rn_a(void);\n" "rn_a lacks Errors")

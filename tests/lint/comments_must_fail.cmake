# Tests comments.cmake: it accepts a header that follows the rule and reports each kind of violation.
# cmake -DLINT=comments.cmake -DWORK=<scratch folder> -P comments_must_fail.cmake
cmake_minimum_required(VERSION 3.25)

include(${CMAKE_CURRENT_LIST_DIR}/must_fail.cmake)
set(BEFORE "/** A room. */\n/** The first. */\nint rn_first(const int *x)@SEP@\n")
string(REPLACE "@SEP@" "\;" BEFORE "${BEFORE}")
set(AFTER "int rn_last(void)\;\n")

must_pass(model/ops/a.h "/** The second. */\nint rn_second(void)\;")
must_pass(model/ops/a.h "int rn_of_the_same_group(int count, const float *x /* [count] */)\;")
must_pass(model/ops/a.h "\n/**\n * One of two.\n */\nstatic inline float *rn_one(void) {\n  return 0\;\n}\n\n/** A type. */\ntypedef int rn_call(int x)\;\n\n/** Next. */")
set(AFTER "")
must_fail(model/ops/a.h "\nint rn_second(void)\;")
must_fail(comm/world/a.h "\nstatic inline const char *rn_name(void) {\n  return 0\;\n}")
must_fail(trainer/run/a.h "/** A type. */\ntypedef struct rn_type {\n  int x\; /* one */\n} rn_type\;\nvoid rn_destroy(rn_type *x)\;")
must_fail(data/file/a.h "enum { A }\; /* a comment of something else */\n\nvoid rn_destroy(int a[3])\;")

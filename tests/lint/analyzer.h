/* Included before each file that jobs/analyze.sh --tidy checks. The analyzer sees one file at a
 * time; this tells it what two functions of other files return. Otherwise it follows paths on which
 * a failure is RN_OK. In status.c, their names are in parentheses, which keeps these macros away.
 */
#ifndef RN_TESTS_LINT_ANALYZER_H
#define RN_TESTS_LINT_ANALYZER_H

#include "proto/base/status.h"

#define rn_fail(err, status, ...) ((void)(rn_fail)((err), (status), __VA_ARGS__), (status))
#define rn_trace(err, status, file, line) \
  ((void)(rn_trace)((err), (status), (file), (line)), (status))

#endif

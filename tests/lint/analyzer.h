/* Included before each file that jobs/analyze.sh --tidy checks. The analyzer sees one file at a
 * time and does not know that rn_fail and rn_trace return `status`; without these macros, it
 * follows paths on which a failure returns RN_OK. In status.c, the names of these functions are in
 * parentheses, so that the macros are not expanded there.
 */
#ifndef RN_TESTS_LINT_ANALYZER_H
#define RN_TESTS_LINT_ANALYZER_H

#include "proto/base/status.h"

#define rn_fail(err, status, ...) ((void)(rn_fail)((err), (status), __VA_ARGS__), (status))
#define rn_trace(err, status, file, line) \
  ((void)(rn_trace)((err), (status), (file), (line)), (status))

#endif

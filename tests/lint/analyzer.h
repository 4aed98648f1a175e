/* Included before each file that jobs/analyze.sh --tidy checks. The analyzer sees one file at a
 * time and does not know what these functions return. Without these macros, it follows paths on
 * which a failure becomes RN_OK:
 *   rn_fail, rn_trace  return `status`
 *   rn_agree           does not return RN_OK if `status` of this rank is an error
 * Where these functions are defined, their names are in parentheses, so that the macros are not
 * expanded there. Files that do not use MPI are compiled without the path of <mpi.h>.
 */
#ifndef RN_TESTS_LINT_ANALYZER_H
#define RN_TESTS_LINT_ANALYZER_H

#include "proto/base/status.h"

#define rn_fail(err, status, ...) ((void)(rn_fail)((err), (status), __VA_ARGS__), (status))
#define rn_trace(err, status, file, line) \
  ((void)(rn_trace)((err), (status), (file), (line)), (status))

#if __has_include(<mpi.h>)
#include "comm/world/world.h"

static inline rn_status rn_analyzer_agree(rn_err *err, const rn_world *world, rn_status status) {
  const rn_status agreed = (rn_agree)(err, world, status);
  return status == RN_OK ? agreed : status;
}
#define rn_agree(err, world, status) rn_analyzer_agree((err), (world), (status))
#endif

#endif

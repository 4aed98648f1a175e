/** Ends a test that runs on several ranks. */
#ifndef RN_TESTS_SUPPORT_WORLD_H
#define RN_TESTS_SUPPORT_WORLD_H

#include "comm/world/world.h"
#include "tests/support/check.h"

/**
 * Finalizes MPI and returns the exit code: an error if a check failed on any rank. Collective: over
 * the world.
 */
static inline int test_finish_world(rn_err *err, rn_world **world) {
  int64_t failed = check_failures();
  CHECK_OK(err, rn_world_max(err, *world, &failed, 1));
  const int result = check_result();
  return rn_world_finish(world, RN_OK, err) + (failed > 0 ? 1 : result);
}

#endif

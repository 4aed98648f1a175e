/** Lets a test simulate file systems that lack a call or lose a reply. A test that uses it is
 * linked with --wrap for the functions in failing_calls.c. */
#ifndef RN_TESTS_SUPPORT_FAILING_CALLS_H
#define RN_TESTS_SUPPORT_FAILING_CALLS_H

#include <stdbool.h>

/**
 * From now on, calls of `function` fail with the errno value `error`. If `only` is not NULL, only
 * calls whose path contains this text fail. If `acts` is set, the calls act before they fail, as if
 * their reply was lost. `function` NULL: all calls work again.
 */
void failing_calls_set(const char *function, int error, const char *only, bool acts);

/** Returns how many calls have failed since failing_calls_set. */
int failing_calls_count(void);

#endif

/** Runs a function in a child process, for tests of code that ends the process. */
#ifndef RN_TESTS_SUPPORT_CHILD_H
#define RN_TESTS_SUPPORT_CHILD_H

#include <stddef.h>

/**
 * Calls run(argument) in a child process and returns its exit status, or -1 if a signal ended it.
 * If `run` returns, the status is 1 if a check failed in it, else 0.
 *
 * Copies to `text` what the child printed on stderr in its first write, but at most `bytes` - 1
 * characters.
 */
int test_child_status(void (*run)(int), int argument, char *text, size_t bytes);

#endif

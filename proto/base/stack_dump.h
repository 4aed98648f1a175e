/** Prints the stack of the main thread, for a process that hangs and is about to end. */
#ifndef RN_PROTO_BASE_STACK_DUMP_H
#define RN_PROTO_BASE_STACK_DUMP_H

#include <stdbool.h>

/**
 * Prepares the calling thread, which must be the main thread: allocates a separate stack for its
 * signal handlers, and loads the library that backtrace() needs, so that printing allocates no
 * memory. Calling it again has no further effect.
 */
void rn_stack_dump_prepare(void);

/**
 * Interrupts the main thread, which prints its stack to stderr, innermost call first, and then
 * waits forever: it must not continue, because the signal handler may have overwritten matrix
 * elements (see trainer/launch/stop_request.h). Call it from another thread, which then ends the
 * process.
 *
 * Returns false if nothing was printed after `timeout_ms`: rn_stack_dump_prepare was not called, or
 * the main thread is in a system call that a signal does not interrupt.
 */
bool rn_stack_dump_print(int timeout_ms);

/** Returns the state of the main thread as in /proc/PID/stat: 'R' runs, 'S' sleeps, 'D' waits for
 * the kernel, usually for a file system; '?' if unknown. */
char rn_stack_dump_state(void);

#endif

/**
 * What a program tells its user: lines for people, from one rank only.
 *
 * Lines go to stdout, and to stderr in a program whose stdout is one JSON object. Libraries do not
 * use this: they return an rn_err, and main prints it.
 */
#ifndef RN_PROTO_BASE_LOG_H
#define RN_PROTO_BASE_LOG_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

#include "proto/base/status.h"

/** Set once by main: `quiet` on all ranks but the first, `json` when stdout is kept for JSON. */
void rn_log_setup(bool quiet, bool json);

/** One line; the newline is added. */
void rn_log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** One line "warning: ..." on stderr. */
void rn_log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * A line that the next one replaces, such as a progress bar; nothing when no terminal watches.
 * An empty text takes it away.
 */
void rn_log_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * Signals that the callers hold back are let in while a line is written: a handler that calls
 * rn_log_do_not_wait() ends the wait for a reader who is gone.
 */
void rn_log_let_in(const sigset_t *signals);

/**
 * From now on lines that nobody takes are dropped, under a launcher: an mpirun that is told to end
 * stops reading what its ranks say, and a rank that waits for it would save nothing. May be called
 * from a signal handler.
 */
void rn_log_do_not_wait(void);

/** Whether lines may have been dropped on purpose, after rn_log_do_not_wait(). */
bool rn_log_may_drop(void);

/** "program: what went wrong" on stderr, quiet or not: main calls it on the rank that speaks. */
void rn_log_error(const char *program, const rn_err *err);

#endif

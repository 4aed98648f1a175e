/**
 * The lines that a program prints for its user, from one rank only.
 *
 * Lines go to stdout, or to stderr in a program whose stdout is one JSON object. Libraries do not
 * log: they return an rn_err, and main prints it.
 */
#ifndef RN_PROTO_BASE_LOG_H
#define RN_PROTO_BASE_LOG_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

#include "proto/base/status.h"

/** Called once by main: `quiet` on all ranks but the first, `json` if stdout is only for JSON. */
void rn_log_setup(bool quiet, bool json);

/** Prints one line; adds the newline. */
void rn_log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** One line "warning: ..." on stderr. */
void rn_log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

enum { RN_LOG_PROGRESS_BYTES = 512 };

/** Width of the terminal that shows progress lines; 0 if they are not shown. */
int rn_log_progress_columns(void);

/**
 * Prints a line that the next one replaces, such as a progress bar, cut to the width of the
 * terminal (one column per byte). Prints nothing if the output is not on a terminal. An empty text
 * erases the line.
 */
void rn_log_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * Sets signals to unblock while a line is written, even if callers have blocked them: a handler
 * that calls rn_log_do_not_wait() can then end a write that blocks because nobody reads.
 */
void rn_log_let_in(const sigset_t *signals);

/**
 * Under a launcher, makes later output drop lines that nobody reads, instead of blocking: once
 * mpirun is asked to stop, it no longer reads the output of its ranks, and a blocked rank could not
 * save a checkpoint. Async-signal-safe.
 */
void rn_log_do_not_wait(void);

/** True after rn_log_do_not_wait() under a launcher: lines may have been dropped on purpose. */
bool rn_log_may_drop(void);

/** Prints "program: cause" on stderr even if quiet; main calls it on the reporting rank. */
void rn_log_error(const char *program, const rn_err *err);

#endif

/**
 * Prints lines for the user, from one rank only.
 *
 * Lines go to stdout, or to stderr in a program whose stdout is one JSON object. Libraries do not
 * log: they return an rn_err, and main prints it. Not thread-safe: a thread other than the main
 * thread prints only while the main thread waits for it.
 */
#ifndef RN_PROTO_BASE_LOG_H
#define RN_PROTO_BASE_LOG_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

#include "proto/base/status.h"

/** Called once by main. `quiet` is true on all ranks except the first; `json` is true if stdout is
 * only for JSON. */
void rn_log_setup(bool quiet, bool json);

/** Prints one line; adds the newline. */
void rn_log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Prints one line "warning: ..." on stderr. */
void rn_log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

enum { RN_LOG_PROGRESS_BYTES = 512 };

/** Returns the width of the terminal that shows progress lines; 0 if they are not shown. */
int rn_log_progress_columns(void);

/**
 * Prints a line that the next progress line replaces, such as a progress bar, cut to the width of
 * the terminal (one column per byte). Prints nothing if the output is not on a terminal. An empty
 * text erases the line.
 */
void rn_log_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * Sets the signals that are unblocked while a line is written, even if the caller has blocked them.
 * If the write blocks because nobody reads the output, a signal handler can then end it by calling
 * rn_log_do_not_wait().
 */
void rn_log_let_in(const sigset_t *signals);

/**
 * Under a launcher, makes later writes drop lines that nobody reads instead of blocking. After
 * mpirun has been asked to stop, it does not read the output of ranks any more, and a rank that is
 * blocked in a write could not save a checkpoint. Async-signal-safe.
 */
void rn_log_do_not_wait(void);

/**
 * Sends a signal to the thread that is writing a line, unless this is the calling thread or that
 * thread has already called rn_log_do_not_wait() for this line. A write that is already blocked
 * notices rn_log_do_not_wait() only when a signal interrupts it. Must be called from the main
 * thread, so that the main thread cannot join the other thread meanwhile. Async-signal-safe.
 */
void rn_log_wake_writer(int signal);

/** True if rn_log_do_not_wait() has been called under a launcher, so that lines may have been
 * dropped intentionally. */
bool rn_log_may_drop(void);

/** Prints "program: cause" on stderr even if quiet; main calls it on the reporting rank. */
void rn_log_error(const char *program, const rn_err *err);

#endif

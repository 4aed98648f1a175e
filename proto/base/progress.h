/**
 * Records what this process is doing, for a watchdog: the current operation, and a count of
 * finished units of work.
 *
 * The main thread sets the name of the operation that it begins. Any thread counts a unit (a layer
 * of a micro-batch, a batch of an evaluation, a chunk of a file, a bucket of gradients) when it has
 * finished the unit. Each of these calls makes a mark in the progress record of the process, which
 * takes a few stores and one reading of the clock (< 0.1 us).
 */
#ifndef RN_PROTO_BASE_PROGRESS_H
#define RN_PROTO_BASE_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RN_PROGRESS_NAME_WORDS = 6, RN_PROGRESS_NAME_BYTES = RN_PROGRESS_NAME_WORDS * 8 };

/** The progress record of one process, possibly in memory that other processes read.
 * Zero-initialize it. */
typedef struct rn_progress {
  _Atomic int64_t units;     /* units finished plus operations begun; never decreases */
  _Atomic int64_t step;      /* step of the current operation */
  _Atomic int64_t last_ns;   /* time of the last mark, by CLOCK_MONOTONIC */
  _Atomic int64_t polled_ns; /* time of the last rn_progress_poll */
  _Atomic int waits;         /* nonzero while the main thread is in a call that needs other ranks */
  _Atomic uint64_t name[RN_PROGRESS_NAME_WORDS];
} rn_progress;

/** Makes *marks the progress record of this process; if NULL, a record in its private memory. */
void rn_progress_use(rn_progress *marks);

/** Records that the main thread begins `operation` (truncated to 47 bytes) of `step`. */
void rn_progress_begin(const char *operation, int64_t step);

/** Records that the main thread begins another operation of the same step. */
void rn_progress_phase(const char *operation);

/** Counts one finished unit of work. Thread-safe. */
void rn_progress_unit(void);

/** Returns the number of units counted so far. */
int64_t rn_progress_units(void);

/** Records that the main thread enters (true) or leaves (false) a call that may have to wait for
 * other ranks. */
void rn_progress_wait(bool waits);

/** Records that the main thread polls for a message. The thread is considered to be waiting as long
 * as it repeats this call. */
void rn_progress_poll(void);

/** Copies the name of the current operation from the record *marks to `name`. */
void rn_progress_name(rn_progress *marks, char name[RN_PROGRESS_NAME_BYTES]);

/** True if the process with the record *marks is waiting for other ranks. */
bool rn_progress_is_waiting(rn_progress *marks);

/** Returns CLOCK_MONOTONIC in nanoseconds; all processes of a host read the same clock. */
int64_t rn_progress_now_ns(void);

#endif

/**
 * What this process is doing, for a watchdog: the operation at hand and a count of finished units.
 *
 * The main thread names the operation that it begins; any thread counts a unit (a layer of a
 * micro-batch, a batch of an evaluation, a chunk of a file, a bucket of gradients) when it is done.
 * A mark costs a few stores and a look at the clock (< 0.1 us).
 */
#ifndef RN_PROTO_BASE_PROGRESS_H
#define RN_PROTO_BASE_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RN_PROGRESS_NAME_WORDS = 6, RN_PROGRESS_NAME_BYTES = RN_PROGRESS_NAME_WORDS * 8 };

/** The marks of one process; may lie in memory that other processes read. Zero-initialise it. */
typedef struct rn_progress {
  _Atomic int64_t units;   /* finished, and operations begun: only grows */
  _Atomic int64_t step;    /* of the operation at hand, */
  _Atomic int64_t last_ns; /* when the last mark was made, by CLOCK_MONOTONIC */
  _Atomic int64_t polled_ns;
  _Atomic int waits; /* the main thread is inside a message that needs other ranks */
  _Atomic uint64_t name[RN_PROGRESS_NAME_WORDS];
} rn_progress;

/** Marks are kept there from now on; NULL: in this process's own memory. */
void rn_progress_use(rn_progress *marks);

/** The main thread begins `operation` (its first 47 bytes count) of `step`. */
void rn_progress_begin(const char *operation, int64_t step);

/** The main thread begins another operation of the same step. */
void rn_progress_phase(const char *operation);

/** One unit of work is done. Any thread. */
void rn_progress_unit(void);

/** Units counted so far: only grows. */
int64_t rn_progress_units(void);

/** The main thread enters, or leaves, a call that returns when other ranks have come to it. */
void rn_progress_wait(bool waits);

/** The main thread polls for a message: it waits as long as this is repeated. */
void rn_progress_poll(void);

/** The name of the operation at hand, as text. */
void rn_progress_name(rn_progress *marks, char name[RN_PROGRESS_NAME_BYTES]);

/** Whether that process waits for others, by what it said last. */
bool rn_progress_is_waiting(rn_progress *marks);

/** CLOCK_MONOTONIC, the same for all processes of a host. */
int64_t rn_progress_now_ns(void);

#endif

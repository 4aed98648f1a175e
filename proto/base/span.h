/**
 * Profiles the main thread by recording nested, named spans of time.
 *
 * A span lasts from rn_span_begin to rn_span_end. A phase is a span that lasts from rn_span_phase
 * to the next rn_span_phase or to the end of the enclosing span, so that a function with
 * consecutive phases needs only one call per phase. Sums are recorded for each path ("step /
 * forward / k, v projection"), and single events up to a maximum number. While nothing is recorded,
 * a call costs one test of a flag. Only the main thread may begin and end spans, outside parallel
 * regions.
 *
 * Tasks are the pieces of a parallel loop. Any thread may record them; they belong to the span that
 * is open while the loop runs. They show whether a phase has enough pieces for all threads: the
 * idle time of the threads is (time of the phase) x (threads) - (time of its tasks).
 */
#ifndef RN_PROTO_BASE_SPAN_H
#define RN_PROTO_BASE_SPAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "proto/base/clock.h"
#include "proto/base/status.h"

enum { RN_SPAN_PATHS = 256, RN_SPAN_DEPTH = 16 };

/** The tasks of all spans with one path. */
typedef struct rn_span_tasks {
  atomic_llong count, total_ns, longest_ns;
} rn_span_tasks;

/** All spans with one name and the same enclosing path. */
typedef struct rn_span_path {
  const char *name;
  int parent; /* index of the enclosing path; -1: none */
  int64_t count;
  double total_s, inner_s; /* inner_s: part of total_s spent in nested spans */
  rn_span_tasks tasks;     /* tasks of these spans, without tasks of nested spans */
} rn_span_path;

/** A single span; microbatch and segment are -1 if the span is not a unit of pipeline work. */
typedef struct rn_span_event {
  int path, microbatch, segment;
  double begin_s, end_s; /* times of rn_clock_s */
} rn_span_event;

/** Everything recorded since rn_spans_start. */
typedef struct rn_spans {
  rn_span_path path[RN_SPAN_PATHS];
  int paths;
  rn_span_event *event; /* [events] */
  int64_t events, capacity;
  bool keep_events; /* true: record single events, not only sums; may be changed between spans */
} rn_spans;

extern bool rn_spans_are_on;

/** Starts recording, with at most `max_events` single events. Errors: RN_ERR_MEMORY. */
rn_status rn_spans_start(rn_err *err, int64_t max_events);
/** Stops recording and frees the record. */
void rn_spans_stop(void);
/** Returns the current record; valid between start and stop. */
rn_spans *rn_spans_get(void);

/** Returns the total time in seconds of all spans with this name, on all paths. */
double rn_spans_total_s(const char *name);

/** These functions implement the inline functions below. They are called only while recording. */
void rn_span_do_begin(const char *name, int microbatch, int segment);
void rn_span_do_end(void);
void rn_span_do_phase(const char *name);
void rn_span_do_task(double begin_s);

/** Begins a span. `name` must be a string literal, because only the pointer is stored. */
static inline void rn_span_begin(const char *name) {
  if (rn_spans_are_on) rn_span_do_begin(name, -1, -1);
}

/** Begins a span of a unit of pipeline work. */
static inline void rn_span_begin_unit(const char *name, int microbatch, int segment) {
  if (rn_spans_are_on) rn_span_do_begin(name, microbatch, segment);
}

/** Ends the innermost span, and its current phase if it has one. */
static inline void rn_span_end(void) {
  if (rn_spans_are_on) rn_span_do_end();
}

/** Begins a phase of the innermost span, and ends the previous phase. */
static inline void rn_span_phase(const char *name) {
  if (rn_spans_are_on) rn_span_do_phase(name);
}

/** Begins a task on the calling thread; the result must be passed to rn_span_task_end on the same
 * thread. Tasks should take 10 us or more; recording one costs about 0.1 us. */
static inline double rn_span_task_begin(void) {
  return rn_spans_are_on ? rn_clock_s() : 0;
}

/** Ends a task. */
static inline void rn_span_task_end(double begin_s) {
  if (rn_spans_are_on) rn_span_do_task(begin_s);
}

#endif

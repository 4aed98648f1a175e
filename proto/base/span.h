/**
 * Where the time goes: spans of the main thread, one inside the other, named where they happen.
 *
 * Code marks what it is about to do. A span is what lies between begin and end; a phase is a part
 * of the span at hand, up to the next phase or the span's end, so that a function that does one
 * thing after the other marks each by one line. Sums are kept by path ("step / forward / k, v
 * projection"), single events as long as there is room. While nobody asks, a mark costs the look at
 * one flag. Marks belong to the main thread, outside of parallel regions.
 */
#ifndef RN_PROTO_BASE_SPAN_H
#define RN_PROTO_BASE_SPAN_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/status.h"

enum { RN_SPAN_PATHS = 256, RN_SPAN_DEPTH = 16 };

/** All spans of one name inside the same one. */
typedef struct rn_span_path {
  const char *name;
  int parent; /* index of the path around it; -1: none */
  int64_t count;
  double total_s, inner_s; /* all of it; what lay in spans inside */
} rn_span_path;

/** One span; microbatch and segment -1 where it is no unit's. */
typedef struct rn_span_event {
  int path, microbatch, segment;
  double begin_s, end_s; /* by rn_clock_s */
} rn_span_event;

/** What was recorded since start. */
typedef struct rn_spans {
  rn_span_path path[RN_SPAN_PATHS];
  int paths;
  rn_span_event *event; /* [events] */
  int64_t events, room;
  bool keep_events; /* may be changed between spans; sums go on */
} rn_spans;

extern bool rn_spans_are_on;

/** Records from now on, at most `most_events` single events. Errors: RN_ERR_MEMORY. */
rn_status rn_spans_start(rn_err *err, int64_t most_events);
/** Forgets everything. */
void rn_spans_stop(void);
/** The record at hand; between start and stop. */
rn_spans *rn_spans_get(void);

/** Sum of all spans of one name, wherever they lay. */
double rn_spans_total_s(const char *name);

void rn_span_do_begin(const char *name, int microbatch, int segment);
void rn_span_do_end(void);
void rn_span_do_phase(const char *name);

/** Names are string literals: they live as long as the program. */
static inline void rn_span_begin(const char *name) {
  if (rn_spans_are_on) rn_span_do_begin(name, -1, -1);
}

/** Begins a span of a unit of pipeline work. */
static inline void rn_span_begin_unit(const char *name, int microbatch, int segment) {
  if (rn_spans_are_on) rn_span_do_begin(name, microbatch, segment);
}

static inline void rn_span_end(void) {
  if (rn_spans_are_on) rn_span_do_end();
}

static inline void rn_span_phase(const char *name) {
  if (rn_spans_are_on) rn_span_do_phase(name);
}

#endif

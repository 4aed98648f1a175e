/** Computes the time of training steps by phase from the spans of this rank (proto/base/span.h). */
#ifndef RN_TRAINER_BENCH_BENCH_PHASES_H
#define RN_TRAINER_BENCH_BENCH_PHASES_H

#include "proto/base/span.h"

/**
 * Phases of a step. Every moment of a step belongs to exactly one phase, so the times of the phases
 * add up to the time of the spans "step". WEIGHT is the weight-gradient phase of backward. BACKWARD
 * is the rest of backward, including recomputation. OPTIMIZER comprises zeroing and summation of
 * gradients, the gradient norm, and update, all-gather and casts of weights. WAIT is all time spent
 * waiting for other ranks. OTHER is the rest.
 */
typedef enum {
  RN_PHASE_FORWARD,
  RN_PHASE_BACKWARD,
  RN_PHASE_WEIGHT,
  RN_PHASE_OPTIMIZER,
  RN_PHASE_WAIT,
  RN_PHASE_OTHER,
  RN_PHASES
} rn_phase;

typedef struct rn_phase_times {
  double s[RN_PHASES];
} rn_phase_times;

/** The spans with one name in one phase, for example "q, g projections" in FORWARD. */
typedef struct rn_subphase {
  rn_phase phase;
  const char *name;
  double s;              /* total time, excluding nested spans */
  double count;          /* number of spans */
  double tasks, tasks_s; /* number and total time of the tasks of the spans' parallel loops */
  double longest_task_s;
} rn_subphase;

enum { RN_SUBPHASES = 64 };

/** The subphases of steps, in the order in which they first ran. */
typedef struct rn_subphases {
  rn_subphase subphase[RN_SUBPHASES];
  int count;
} rn_subphases;

/** Adds all spans that are nested in a span "step" to the subphases. */
void rn_subphases_add(const rn_spans *spans, rn_subphases *subphases);

/** Returns the total time of the tasks of a subphase, divided by the time of the subphase times the
 * number of threads: 1 if no thread was ever idle, 0 if the subphase has no tasks. */
double rn_subphase_busy(const rn_subphase *subphase, int threads);

/** Returns the time of the longest task divided by the mean time of a span, or 0 if the subphase
 * has no tasks. A span cannot be shorter than its longest task. */
double rn_subphase_longest(const rn_subphase *subphase);

/** Returns, for each phase, the total time of the spans that are nested in a span "step". */
rn_phase_times rn_phase_times_of(const rn_spans *spans);

/** Returns "forward", "backward_input", "weight", "optimizer", "wait" or "other". */
const char *rn_phase_name(rn_phase phase);

#endif

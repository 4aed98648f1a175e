/** The time of training steps by phase, from the spans of this rank (proto/base/span.h). */
#ifndef RN_TRAINER_BENCH_BENCH_PHASES_H
#define RN_TRAINER_BENCH_BENCH_PHASES_H

#include "proto/base/span.h"

/**
 * Phases of a step. Every moment of a step belongs to exactly one phase, so the times of the phases
 * add up to the time of the spans "step". WEIGHT is the weight-gradient phase of backward. BACKWARD
 * is the rest of backward, including recomputation. OPTIMIZER zeroes and sums gradients, computes
 * their norm, and updates, all-gathers and casts weights. WAIT is all time spent waiting for other
 * ranks. OTHER is the rest.
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

/** Sums the spans inside of "step" spans by phase. */
rn_phase_times rn_phase_times_of(const rn_spans *spans);

/** "forward", "backward_input", "weight", "optimizer", "wait" or "other". */
const char *rn_phase_name(rn_phase phase);

#endif

/**
 * Counters of a run's progress, which change once per step. A checkpoint stores them with the
 * weights and moments.
 */
#ifndef RN_TRAINER_RUN_STEP_COUNTERS_H
#define RN_TRAINER_RUN_STEP_COUNTERS_H

#include <stdint.h>

typedef struct rn_step_counters {
  int64_t step;          /* number of steps done, including skipped ones */
  int64_t tokens;        /* number of target tokens of these steps */
  int64_t next_sequence; /* global index of the first sequence of the next step */
  int64_t updates;       /* number of steps that changed the weights */
  int bad_steps;         /* number of consecutive skipped steps up to now */
  int bad_spikes;        /* number of these that were loss spikes; the others were not finite */
} rn_step_counters;

/** Returns why the consecutive steps up to now were skipped, as the predicate of a sentence about
 * the loss or gradient norm: "was not finite". */
static inline const char *rn_step_counters_reason(const rn_step_counters *c) {
  if (c->bad_spikes == 0) return "was not finite";
  return c->bad_spikes == c->bad_steps ? "was a spike" : "was not finite or was a spike";
}

#endif

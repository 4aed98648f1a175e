/**
 * The counters of a run, which change once per step: how far it has come. A checkpoint stores them
 * beside the weights and moments.
 */
#ifndef RN_TRAINER_RUN_STEP_COUNTERS_H
#define RN_TRAINER_RUN_STEP_COUNTERS_H

#include <stdint.h>

typedef struct rn_step_counters {
  int64_t step;          /* steps that are done, including skipped ones */
  int64_t tokens;        /* target tokens of these steps */
  int64_t next_sequence; /* global index of the first sequence of the next step */
  int64_t updates;       /* steps that changed the weights */
  int bad_steps;         /* consecutive steps, up to now, that were skipped */
} rn_step_counters;

#endif

/**
 * Measures the cost of a plan's work on this machine: times the steps of small runs, for about two
 * seconds and in a few hundred MiB, and scales them to the sizes of the plan.
 *
 * A model that is small enough is measured at its own widths. Otherwise widths, vocabulary and rows
 * are halved until the steps fit; the time of matrix products is then scaled by FLOP, the rest by
 * width.
 */
#ifndef RN_TRAINER_ESTIMATE_PLAN_SAMPLE_H
#define RN_TRAINER_ESTIMATE_PLAN_SAMPLE_H

#include "trainer/plan/plan.h"
#include "trainer/schedule/schedule_simulate.h"

enum { RN_PLAN_SAMPLE_TEXT_BYTES = 320 };

typedef struct rn_plan_sample {
  rn_task_times layer, embed_head; /* of `rows` rows: one layer; embedding and head */
  double rows;
  double zero_s, update_s;              /* per weight: zeroing the gradient; norm and update */
  char text[RN_PLAN_SAMPLE_TEXT_BYTES]; /* describes what was measured and how it was scaled */
} rn_plan_sample;

/** Sizes of a measured step: the model (its number of layers is set later) and its rows. */
typedef struct rn_plan_sizes {
  rn_spec spec;
  int tokens, sequences;
} rn_plan_sizes;

/**
 * The largest sizes, up to the plan's own, for which all steps of one and of three layers together
 * need at most `flops` floating-point operations and `bytes` bytes of memory (`exact`: with the
 * exact sums of reproducible mode). If even the smallest sizes exceed a bound, returns these. Pure.
 */
rn_plan_sizes rn_plan_sizes_within(const rn_spec *spec, int tokens, int sequences, bool exact,
                                   double flops, double bytes);

/**
 * Measures on all ranks at the same time, as in training, and takes the time of the slowest rank.
 *
 * Collective: over the world. Errors: those of rn_run_create and rn_step, agreed.
 */
rn_status rn_plan_sample_take(rn_err *err, const Retnet__Config *config, rn_world *world,
                              const rn_plan *plan, const rn_spec *spec, rn_plan_sample *out);

#endif

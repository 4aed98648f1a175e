/**
 * What a plan's work costs on this machine: steps of small runs, measured for about two seconds in
 * at most some hundred MiB, and scaled to the sizes of the plan.
 *
 * A model that is small enough is measured at its own widths. Else widths, vocabulary and rows are
 * halved until the steps fit; the time of products is scaled by their FLOP, the rest by width.
 */
#ifndef RN_TRAINER_ESTIMATE_PLAN_SAMPLE_H
#define RN_TRAINER_ESTIMATE_PLAN_SAMPLE_H

#include "trainer/parallel/schedule_simulate.h"
#include "trainer/plan/plan.h"

enum { RN_PLAN_SAMPLE_TEXT_BYTES = 320 };

typedef struct rn_plan_sample {
  rn_task_times layer, ends; /* of `rows` rows: one layer; embedding and head */
  double rows;
  double zero_s, update_s;              /* of one weight: gradient zeroed; norm and update */
  char text[RN_PLAN_SAMPLE_TEXT_BYTES]; /* what was measured, and how it was scaled */
} rn_plan_sample;

/** Sizes of a step that is measured: a model of one layer, and the rows that it works on. */
typedef struct rn_plan_sizes {
  rn_spec spec;
  int tokens, sequences;
} rn_plan_sizes;

/**
 * The largest sizes, the plan's own at most, whose steps of one and of three layers need no more
 * than `flops` floating-point operations in all and `bytes` of memory (`exact`: with the sums of
 * reproducible mode), or the least there are. Pure.
 */
rn_plan_sizes rn_plan_sizes_within(const rn_spec *spec, int tokens, int sequences, bool exact,
                                   double flops, double bytes);

/**
 * Ranks of the world measure at once, as they will train; the slowest one's time counts.
 *
 * Collective: over the world. Errors: those of making a run of one layer, agreed.
 */
rn_status rn_plan_sample_take(rn_err *err, const Retnet__Config *config, rn_world *world,
                              const rn_plan *plan, const rn_spec *spec, rn_plan_sample *out);

#endif

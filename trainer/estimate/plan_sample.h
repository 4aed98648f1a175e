/**
 * Measures the cost of a plan's work on this machine: times the steps of small runs and scales the
 * times to the sizes of the plan. This takes about two seconds and a few hundred MiB.
 *
 * A model that is small enough is measured with its actual widths. Otherwise widths, vocabulary and
 * rows are halved until the steps are small enough; the time of matrix products is then scaled by
 * FLOP, and the rest by width. Small steps have fewer tasks than large ones, so their threads are
 * idle for a larger fraction of the time. The times are corrected by the efficiencies that
 * trainer/cost computes for the measured steps and for those of the plan.
 *
 * The work of an attention layer grows with the length of the sequence. Its time is the measured
 * time of a layer (in a hybrid, of a retention layer), multiplied by the ratio of the times that
 * trainer/cost computes for the attention layer and for the measured layer.
 */
#ifndef RN_TRAINER_ESTIMATE_PLAN_SAMPLE_H
#define RN_TRAINER_ESTIMATE_PLAN_SAMPLE_H

#include "trainer/cost/step_cost.h"
#include "trainer/plan/plan.h"
#include "trainer/schedule/schedule_simulate.h"

enum { RN_PLAN_SAMPLE_TEXT_BYTES = 320 };

typedef struct rn_plan_sample {
  rn_spec spec;        /* model spec of the plan */
  rn_task_times layer; /* one layer, or one retention layer of a hybrid, for `rows` rows */
  rn_task_times attention_layer; /* one attention layer of a hybrid */
  rn_task_times embed_head;      /* embedding and head */
  double rows;
  double zero_s, update_s; /* per weight: zeroing the gradient; gradient norm and update */
  rn_step_cost cost;       /* modelled cost of the plan's step, from the tasks of its loops */
  char text[RN_PLAN_SAMPLE_TEXT_BYTES]; /* describes the measurement and the scaling */
} rn_plan_sample;

/**
 * Sizes of a measured step: the model (without its number of layers, which is set later) and the
 * rows.
 */
typedef struct rn_plan_sizes {
  rn_spec spec;
  int tokens, sequences;
} rn_plan_sizes;

/**
 * Returns the largest sizes, at most those of the plan, for which the measurement needs at most
 * `flops` floating-point operations and `bytes` bytes of memory. The measurement consists of all
 * steps of the models with one and with three layers. If `exact`, the memory includes the exact
 * sums of reproducible mode. If even the smallest sizes exceed a bound, returns the smallest sizes.
 * Pure function.
 */
rn_plan_sizes rn_plan_sizes_within(const rn_spec *spec, int tokens, int sequences, bool exact,
                                   double flops, double bytes);

/**
 * Measures the plan's steps. All ranks run at the same time, as in training, and the time of the
 * slowest rank counts.
 *
 * Collective: over the world. Errors: those of rn_run_create and rn_step, agreed.
 */
rn_status rn_plan_sample_take(rn_err *err, const Retnet__Config *config, rn_world *world,
                              const rn_plan *plan, const rn_spec *spec, rn_plan_sample *out);

#endif

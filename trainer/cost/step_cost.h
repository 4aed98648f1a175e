/**
 * Models the time of a training step on a number of threads, from the tasks into which its loops
 * are cut.
 *
 * Every phase of a step is a sequence of loops. The tasks of a loop come from the tiling that the
 * loop itself uses (model/ops, model/retention), the time of a task from a few rates, and the time
 * of a loop from a simulation of its threads (loop_time.h). The model thus shows which phases have
 * too few or too long tasks for a given number of threads, even if this machine has fewer threads.
 *
 * The model does not include other ranks, or threads that slow each other down (memory, clock
 * frequency).
 */
#ifndef RN_TRAINER_COST_STEP_COST_H
#define RN_TRAINER_COST_STEP_COST_H

#include <stdbool.h>
#include <stdint.h>

#include "model/spec/spec.h"
#include "proto/base/range.h"

/** Times that one thread needs, in seconds. */
typedef struct rn_cost_rates {
  double flop_s;    /* per FLOP of a large matrix product */
  double element_s; /* per element of the operands and the result of a product (packing, storing) */
  double byte_s;    /* per byte that work outside of products reads or writes */
  double loop_s;    /* start and end of a parallel loop, per doubling of the number of threads */
} rn_cost_rates;

/** Returns rates measured on one core of a CPU with AVX-512, without other load. The ratios of the
 * rates are similar on other CPUs, and efficiencies depend only on ratios. */
rn_cost_rates rn_cost_rates_typical(bool bf16);

/** The model, and the rows that one unit (a segment of a micro-batch) consists of. */
typedef struct rn_cost_unit {
  const rn_spec *spec;
  int sequences, tokens, reduction_block;
  int before; /* number of earlier tokens of a sequence that attention sees as keys and values */
  bool bf16, recompute;
  bool attends; /* the layers that are added have softmax attention in place of retention */
} rn_cost_unit;

typedef enum { RN_COST_FORWARD, RN_COST_BACKWARD, RN_COST_WEIGHT, RN_COST_UPDATE } rn_cost_kind;

/** A phase. `name` is also the name of the spans that the profiler records for it
 * (proto/base/span.h). */
typedef struct rn_phase_cost {
  rn_cost_kind kind;
  const char *name;
  int64_t tasks;
  double work_s, longest_s; /* time of all tasks on one thread, and of the longest task */
  double time_s;            /* time of the phase */
} rn_phase_cost;

enum { RN_COST_PHASES = 40 };

typedef struct rn_step_cost {
  int threads;
  rn_phase_cost phase[RN_COST_PHASES];
  int count;
} rn_step_cost;

/** Returns a cost without phases. */
rn_step_cost rn_step_cost_start(int threads);

/** Adds the cost of forward and backward of one layer, `times` times. */
void rn_step_cost_add_layer(rn_step_cost *cost, rn_cost_rates rates, const rn_cost_unit *unit,
                            int64_t times);

/** Adds the cost of forward and backward of the layers `layers` of the model, `times` times. Each
 * of them may be a retention or an attention layer. */
void rn_step_cost_add_layers(rn_step_cost *cost, rn_cost_rates rates, const rn_cost_unit *unit,
                             rn_range layers, int64_t times);

/** Adds the cost of forward and backward of embedding, head and loss, `times` times. */
void rn_step_cost_add_ends(rn_step_cost *cost, rn_cost_rates rates, const rn_cost_unit *unit,
                           int64_t times);

/** Adds the cost of zeroing the gradients, computing their norm, and the update, for `parameters`
 * weights. */
void rn_step_cost_add_update(rn_step_cost *cost, rn_cost_rates rates, int64_t parameters);

/** Returns the time of all phases. */
double rn_step_cost_total(const rn_step_cost *cost);

/** Returns the time of all phases of the kinds first .. last. */
double rn_step_cost_time_of(const rn_step_cost *cost, rn_cost_kind first, rn_cost_kind last);

/** Returns the efficiency of a phase: time of all tasks / (time of the phase x threads), at most
 * 1. */
double rn_phase_cost_efficiency(const rn_phase_cost *phase, int threads);
/** Returns the efficiency of all phases together. */
double rn_step_cost_efficiency(const rn_step_cost *cost);
/** Returns the efficiency of all phases of the kinds first .. last, or 1 if there are none. */
double rn_step_cost_efficiency_of(const rn_step_cost *cost, rn_cost_kind first, rn_cost_kind last);

/** Returns the phase in which threads are idle for the longest time; NULL if there are no phases.
 */
const rn_phase_cost *rn_step_cost_max_idle(const rn_step_cost *cost);

#endif

/** Adds the cost of one loop to a phase of a step; there is one function for each kind of loop in a
 * layer. */
#ifndef RN_TRAINER_COST_COST_LOOPS_H
#define RN_TRAINER_COST_COST_LOOPS_H

#include "model/attention/attention.h"
#include "model/ops/pack_weights.h"
#include "model/ops/steps_tiling.h"
#include "model/pass/rows.h"
#include "model/retention/retention.h"
#include "trainer/cost/loop_time.h"
#include "trainer/cost/step_cost.h"

/** Context of the functions below: the cost to which they add, and the model and the rows on which
 * the loops run. */
typedef struct rn_cost_sum {
  rn_step_cost *cost;
  rn_phase_cost *phase; /* current phase */
  int64_t times;        /* number of times that each added loop runs */
  rn_cost_rates rates;
  const rn_cost_unit *unit;
  rn_rows rows;
  rn_loop_time loop; /* workspace */
} rn_cost_sum;

/** Sets the phase to which the next loops are added. */
void rn_cost_phase(rn_cost_sum *s, rn_cost_kind kind, const char *name);

/** Adds the cost of a loop of `tasks` equal tasks, which are split evenly among the threads. Each
 * task reads and writes `bytes` bytes. */
void rn_cost_static(rn_cost_sum *s, int64_t tasks, double bytes);

/** Like rn_cost_static, but for many small items: all items of a thread form one task. */
void rn_cost_items(rn_cost_sum *s, int64_t items, double bytes);

/** A step that is computed in tiles of rows. Besides computing its product, it reads and writes
 * `bytes` bytes per element of its output. */
typedef struct rn_cost_step {
  rn_step_shape shape;
  double bytes;
} rn_cost_step;

/** Adds the cost of consecutive steps that are computed in tiles over the rows of s->unit
 * (model/ops/tile_steps.h). */
void rn_cost_tiles(rn_cost_sum *s, const rn_cost_step *steps, int count);

/** Adds the cost of packing weights (model/ops/pack_weights.h). */
void rn_cost_pack(rn_cost_sum *s, const rn_packed_weight *weights, int count);

/** Adds the cost of the gradients of several weight matrices [n, k]. Their tasks form one loop. */
void rn_cost_weights(rn_cost_sum *s, int64_t rows, const int (*weights)[2], int count);

/** Adds the cost of a loop over the chunks of all heads. `flops` is the FLOP of a whole chunk. */
void rn_cost_chunks(rn_cost_sum *s, const rn_retention *r, double flops);

/** Adds the cost of the forward pass of attention (a loop over blocks of queries) or of its
 * backward pass (a loop over blocks of keys). */
void rn_cost_attention(rn_cost_sum *s, const rn_attention *a, bool backward);

#endif

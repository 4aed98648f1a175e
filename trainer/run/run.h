/**
 * One training run in memory: what was asked for, who works on what, and the state that a
 * checkpoint holds. Made once, stepped by step.c, saved and loaded by checkpoint.c.
 */
#ifndef RN_TRAINER_RUN_RUN_H
#define RN_TRAINER_RUN_RUN_H

#include "comm/optimizer/reduce_scatter.h"
#include "comm/pipeline/pipeline_p2p.h"
#include "comm/world/grid.h"
#include "comm/world/world.h"
#include "data/batch/batch.h"
#include "data/batch/split.h"
#include "data/run/run_lock.h"
#include "model/spec/spec.h"
#include "proto/base/range.h"
#include "proto/schema/config.pb-c.h"
#include "trainer/config/effective.h"
#include "trainer/parallel/distributed_optimizer.h"
#include "trainer/parallel/layout.h"
#include "trainer/parallel/pipeline.h"
#include "trainer/parallel/scan_source.h"
#include "trainer/parallel/shard_table.h"
#include "trainer/plan/plan.h"
#include "trainer/run/choices.h"
#include "trainer/run/lr.h"
#include "trainer/run/optim.h"
#include "trainer/run/reduction_blocks.h"
#include "trainer/run/stage_weights.h"

typedef struct rn_run {
  const Retnet__Config *given; /* as given; not owned */
  rn_effective effective;
  const Retnet__Config *config; /* the effective one's */
  rn_world *world;              /* not owned */
  rn_run_lock *lock;            /* of run.dir, on rank 0; not owned; NULL: nothing is written */
  rn_spec spec;
  rn_layout layout;
  rn_plan plan; /* what it was foretold to need */
  int threads;
  rn_comm_thread *comm_thread; /* NULL: there is none */
  rn_grid *grid;
  rn_pipeline_p2p *p2p; /* between stages; NULL when there is one */
  rn_scan_source scan;
  rn_tbptt_streams streams; /* data.carry_state; empty otherwise */
  rn_split train, val;
  bool has_train, has_val;
  rn_range share; /* of the batch's sequences, this data rank */
  rn_batch *band; /* [segments] this rank's pieces of them */
  rn_unit *unit;  /* [micro-batches, segments] of the batch at hand */
  int microbatches;
  rn_range layers; /* of this rank's stage */
  rn_pipeline pipeline;
  int64_t total; /* weights of the stage */
  rn_reduction_blocks blocks;
  double *block_squares;      /* [blocks.total] */
  rn_shard_table shard_table; /* what of the weights this rank updates */
  rn_distributed_optimizer
      optimizer; /* of gradients and weights between the replicas of the stage */
  rn_weights weights;
  float *params;                    /* [total] of weights; parts come while a step begins */
  float *own_gradient;              /* [own] sums over ranks; sink.gradient where there is one */
  float *exp_avg, *exp_avg_sq;      /* [own] */
  rn_grad_accumulator accumulator;  /* sums of the step's gradient on this rank */
  int64_t *own_exact;               /* [own] reproducible mode: sums over ranks, likewise */
  rn_reduction_block_losses leaves; /* reproducible mode */
  rn_adamw adamw;
  rn_lr_schedule schedule;

  int64_t scan_bytes; /* that this rank has sent for scans, in steps alone */

  int64_t step, tokens, next_sequence, updates; /* the state, beside weights and moments */
  int bad_steps;
} rn_run;

/**
 * Builds a run with initial weights from what was given, which outlives it; the training split is
 * opened. Without data.dir, steps work on made-up tokens: for measuring. Collective: over the
 * world. Errors: those of the config, the data folder, memory; agreed.
 */
rn_status rn_run_create(rn_err *err, const Retnet__Config *given, rn_world *world, rn_run *out);
/** The same, with what a checkpoint says of choices where that holds; NULL: rules decide. */
rn_status rn_run_create_from(rn_err *err, const Retnet__Config *given, const rn_choices *choices,
                             rn_world *world, rn_run *out);
/** Collective: over the world; so not to be called after RN_ERR_MPI. */
void rn_run_destroy(rn_run *run);

/** Brings every rank's shares of run->params to all, and waits. Collective: over the world. */
rn_status rn_run_fetch_weights(rn_err *err, rn_run *run);

/**
 * Where products are of bf16 and weights have changed, makes the copy that they read, once a node:
 * its ranks share the work. Collective: over the replicas.
 */
rn_status rn_run_cast_weights(rn_err *err, rn_run *run);

/**
 * Sets run->unit to the units of `sequences` sequences in run->band, in micro-batches, and
 * run->microbatches to their number. `step` is the key of dropout, `position` that of the
 * sequences' first tokens.
 */
void rn_run_set_units(rn_run *run, int sequences, int64_t step, int64_t position);

/** This rank's piece of band `band` of a sequence of `length` tokens. */
rn_range rn_run_piece(const rn_run *run, int64_t length, int band);

/** Targets that this rank works on in a step: the same for every stage. */
int64_t rn_run_targets(const rn_run *run);

#endif

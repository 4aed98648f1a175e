/**
 * One training run in memory: its configuration, the work of this rank, and the state that a
 * checkpoint holds. step.c advances it; trainer/checkpoint/ saves and loads it.
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
#include "trainer/layout/layout.h"
#include "trainer/optimizer/adamw.h"
#include "trainer/optimizer/distributed_optimizer.h"
#include "trainer/optimizer/lr.h"
#include "trainer/optimizer/shard_table.h"
#include "trainer/parallel/pipeline.h"
#include "trainer/parallel/scan_source.h"
#include "trainer/plan/plan.h"
#include "trainer/run/choices.h"
#include "trainer/run/reduction_blocks.h"
#include "trainer/run/stage_weights.h"

typedef struct rn_run {
  const Retnet__Config *given; /* by file and command line; not owned */
  rn_effective effective;
  const Retnet__Config *config; /* effective.config */
  rn_world *world;              /* not owned */
  rn_run_lock *lock;            /* of run.dir, on rank 0; not owned; NULL: run writes no files */
  rn_spec spec;
  rn_layout layout;
  rn_plan plan; /* estimated memory */
  int threads;
  rn_comm_thread *comm_thread; /* or NULL */
  rn_grid *grid;
  rn_pipeline_p2p *p2p; /* between stages; NULL if there is one stage */
  rn_scan_source scan;
  rn_tbptt_streams streams; /* data.carry_state; empty otherwise */
  rn_split train, val;
  bool has_train, has_val;
  rn_range share; /* sequences of the batch that this data rank works on */
  rn_batch *band; /* [segments] this rank's tokens of them, by segment */
  rn_unit *unit;  /* [micro-batches, segments] of the current batch */
  int microbatches;
  rn_range layers; /* of this rank's stage */
  rn_pipeline pipeline;
  int64_t total; /* weights of the stage */
  rn_reduction_blocks blocks;
  double *block_squares;      /* [blocks.total] */
  rn_shard_table shard_table; /* the weights that this rank updates */
  rn_distributed_optimizer
      optimizer; /* reduce-scatter and all-gather over the replicas of the stage */
  rn_weights weights;
  float *params;                   /* [total] in weights.memory; an all-gather may be in flight */
  float *own_gradient;             /* [own] sums over ranks; accumulator.gradient if there is
                                      one replica and the mode is not reproducible */
  float *exp_avg, *exp_avg_sq;     /* [own] */
  rn_grad_accumulator accumulator; /* gradient of the step, summed over this rank's units */
  int64_t *own_exact;              /* [own] reproducible mode: sums over ranks; accumulator.exact
                                      if there is one replica */
  rn_reduction_block_losses block_losses; /* reproducible mode: losses by reduction block */
  rn_adamw adamw;
  rn_lr_schedule schedule;

  int64_t scan_bytes; /* sent by this rank for scans, in training steps only */

  int64_t step, tokens, next_sequence, updates; /* the state, in addition to weights and moments */
  int bad_steps;
} rn_run;

/**
 * Creates a run with initial weights and opens its data splits. Without data.dir, steps use
 * synthetic tokens (for measurements).
 *
 * Collective: over the world.
 * Ownership:  the caller keeps `given`, which must outlive the run.
 * Errors:     those of the config and the data folder, RN_ERR_MEMORY; agreed.
 */
rn_status rn_run_create(rn_err *err, const Retnet__Config *given, rn_world *world, rn_run *out);
/** The same, but keeps a checkpoint's choices that are still valid (choices.h); NULL: rules decide.
 */
rn_status rn_run_create_from(rn_err *err, const Retnet__Config *given, const rn_choices *choices,
                             rn_world *world, rn_run *out);
/** Collective: over the world; must not be called after RN_ERR_MPI. */
void rn_run_destroy(rn_run *run);

/** All-gathers run->params from the ranks' shards, and waits. Collective: over the world. */
rn_status rn_run_fetch_weights(rn_err *err, rn_run *run);

/**
 * Updates the bf16 shadow of the weights if matrix products read one and the weights have changed.
 * Ranks that share the shadow each cast a part of it. Collective: over the replicas.
 */
rn_status rn_run_cast_weights(rn_err *err, rn_run *run);

/**
 * Divides the first `sequences` sequences of run->band into run->microbatches micro-batches and
 * sets run->unit to their units. `step` is the key of dropout; `position` is the position of the
 * first token of the sequences.
 */
void rn_run_set_units(rn_run *run, int sequences, int64_t step, int64_t position);

/** This rank's tokens of segment `band` of a sequence of `length` tokens. */
rn_range rn_run_piece(const rn_run *run, int64_t length, int band);

/** Target tokens of this rank in one step; the same for every stage. */
int64_t rn_run_targets(const rn_run *run);

#endif

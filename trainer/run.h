/**
 * One training run in memory: what was asked for, who works on what, and the state that a
 * checkpoint holds. Made once, stepped by step.c, saved and loaded by checkpoint.c.
 */
#ifndef RN_TRAINER_RUN_H
#define RN_TRAINER_RUN_H

#include "comm/chain.h"
#include "comm/grid.h"
#include "comm/world.h"
#include "data/batch.h"
#include "data/split.h"
#include "model/carry.h"
#include "model/spec.h"
#include "proto/config.pb-c.h"
#include "proto/cut.h"
#include "trainer/layout.h"
#include "trainer/lr.h"
#include "trainer/optim.h"
#include "trainer/pipeline.h"

typedef struct rn_run {
  Retnet__Config *config; /* as given; not owned */
  rn_world *world;        /* not owned */
  rn_spec spec;
  rn_layout layout;
  int threads;
  rn_grid *grid;
  rn_chain *chain; /* the scan across ranks; NULL when a rank has whole sequences */
  rn_carry *alone; /* the scan of one rank; NULL otherwise */
  rn_scan_algorithm scan;
  rn_split train, val;
  bool has_train, has_val;
  rn_range share; /* of the batch's sequences, this data rank */
  rn_range piece; /* of a sequence's tokens, this rank */
  rn_batch batch;
  rn_pipeline pipeline;
  int64_t total;                              /* weights */
  rn_range own;                               /* of them: what this rank updates */
  float *params, *gradient;                   /* [total] */
  float *own_gradient, *exp_avg, *exp_avg_sq; /* [own] */
  rn_adamw adamw;
  rn_schedule schedule;

  int64_t step, tokens, next_sequence, updates; /* the state, beside weights and moments */
  int bad_steps;
} rn_run;

/**
 * Builds a run with initial weights. `vocab_of_data` comes from the training split, which is
 * opened. Collective: over the world. Errors: those of the config, the data folder, memory; agreed.
 */
rn_status rn_run_create(rn_err *err, Retnet__Config *config, rn_world *world, rn_run *out);
void rn_run_destroy(rn_run *run);

/** The scan port for a unit; fresh states where one rank has whole sequences. */
rn_scan_port *rn_run_port(rn_run *run);

/** Rows first .. last-1 of the run's batch as a unit of `step`. */
rn_unit rn_run_unit(const rn_run *run, int first, int last, int64_t step);

#endif

/**
 * Runs a sequence of steps over the same rows, for example the products and activations of a block.
 * Each step is split into tiles for all threads; there are no barriers between the steps.
 *
 * A tile of a step begins as soon as all tiles of the previous step are complete in the same block
 * of rows. The rows of a block are therefore still in cache when the next step reads them, and
 * threads do not wait for each other at the end of a step. A single thread runs all steps of a
 * block before it begins the next block.
 */
#ifndef RN_MODEL_OPS_TILE_STEPS_H
#define RN_MODEL_OPS_TILE_STEPS_H

#include "model/base/precision_names.h"
#include "model/ops/steps_tiling.h"
#include "model/pass/rows.h"
#include "proto/ports/scan_port.h"

/** Computes one tile of a step on the calling thread. */
typedef void rn_tile_work(const void *self, const rn_step_tile *tile);

typedef struct rn_tile_step {
  rn_tile_work *work;
  rn_step_shape shape;
} rn_tile_step;

/**
 * Calls the work function of each step for each tile of the step, in parallel. No block of rows
 * crosses the boundary of a reduction block (model/pass/rows.h). Unless `port` is NULL, the first
 * thread polls it between tiles.
 */
void rn_tile_steps_run(rn_rows rows, const rn_scan_port *port, const rn_tile_step *steps, int count,
                       const void *self);

#endif

/**
 * This rank's place in the grid, the layers and sequences assigned to it, and the communication
 * along the axes of the grid: state scan, row transfers between stages, communication thread.
 */
#ifndef RN_TRAINER_RUN_PARALLEL_CONTEXT_H
#define RN_TRAINER_RUN_PARALLEL_CONTEXT_H

#include "comm/pipeline/pipeline_p2p.h"
#include "comm/world/comm_thread.h"
#include "comm/world/grid.h"
#include "trainer/parallel/row_source.h"
#include "trainer/parallel/scan_source.h"
#include "trainer/run/settings.h"

typedef struct rn_parallel_context {
  rn_world *world; /* not owned */
  rn_grid *grid;
  rn_range layers;      /* layers of this rank's stage */
  rn_range sequences;   /* sequences of each batch that this data rank works on */
  rn_pipeline_p2p *p2p; /* transfers between stages; NULL: single stage */
  rn_scan_source scan;
  rn_row_source rows;          /* keys and values of attention layers */
  rn_comm_thread *comm_thread; /* NULL: none */
} rn_parallel_context;

/**
 * Creates the grid of the plan's layout, the state scan and the transfers between stages, but does
 * not start the communication thread. Uses the scan algorithm stored in `choices` if it is still
 * valid; otherwise, or if `choices` is NULL, selects it from parallel.scan, the number of ranks and
 * the size of the states.
 *
 * Collective: over the world, which must outlive the context.
 * Errors:     RN_ERR_MEMORY, RN_ERR_USAGE naming the key; agreed.
 */
rn_status rn_parallel_context_create(rn_err *err, const rn_run_settings *settings,
                                     const rn_choices *choices, rn_world *world,
                                     rn_parallel_context *out);

/**
 * Starts the communication thread if parallel.comm_thread asks for it, and lets it make progress on
 * the messages of the scan and of the transfers between stages. Call it after all other objects
 * that send messages have been created.
 *
 * Collective: over the world. Errors: those of rn_launch_comm_thread.
 */
rn_status rn_parallel_context_start_thread(rn_err *err, const rn_run_settings *settings,
                                           rn_parallel_context *context);

/**
 * Stops the communication thread; must be called before any object is destroyed whose messages the
 * thread handles.
 */
void rn_parallel_context_stop_thread(rn_parallel_context *context);

/** Destroys the context. Collective: over the world. */
void rn_parallel_context_destroy(rn_parallel_context *context);

#endif

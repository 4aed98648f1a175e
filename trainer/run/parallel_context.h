/**
 * This rank's place in the grid, the part of the work that follows from it, and what communicates
 * along the axes of the grid: states, rows between stages, the communication thread.
 */
#ifndef RN_TRAINER_RUN_PARALLEL_CONTEXT_H
#define RN_TRAINER_RUN_PARALLEL_CONTEXT_H

#include "comm/pipeline/pipeline_p2p.h"
#include "comm/world/comm_thread.h"
#include "comm/world/grid.h"
#include "trainer/parallel/scan_source.h"
#include "trainer/run/settings.h"

typedef struct rn_parallel_context {
  rn_world *world; /* not owned */
  rn_grid *grid;
  rn_range layers;      /* of this rank's stage */
  rn_range sequences;   /* of each batch: those of this data rank */
  rn_pipeline_p2p *p2p; /* between stages; NULL: there is one */
  rn_scan_source scan;
  rn_comm_thread *comm_thread; /* NULL: none */
} rn_parallel_context;

/**
 * Creates the grid of the plan's layout and what communicates along its axes, without the
 * communication thread. The scan algorithm is that of `choices` if it is still valid (NULL: rule).
 *
 * Collective: over the world, which must outlive the context.
 * Errors:     RN_ERR_MEMORY, RN_ERR_USAGE naming the key; agreed.
 */
rn_status rn_parallel_context_create(rn_err *err, const rn_run_settings *settings,
                                     const rn_choices *choices, rn_world *world,
                                     rn_parallel_context *out);

/**
 * Starts the communication thread if parallel.comm_thread asks for it, and lets it drive scan and
 * transfers between stages. Called when all else that sends messages exists.
 *
 * Collective: over the world. Errors: those of rn_launch_comm_thread.
 */
rn_status rn_parallel_context_start_thread(rn_err *err, const rn_run_settings *settings,
                                           rn_parallel_context *context);

/** Stops the communication thread, before anything that it drives is destroyed. */
void rn_parallel_context_stop_thread(rn_parallel_context *context);

/** Collective: over the world. */
void rn_parallel_context_destroy(rn_parallel_context *context);

#endif

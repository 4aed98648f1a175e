/**
 * The workspace of a plan's buffers, and the phase that runs.
 *
 * In a test the workspace may be poisoned: at the begin of each phase all bytes but those of
 * buffers that stay live become NaN, so that whoever reads a buffer outside of its declared
 * lifetime, or before it is written, gets different results.
 */
#ifndef RN_MODEL_MEMORY_WORKSPACE_H
#define RN_MODEL_MEMORY_WORKSPACE_H

#include "model/memory/buffer_plan.h"
#include "proto/base/arena.h"

typedef struct rn_workspace {
  const rn_buffer_plan *plan; /* not owned */
  rn_arena arena;
  rn_unit_phase phase; /* the last one that began */
  bool poison;
} rn_workspace;

/** Allocates the workspace of a plan that has been placed. Errors: RN_ERR_MEMORY. */
rn_status rn_workspace_create(rn_err *err, const rn_buffer_plan *plan, rn_workspace *out);
void rn_workspace_destroy(rn_workspace *workspace);

/** Begins a phase; outside of parallel regions. Costs nothing unless the workspace is poisoned. */
void rn_workspace_begin(rn_workspace *workspace, rn_unit_phase phase);

/** Fills memory with bytes that are NaN in float, double and bf16. */
void rn_poison(void *memory, size_t bytes);

#endif

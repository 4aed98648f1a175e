/**
 * A workspace consists of the memory of a plan's temporary buffers and the current phase.
 *
 * Tests may poison the workspace: at the start of each phase, all bytes are filled with NaN, except
 * those of buffers that stay live. Code that reads a buffer outside its declared lifetime, or
 * before the buffer is written, then computes with NaN.
 */
#ifndef RN_MODEL_MEMORY_WORKSPACE_H
#define RN_MODEL_MEMORY_WORKSPACE_H

#include "model/memory/buffer_plan.h"
#include "proto/base/arena.h"

typedef struct rn_workspace {
  const rn_buffer_plan *plan; /* not owned */
  rn_arena arena;
  rn_layers layers;          /* kind of the layer that runs */
  rn_unit_phase phase;       /* the current phase */
  rn_layers layers_of_phase; /* kind of the layer that ran when the phase began */
  bool poison;
} rn_workspace;

/** Allocates the workspace of a plan, which must have been placed. Errors: RN_ERR_MEMORY. */
rn_status rn_workspace_create(rn_err *err, const rn_buffer_plan *plan, rn_workspace *out);
void rn_workspace_destroy(rn_workspace *workspace);

/** Begins the forward or backward of a layer of the kind `layers`. */
static inline void rn_workspace_enter(rn_workspace *workspace, rn_layers layers) {
  workspace->layers = layers;
}

/** Begins a phase; call outside of parallel regions. Costs nothing unless the workspace is
 * poisoned. */
void rn_workspace_begin(rn_workspace *workspace, rn_unit_phase phase);

/** Fills memory with bytes that are NaN in float, double and bf16. */
void rn_poison(void *memory, size_t bytes);

#endif

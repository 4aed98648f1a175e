/**
 * Defines the activations of a unit (model/pass/unit.h) between its forward and its backward, and
 * the memory plans of a stage.
 *
 * The arena of rn_activations holds what forward saves for backward. Temporary buffers are in a
 * workspace that the layers share, because layers run one at a time. A stage has one workspace per
 * save policy.
 */
#ifndef RN_MODEL_STAGE_ACTIVATIONS_H
#define RN_MODEL_STAGE_ACTIVATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/precision_names.h"
#include "model/embed/embed.h"
#include "model/embed/head.h"
#include "model/memory/workspace.h"
#include "model/stage/layer.h"
#include "model/stage/stage_shape.h"
#include "proto/base/arena.h"
#include "proto/base/real.h"
#include "proto/base/status.h"

/** The memory plans of a stage for units of at most R rows, and the workspaces that have been
 * allocated so far. */
typedef struct rn_stage_memory {
  const rn_layer *layer; /* [layer_count]; not owned */
  int first_layer, layer_count;
  int64_t rows;
  int dim;
  const rn_embed *embed; /* NULL if the stage has no embedding; not owned */
  const rn_head *head;   /* NULL if the stage has no head; not owned */
  rn_buffer_plan plan[RN_SAVE_POLICIES];
  /* each workspace is allocated with the first rn_activations of the policy */
  rn_workspace workspace[RN_SAVE_POLICIES];
  rn_workspace *head_workspace; /* workspace that holds the head's buffers: the workspace that was
                                   allocated first */
  rn_head_work head_work;       /* buffers of the head, in head_workspace */
} rn_stage_memory;

typedef struct rn_activations {
  rn_arena arena; /* empty for an alias, which uses the memory of other activations */
  int first_layer, layer_count;
  rn_save_policy save;
  bool train;
  bool weights_done; /* true if backward_input has already accumulated the weight gradients */
  rn_layer_activations *layer; /* [layer_count] */
  rn_real *embed_stat;         /* [R, 2] */
  rn_real *rows;               /* [R, D]: output of the last layer */
  rn_real *d_embed;            /* [R, D], temporary; NULL without an embedding norm */
  rn_workspace *workspace;     /* workspace of the temporary buffers; not owned */
  /* the fields below are used only while the unit's weight gradients are deferred
   * (model/stage/waiting_units.h) */
  rn_rows rows_of_weights;
  rn_grad_accumulator *accumulator; /* not owned */
  int layers_left; /* layers 0 .. layers_left - 1 have not been added to the stage's rn_weight_queue
                      yet */
  struct rn_activations *next_waiting;
} rn_activations;

/** Computes memory->plan from the other fields of memory. */
void rn_stage_memory_plan(rn_stage_memory *memory);

/** Returns the size in bytes of the arena of one rn_activations. */
size_t rn_activations_bytes(const rn_stage_memory *memory, rn_save_policy save);
/** Returns the size in bytes of the workspace of a save policy. */
size_t rn_stage_memory_workspace_bytes(const rn_stage_memory *memory, rn_save_policy save);

/**
 * Creates activations. The first call for a save policy also allocates the policy's workspace.
 * Errors: RN_ERR_MEMORY.
 */
rn_status rn_stage_memory_create_activations(rn_err *err, rn_stage_memory *memory,
                                             rn_save_policy save, rn_activations **out);

/**
 * Creates activations with RN_SAVE_NOTHING in the memory of the activations `memory` of the same
 * stage, which must outlive the new activations. All layers use the buffers of the first layer. A
 * forward with either of the two rn_activations invalidates the contents of the other. Errors:
 * RN_ERR_MEMORY.
 */
rn_status rn_activations_create_alias(rn_err *err, const rn_activations *memory,
                                      rn_activations **out);
void rn_activations_destroy(rn_activations **activations);

/** Frees the workspaces. Destroy all activations first. */
void rn_stage_memory_destroy(rn_stage_memory *memory);

/** Returns the array of rows [B, T, D]. After forward it holds the output of the stage (unless
 * RN_SAVE_NOTHING). Before forward, the caller may store the stage's input there. */
static inline rn_real *rn_activations_rows(rn_activations *activations) {
  return activations->rows;
}

/** Returns the state before the segment, as layer `index` of the stage received it in forward. Only
 * for activations with RN_SAVE_INPUTS. */
static inline rn_real *rn_activations_before(const rn_activations *activations, int index) {
  return activations->layer[index].retention.received;
}

/** Fills the activations with NaN and enables poisoning of their workspace (see
 * model/memory/workspace.h). For tests. */
void rn_activations_poison(rn_activations *activations);

#endif

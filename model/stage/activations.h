/**
 * The activations that a unit's forward saves for its backward, and the memory that all activations
 * of a stage share.
 *
 * Layers run one at a time. Buffers that only the running layer needs exist once per stage, in
 * rn_activation_pool. Everything else, at least the inputs of the layers, is per rn_activations.
 */
#ifndef RN_MODEL_STAGE_ACTIVATIONS_H
#define RN_MODEL_STAGE_ACTIVATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/precision_names.h"
#include "model/stage/layer.h"
#include "model/stage/stage_shape.h"
#include "proto/base/arena.h"
#include "proto/base/real.h"
#include "proto/base/status.h"

/** Memory shared by the activations of a stage, for at most R rows; allocated on first use. */
typedef struct rn_activation_pool {
  rn_layer *layer; /* [layer_count]; not owned */
  int first_layer, layer_count;
  int64_t rows;
  int dim;
  int64_t states; /* elements of the states of one layer: B H K V */
  rn_arena d_out_arena, lent_arena, shared_arena;
  rn_layer_workspace most;     /* workspace for RN_SAVE_MOST */
  rn_layer_activations shared; /* one layer, for RN_SAVE_NOTHING and RN_SAVE_INPUTS */
} rn_activation_pool;

typedef struct rn_activations {
  rn_arena arena;
  int first_layer, layer_count;
  rn_save_policy keep;
  bool train;
  bool weights_done;           /* backward_input has already made the weight gradients */
  rn_layer_activations *layer; /* [layer_count] */
  rn_real *before; /* [layer_count, states]: the states before the segment; RN_SAVE_INPUTS only */
  int64_t states;
  rn_real *embed_stat; /* [R, 2] */
  rn_real *last;       /* [R, D]: the output of the last layer */
} rn_activations;

/** Bytes of one rn_activations, and of the shared memory that its save policy needs. */
size_t rn_activations_bytes(const rn_activation_pool *pool, rn_save_policy keep);
size_t rn_activation_pool_shared_bytes(const rn_activation_pool *pool, rn_save_policy keep);

/**
 * Creates activations; the first of a save policy also allocates the memory they share.
 * Errors: RN_ERR_MEMORY.
 */
rn_status rn_activation_pool_create_activations(rn_err *err, rn_activation_pool *pool,
                                                rn_save_policy keep, rn_activations **out);

/**
 * Activations with RN_SAVE_NOTHING that reuse the memory of others of the same stage, which must
 * outlive them. A forward with either one invalidates the contents of the other.
 * Errors: RN_ERR_MEMORY.
 */
rn_status rn_activations_create_alias(rn_err *err, const rn_activations *workspace,
                                      rn_activations **out);
void rn_activations_destroy(rn_activations **activations);

/** Frees the shared memory; all activations must have been destroyed before. */
void rn_activation_pool_destroy(rn_activation_pool *pool);

/** Rows [B, T, D]: the output of the stage after forward (unless RN_SAVE_NOTHING); until then a
 * buffer that the caller may use for the stage's input. */
static inline rn_real *rn_activations_rows(rn_activations *activations) {
  return activations->last;
}

/** The states before the segment of layer `index` of the stage; RN_SAVE_INPUTS only. */
static inline rn_real *rn_activations_before(const rn_activations *activations, int index) {
  return activations->before + index * activations->states;
}

#endif

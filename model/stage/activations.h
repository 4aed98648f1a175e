/**
 * What a unit's forward leaves for its backward, and what the tapes of a stage share.
 *
 * Layers work one by one, so what only a layer at work needs lies once in memory, however many
 * tapes there are: rn_activation_pool has it. A tape has the rest: layers' inputs at least.
 */
#ifndef RN_MODEL_STAGE_ACTIVATIONS_H
#define RN_MODEL_STAGE_ACTIVATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/precision_names.h"
#include "model/stage/layer.h"
#include "proto/base/arena.h"
#include "proto/base/real.h"
#include "proto/base/status.h"

/** How much of a forward pass a tape keeps. */
typedef enum {
  RN_SAVE_NOTHING, /* there is no backward */
  RN_SAVE_INPUTS,  /* of layers, and the states before the piece: backward computes a layer again */
  RN_SAVE_MOST,    /* all but what backward makes on its way: its weight half must follow at once */
  RN_SAVE_ALL
} rn_save_policy;

/** The layers that tapes are of, for at most R rows; zeroed where nothing has been shared yet. */
typedef struct rn_activation_pool {
  rn_layer *layer; /* [layer_count]; not owned */
  int first_layer, layer_count;
  int64_t rows;
  int dim;
  int64_t states; /* elements of a layer's states: B H K V */
  rn_arena d_out_arena, lent_arena, shared_arena;
  rn_layer_workspace most;     /* to tapes that keep most */
  rn_layer_activations shared; /* of tapes that keep less */
} rn_activation_pool;

typedef struct rn_activations {
  rn_arena arena;
  int first_layer, layer_count;
  rn_save_policy keep;
  bool train;
  bool weights_done;           /* backward_input had the weights' gradients too */
  rn_layer_activations *layer; /* [layer_count] */
  rn_real *before;             /* [layer_count, states] before the piece, where inputs are kept */
  int64_t states;
  rn_real *embed_stat; /* [R, 2] */
  rn_real *last;       /* [R, D]: what left the last layer */
} rn_activations;

/** Bytes of a tape, and of what is shared once there are tapes of that kind. */
size_t rn_activations_bytes(const rn_activation_pool *pool, rn_save_policy keep);
size_t rn_activation_pool_shared_bytes(const rn_activation_pool *pool, rn_save_policy keep);

/** A tape, and with the first of a kind what they share. Errors: RN_ERR_MEMORY. */
rn_status rn_activation_pool_create_activations(rn_err *err, rn_activation_pool *pool,
                                                rn_save_policy keep, rn_activations **out);

/**
 * A tape that keeps nothing, in the memory of another one of the same stage, which must outlive it:
 * a forward with either makes what the other holds worthless. Errors: RN_ERR_MEMORY.
 */
rn_status rn_activations_create_alias(rn_err *err, const rn_activations *workspace,
                                      rn_activations **out);
void rn_activations_destroy(rn_activations **activations);

/** What is shared, when all tapes are gone. */
void rn_activation_pool_destroy(rn_activation_pool *pool);

/** The tape's rows [B, T, D]: what left the stage in a kept forward; free for what will enter it.
 */
static inline rn_real *rn_activations_rows(rn_activations *activations) {
  return activations->last;
}

/** Where layer `index` of the stage has its states before the piece; inputs kept. */
static inline rn_real *rn_activations_before(const rn_activations *activations, int index) {
  return activations->before + index * activations->states;
}

#endif

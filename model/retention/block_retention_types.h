/** Defines the sizes, tables and buffers of a retention block, which the files of the block share.
 */
#ifndef RN_MODEL_RETENTION_BLOCK_RETENTION_TYPES_H
#define RN_MODEL_RETENTION_BLOCK_RETENTION_TYPES_H

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/memory/workspace.h"
#include "model/retention/head_norm.h"
#include "model/retention/retention.h"
#include "model/retention/rotary.h"

/** The sizes and tables of the block, shared by all layers of a stage. The table `rotary` holds the
 * cosines and sines for the positions of the current unit. */
typedef struct rn_block_retention {
  int dim, value_dim, heads, key_width, value_width; /* D, H V, H, K, V */
  int pair,
      ld_pair;  /* number of columns of kv and of qg, D + H V, and the row stride of these arrays */
  int ld_gated; /* row stride of gated */
  int max_sequences, max_tokens;
  bool gate;
  bool bf16; /* true if rows and states are stored and multiplied in bf16 */
  rn_head_norm head_norm;
  double eps;
  rn_retention core;
  rn_rotary_table rotary;
  const rn_bf16 *weights; /* the stage's weights in bf16, or NULL; not owned */
  double *sums; /* scratch of rn_head_weight_backward; NULL if the head norm has no weight */
} rn_block_retention;

/** Returns the number of columns of qg that the block uses: those of q and g, or of q alone if
 * there is no gate. */
static inline int rn_block_retention_qg_width(const rn_block_retention *block) {
  return block->gate ? block->pair : block->dim;
}

/**
 * The buffers of one layer's block. After backward_input, kv and qg hold the gradients of k, v, q
 * and g.
 *
 * In rn_real, some arrays share memory: `normed` and `o`, because the head norm works in place, and
 * `states` and `chunk_states`, because the states before the chunks replace the contributions of
 * the chunks.
 */
typedef struct rn_block_retention_activations {
  rn_form form; /* form used by the last forward */
  /* saved by forward */
  rn_array kv, qg; /* [R, D + H V], row stride ld_pair; the rotated k or q, then v or g */
  rn_array normed,
      gated;       /* [R, H V]; gated has row stride ld_gated and is recomputed by backward_input */
  rn_real *factor; /* [R, H] */
  rn_array states; /* [chunks, B, H, K, V]: state before each chunk; [1, B, H, K, V] in the forms
                      without chunks */
  rn_real *received; /* [B, H, K, V]: state before the segment, saved for recomputation */
  /* temporary */
  rn_real *own, *state; /* [B, H, K, V]: own: contribution of the segment, input of the scan; state:
                           output of the scan */
  rn_real *chunk_states; /* [chunks, B, H, K, V]: contributions of chunks to states */
  rn_real *o;            /* [R, H V]: output of the retention */
  rn_real *alpha;        /* [R, H] */
  rn_real *kv_reals,
      *q; /* [R, D + H V] and [R, D]: bf16 rows widened to rn_real, for the forms without chunks */
  double *log_decay; /* [B, H] */
  bool defers_out;   /* true if `gated` and the gradient of the output stay live until the scan of
                        backward has begun, so that the weight gradient of the output projection can
                        be deferred */
  rn_array d_o;      /* [R, H V] */
  rn_real *d_kv;     /* [R, D + H V], row stride ld_pair */
  rn_real *d_chunk_states; /* [chunks, B, H, K, V]: contributions of chunks to adjoints */
  rn_array adjoints;       /* [chunks, B, H, K, V]: adjoint of the state after each chunk */
  void *packed;            /* packed weights of one phase */
  rn_workspace *workspace; /* holds the temporary buffers; not owned */
} rn_block_retention_activations;

#endif

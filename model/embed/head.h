/**
 * Computes final norm, vocabulary head and cross-entropy by blocks of rows, so that the full T x N
 * logits are never stored.
 *
 *   logits = W norm(y)     the norm only with pre_norm; W = output_projection, or the embedding
 *   loss   = sum over rows of (log sum_n exp(logits[n]) - logits[target])
 */
#ifndef RN_MODEL_EMBED_HEAD_H
#define RN_MODEL_EMBED_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/array.h"
#include "model/base/precision_names.h"
#include "model/memory/buffer_plan.h"
#include "model/ops/grad_accumulator.h"
#include "model/ops/norm.h"
#include "model/ops/steps_tiling.h"
#include "model/spec/param.h"
#include "proto/base/real.h"

typedef struct rn_head {
  int dim, vocab; /* D, N */
  int block;      /* number of rows of a block; depends only on N */
  int pieces; /* number of pieces into which the sum over N in d_normed is cut; depends only on N */
  int64_t projection; /* parameter offset of the projection [N, D] */
  bool has_norm;
  rn_norm norm;
  bool bf16;              /* true if products have bf16 operands */
  const rn_bf16 *weights; /* the stage's weights in bf16, or NULL; not owned */
} rn_head;

/** Returns the head of a model; its projection is the embedding if the spec ties them. */
rn_head rn_head_make(const rn_spec *spec, const rn_param_table *table);

/** Returns the shape of the logits as the output of a step (model/ops/tile_steps.h). */
rn_step_shape rn_head_logits_shape(const rn_head *head);

/** The work space of one block of rows. */
typedef struct rn_head_work {
  rn_real *logits;   /* [block, N], later replaced by the gradient of the logits; with bf16, each
                        row's gradient is rounded in place */
  rn_array normed;   /* [block, D] */
  rn_real *d_normed; /* [block, D]: the gradient of `normed`; NULL without a norm */
  /* [pieces, rows, D]: pieces of the sums in d_normed; NULL if there is one piece */
  rn_real *partial;
  rn_real *stat;    /* [block, 2] */
  double *row_loss; /* [block] */
} rn_head_work;

/** Declares the work space for calls of at most `rows` rows, or returns its addresses (see
 * rn_buffer_take). */
rn_head_work rn_head_buffers(const rn_head *head, int64_t rows, const rn_buffer_space *space);

/**
 * The arguments and results of a loss computation. `sum` is the sum of the rows' losses, computed
 * in double in row order; dy = scale * d sum / d y.
 *
 * Shapes: y, dy [R, D], may be the same array; target [R], each in [0, N); token_loss [R] or NULL.
 *         If dy is NULL, only the loss is computed.
 */
typedef struct rn_loss {
  int64_t rows; /* R */
  const rn_real *y;
  const int32_t *target;
  double scale;
  double sum;          /* output */
  rn_real *token_loss; /* output: loss of each row */
  rn_real *dy;
} rn_loss;

/**
 * Computes loss->sum. Unless loss->dy is NULL, also computes dy and accumulates the gradients of
 * the weights (times scale). If loss->dy is NULL, the accumulator is not used.
 */
void rn_head_loss(const rn_head *head, const rn_real *params, rn_head_work *work, rn_loss *loss,
                  rn_grad_accumulator *accumulator);

/** Computes the logits of some rows. Shapes: y [R, D], logits [R, N]. */
void rn_head_logits(const rn_head *head, const rn_real *params, int64_t rows, const rn_real *y,
                    rn_head_work *work, rn_real *logits);

#endif

/**
 * The layers of one pipeline rank, worked through unit by unit.
 *
 * A unit is (micro-batch, segment): B sequences times the T tokens of one piece. A stage that
 * begins at layer 0 embeds tokens; one that ends at layer L owns the head. forward leaves a tape;
 * from it backward_input makes the gradient of the input and backward_weight, later, that of the
 * weights. Nothing is allocated after create. Everything here is built twice: _f32 and _f64.
 */
#ifndef RN_MODEL_STAGE_STAGE_H
#define RN_MODEL_STAGE_STAGE_H

#include <stdint.h>

#include "model/base/precision_names.h"
#include "model/embed/head.h"
#include "model/ops/grad_accumulator.h"
#include "model/pass/pass.h"
#include "model/spec/param.h"
#include "model/spec/spec.h"
#include "model/stage/activations.h"
#include "proto/ports/layer_group_port.h"
#include "proto/ports/scan_port.h"

typedef struct rn_stage rn_stage;

/** What a stage is made for: layers first .. last-1, units of at most B sequences, T tokens. */
typedef struct rn_stage_shape {
  int first_layer, last_layer;
  int max_sequences, max_tokens;
  uint64_t seed; /* of dropout */
} rn_stage_shape;

/** A stage with its workspace. Errors: RN_ERR_MEMORY. */
rn_status rn_stage_create(rn_err *err, const rn_spec *spec, rn_stage_shape shape, rn_stage **out);
void rn_stage_destroy(rn_stage **stage);

/**
 * Where products are of bf16 (model/kernel/gemm.h), makes elements `range` of the weights' copy
 * in it: all are to be made whenever params [total] have changed, before they are used. Elsewhere
 * there is nothing to do.
 */
void rn_stage_cast_weights(rn_stage *stage, const rn_real *params, rn_range range);

/** Bytes of the copy; 0 where there is none. */
size_t rn_stage_bf16_shadow_bytes(const rn_stage *stage);

/** The copy lies at `copy` from now on, which outlives the stage; the stage's own is given back. */
void rn_stage_use_bf16_shadow(rn_stage *stage, rn_bf16 *copy);

/**
 * From now on forwards wait at `port` for each part before they read it, and backwards tell it of
 * each part that they have added the gradient of: from the last layer on, the embedding at the end.
 * The head's part is the caller's to wait for and to tell of.
 */
void rn_stage_attach(rn_stage *stage, rn_layer_group_port port);

/** The stage's parameter table; the stage owns it. */
const rn_param_table *rn_stage_params(const rn_stage *stage);

/** What a stage takes, beside its weights: elements of these, bytes of memory. */
typedef struct rn_stage_sizes {
  int64_t parameters;
  size_t work_bytes;
  size_t copy_bytes;                    /* of the weights, in bf16 */
  size_t tape_bytes[RN_SAVE_ALL + 1];   /* of a tape, by what it keeps */
  size_t shared_bytes[RN_SAVE_ALL + 1]; /* once, where there are tapes of that kind */
} rn_stage_sizes;

/** The sizes of a stage that create would make, for the threads of this process. */
rn_status rn_stage_measure(rn_err *err, const rn_spec *spec, rn_stage_shape shape,
                           rn_stage_sizes *out);

/**
 * A tape of the stage's layers, for the sizes that the stage was made for; what tapes share is the
 * stage's, which outlives them. rn_activations_destroy gives it back. Errors: RN_ERR_MEMORY.
 */
rn_status rn_activations_create(rn_err *err, rn_stage *stage, rn_save_policy keep,
                                rn_activations **out);

/**
 * x -> the stage's layers -> y.
 *
 * Shapes:     x [B, T, D] (NULL on a first stage), y [B, T, D], the same array allowed, or both
 *             rn_activations_rows: for a last stage the rows before the final norm.
 * Collective: over the ranks behind pass->port (one FORWARD scan per layer, in layer order).
 *             pass->train switches dropout on. PARALLEL and RECURRENT serve evaluation and tests;
 *             their backward is rn_stage_backward_input too (parallel: the plain oracle; recurrent
 *             forms have none).
 */
rn_status rn_stage_forward(rn_err *err, rn_stage *stage, const rn_pass *pass, const rn_real *x,
                           rn_real *y);

/**
 * Final norm, vocabulary head and cross-entropy of a last stage, by blocks of tokens: never T x N.
 * The gradients of the head's and the final norm's weights (times scale) are accumulated here.
 *
 *   sum = sum over rows of -log softmax(head(y))[target];  dy = scale * d sum / d y
 */
void rn_stage_loss(rn_stage *stage, const rn_pass *pass, rn_loss *loss);

/** Logits of given rows: y [rows, D] -> logits [rows, N]; for decoding and tests. */
void rn_stage_logits(rn_stage *stage, const rn_real *params, int rows, const rn_real *y,
                     rn_real *logits);

/**
 * Gradient of the unit's input, from dy; leaves in the activations what backward_weight needs.
 * Gradients of vectors (norms) and, on a first stage, of the embedding are accumulated here; with
 * pass->weights those of matrices too, layer by layer while the layer's rows are in cache.
 *
 * Shapes:     dy [B, T, D] (overwritten); dx [B, T, D], dy itself allowed, NULL on a first stage.
 * Collective: over the ranks behind pass->port (one REVERSE scan per layer, last layer first).
 */
rn_status rn_stage_backward_input(rn_err *err, rn_stage *stage, const rn_pass *pass, rn_real *dy,
                                  rn_real *dx);

/**
 * Accumulates the weight gradients of the unit's matrices; local. The activations are free
 * afterwards. Nothing is left to do where backward_input made them already: asked to, or from
 * activations that kept inputs only.
 */
void rn_stage_backward_weight(rn_stage *stage, const rn_pass *pass);

/** Hidden rows [B, T, D] that entered `layer` (L: left the last) in the tape's forward (all
 * kept).
 */
const rn_real *rn_stage_hidden(const rn_activations *activations, int layer);

#endif

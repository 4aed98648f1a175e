/**
 * Runs the layers of one pipeline stage on the CPU. Each call processes one unit.
 * model/stage/stage_cpu.c is the stage backend built on this interface. The weights and the
 * gradients are arrays of the caller; rn_pass points to them.
 *
 * A unit is a pair (micro-batch, segment): the T tokens of one segment of each of B sequences. A
 * stage that begins at layer 0 has the embedding; one that ends at layer L has the head. forward
 * saves activations; from these, backward_input computes the gradient of the input and, later,
 * backward_weight the gradient of the weights. After creation, the only allocations are activations
 * and, with the first activations of a save policy, the workspace of this policy. All functions
 * here are built twice, with the suffixes _f32 and _f64.
 */
#ifndef RN_MODEL_STAGE_LAYER_STACK_H
#define RN_MODEL_STAGE_LAYER_STACK_H

#include <stdint.h>

#include "model/base/precision_names.h"
#include "model/embed/head.h"
#include "model/ops/grad_accumulator.h"
#include "model/pass/pass.h"
#include "model/spec/param.h"
#include "model/spec/spec.h"
#include "model/stage/activations.h"
#include "model/stage/stage_shape.h"
#include "proto/ports/layer_group_port.h"
#include "proto/ports/scan_port.h"

typedef struct rn_layer_stack rn_layer_stack;

/** Creates a stack. Its workspaces (model/memory/workspace.h) are allocated later, by
 * rn_activations_create. Errors: RN_ERR_MEMORY. */
rn_status rn_layer_stack_create(rn_err *err, const rn_spec *spec, rn_stage_shape shape,
                                rn_layer_stack **out);
void rn_layer_stack_destroy(rn_layer_stack **stack);

/**
 * If matrix products take bf16 (model/kernel/gemm.h), rounds elements `range` of params [total] to
 * the bf16 shadow, the copy of the weights that products read; otherwise does nothing. Every
 * element that has changed must be rounded again before the stack uses params.
 */
void rn_layer_stack_cast_weights(rn_layer_stack *stack, const rn_real *params, rn_range range);

/** Returns the size in bytes of the bf16 shadow; 0 if there is none. */
size_t rn_layer_stack_bf16_shadow_bytes(const rn_layer_stack *stack);

/** Uses `copy` as the bf16 shadow from now on, and frees the stack's own shadow. `copy` must
 * outlive the stack. */
void rn_layer_stack_use_bf16_shadow(rn_layer_stack *stack, rn_bf16 *copy);

/**
 * Attaches a port for layer groups (embedding, each layer, head; proto/ports/layer_group_port.h).
 * From now on, forward waits at `port` for each layer group before it reads the group's weights.
 * Backward reports each layer group whose gradient it has accumulated, in order from the last layer
 * to the embedding. For the head's group, the caller must wait and report.
 */
void rn_layer_stack_attach(rn_layer_stack *stack, rn_layer_group_port port);

/** Returns the parameter table, which is owned by the stack. */
const rn_param_table *rn_layer_stack_table(const rn_layer_stack *stack);

/**
 * Computes the memory sizes of a stack without creating it, for rn_threads() threads.
 * Errors: RN_ERR_MEMORY.
 */
rn_status rn_layer_stack_measure(rn_err *err, const rn_spec *spec, rn_stage_shape shape,
                                 rn_stage_sizes *out);

/**
 * Creates activations for units up to the stage's maximum size. The memory that activations share
 * belongs to the stack, which must outlive them. Free with rn_activations_destroy. Errors:
 * RN_ERR_MEMORY.
 */
rn_status rn_activations_create(rn_err *err, rn_layer_stack *stack, rn_save_policy save,
                                rn_activations **out);

/**
 * Computes y = the stage's layers applied to x.
 *
 * Shapes:     x [B, T, D] (ignored on the first stage), y [B, T, D]; they may alias, and both may
 *             be rn_activations_rows. On the last stage, y holds the rows before the final norm.
 * Collective: over the ranks of pass->port and pass->rows (one FORWARD scan per retention layer,
 *             and one exchange per attention layer, in layer order).
 * Errors:     those of pass->port, pass->rows and the layer group port, and of
 *             rn_block_retention_forward.
 *
 * pass->train enables dropout. The forms PARALLEL and RECURRENT are for evaluation and tests.
 * rn_layer_stack_backward_input also supports PARALLEL, as a reference; RECURRENT has no backward.
 */
rn_status rn_layer_stack_forward(rn_err *err, rn_layer_stack *stack, const rn_pass *pass,
                                 const rn_real *x, rn_real *y);

/**
 * Computes final norm, vocabulary head and cross-entropy on the last stage, by blocks of tokens so
 * that the full T x N logits are never stored. Also accumulates the weight gradients of the head
 * and the final norm (times scale).
 *
 *   sum = sum over rows of -log softmax(head(y))[target];  dy = scale * d sum / d y
 */
void rn_layer_stack_loss(rn_layer_stack *stack, const rn_pass *pass, rn_loss *loss);

/** Computes the logits [rows, N] of rows y [rows, D]; for decoding and tests. */
void rn_layer_stack_logits(rn_layer_stack *stack, const rn_real *params, int rows, const rn_real *y,
                           rn_real *logits);

/**
 * Computes the gradient of the unit's input, dx, from dy. Stores in the activations what
 * backward_weight needs. Accumulates the gradients of vectors (norms) and, on the first stage, of
 * the embedding. With pass->weights, also accumulates the gradients of matrices, layer by layer
 * while the layer's rows are in cache.
 *
 * Shapes:     dy [B, T, D] (overwritten); dx [B, T, D], may be dy, unused on the first stage.
 * Collective: over the ranks of pass->port and pass->rows (one REVERSE scan per retention layer,
 *             and the exchanges of each attention layer, last layer first).
 * Errors:     those of pass->port and pass->rows.
 */
rn_status rn_layer_stack_backward_input(rn_err *err, rn_layer_stack *stack, const rn_pass *pass,
                                        rn_real *dy, rn_real *dx);

/**
 * Accumulates the gradients of the unit's weight matrices; not collective. The activations may be
 * reused afterwards. Call it for units in the same order as backward_input. Does nothing if
 * backward_input has already accumulated these gradients, as it does with pass->weights or
 * RN_SAVE_INPUTS; such a backward_input must not be called while another unit's backward_weight is
 * outstanding.
 */
void rn_layer_stack_backward_weight(rn_layer_stack *stack, const rn_pass *pass);

/**
 * Computes deferred weight gradients of units whose backward_weight has not been called yet. Stops
 * when until.reached() returns true or no deferred gradient is left. Forward and backward_input do
 * the same while they wait for a state. The gradients do not depend on how many of them are
 * computed early. Layer groups are reported only in backward_weight.
 */
void rn_layer_stack_run_waiting_weights(rn_layer_stack *stack, rn_weight_queue_until until);

/** Returns the input rows [B, T, D] of `layer` in the last forward, or the output of the last layer
 * if layer = L. Not valid with RN_SAVE_NOTHING. */
const rn_real *rn_layer_stack_hidden(const rn_activations *activations, int layer);

#endif

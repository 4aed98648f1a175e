/**
 * A stage consists of the layers of one pipeline rank with their weights, gradients and
 * activations, in the memory of the device that computes them.
 *
 * Code outside model/ uses a stage only through this interface. To add a backend, fill
 * rn_stage_ops, as model/stage/stage_cpu.c does for the CPU, and select it with
 * rn_stage_backend_swap. Each call below documents what the backend must provide; the following
 * rules apply to all calls.
 *
 * Memory. The caller holds a pointer into the memory of a stage only between rn_stage_map and
 * rn_stage_unmap, and only into the range that it mapped. On the CPU, both calls cost nothing: map
 * returns the address of the data. Other devices copy the range to host memory, which they allocate
 * at creation, and back. Weights and their gradient may be in memory of the caller
 * (rn_stage_adopt_weights, rn_stage_adopt_gradient); moments and the optimizer's shards always
 * belong to the caller.
 *
 * States. Through the scan port of the pass, a stage receives the states before a segment and sends
 * the states after the segment. The port's begin, end and publish take host memory;
 * proto/ports/scan_port.h documents how long the port uses this memory. While the stage computes,
 * it may call the port's poll and, in reproducible mode, also test, end and publish.
 *
 * Threads. All calls come from the thread that created the stage, and the stage calls ports from
 * that thread only. While a stage computes, another thread may progress messages that access mapped
 * ranges, but no other thread calls the stage.
 *
 * Units. A unit is a pair (micro-batch, segment): the T tokens of one segment of each of B
 * sequences. The arrays in rn_unit are in host memory and are read during the call. Each unit in
 * flight has a slot, which holds its activations, its rows [B, T, D] and the gradient of its rows.
 * The tasks of a slot run in the order forward, loss (last stage only), backward_input,
 * backward_weight.
 *
 * Errors. Every call that may compute or copy returns a status; after an error other than
 * RN_ERR_USAGE, the caller may only destroy the stage.
 */
#ifndef RN_MODEL_STAGE_STAGE_H
#define RN_MODEL_STAGE_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/decode/decoder_shape.h"
#include "model/ops/grad_accumulator.h"
#include "model/pass/pass.h"
#include "model/spec/param.h"
#include "model/spec/spec.h"
#include "model/stage/stage_shape.h"
#include "proto/base/range.h"
#include "proto/base/status.h"
#include "proto/ports/layer_group_port.h"

typedef struct rn_stage_ops rn_stage_ops;

/** The part of a stage that is common to all backends: the first member of each backend's own
 * struct. */
typedef struct rn_stage {
  const rn_stage_ops *ops;
  const rn_param_table *table; /* parameter table of the stage's weights; owned by the backend */
} rn_stage;

/** The memory of one unit in flight; each backend has its own struct. */
typedef struct rn_stage_slot rn_stage_slot;

/** The options of a new slot. */
typedef struct rn_stage_slot_shape {
  rn_save_policy save;
  bool separate_gradient; /* true if the gradient of the rows has separate memory; if false, the
                             gradient overwrites the rows */
  /* NULL: the slot gets memory of its own. Otherwise `save` must be RN_SAVE_NOTHING, and the slot
   * shares the memory of `reuse`, which must outlive it. Tasks of either slot then invalidate the
   * contents of the other. */
  rn_stage_slot *reuse;
} rn_stage_slot_shape;

/** Selects how the weight gradients are summed over units; see model/ops/grad_accumulator.h. */
typedef enum { RN_GRADIENT_FLOAT, RN_GRADIENT_EXACT } rn_gradient_kind;

/* ---- map and unmap ---- */

/** The arrays of a stage that the caller can map. */
typedef enum {
  RN_STAGE_WEIGHTS,        /* float [total] */
  RN_STAGE_GRADIENT,       /* float [total]; with RN_GRADIENT_FLOAT */
  RN_STAGE_EXACT_GRADIENT, /* int64_t [total], multiples of 2^-52; with RN_GRADIENT_EXACT */
  RN_STAGE_ROWS, /* float [B, T, D] of a slot: the stage's input; after forward, its output */
  RN_STAGE_ROWS_GRADIENT /* float [B, T, D] of a slot: gradient of the stage's output; after
                            backward_input, gradient of the stage's input. Shares the memory of the
                            rows unless `separate_gradient` was set */
} rn_stage_array;

/** A region of memory: elements `range` of one array. */
typedef struct rn_stage_region {
  rn_stage_array array;
  rn_stage_slot *slot; /* slot, for ROWS and ROWS_GRADIENT; NULL for other arrays */
  rn_range range;
} rn_stage_region;

/** The purpose of a mapping. */
typedef enum {
  RN_ACCESS_READ = 1,      /* the caller reads the stage's data */
  RN_ACCESS_WRITE = 2,     /* the caller writes every element; the old contents are undefined */
  RN_ACCESS_READ_WRITE = 3 /* the caller changes the stage's data in place */
} rn_access;

/**
 * Maps a region for the caller: sets *out to the address of the first element, which is valid until
 * rn_stage_unmap with the same region and access.
 *
 * While a region is mapped for reading, the caller must not call the stage to change it; while it
 * is mapped for writing, the caller must not call the stage to use it at all. Regions that do not
 * overlap are independent; overlapping regions may both be mapped for reading.
 *
 * Errors: those of the device; none on the CPU.
 */
rn_status rn_stage_map(rn_err *err, rn_stage *stage, rn_stage_region region, rn_access access,
                       void **out);

/**
 * Ends a mapping. After a mapping of weights for writing, also updates what the stage derives from
 * the weights (on the CPU, the bf16 shadow: a copy of the weights in bf16). Errors: those of the
 * device; none on the CPU.
 */
rn_status rn_stage_unmap(rn_err *err, rn_stage *stage, rn_stage_region region, rn_access access);

/**
 * Sets the stage's weights in `range` to weights[range], where `weights` [total] is host memory.
 * Copies them unless the stage has adopted `weights`, and updates what the stage derives from them.
 * Implemented with map and unmap.
 */
rn_status rn_stage_write_weights(rn_err *err, rn_stage *stage, const float *weights,
                                 rn_range range);

/* ---- creation ---- */

/** The size of the rows that a stage passes to a row port (proto/ports/row_port.h). */
typedef struct rn_stage_row_size {
  int elements; /* elements of a row of gradients */
  size_t bytes; /* bytes of a row of keys and values */
} rn_stage_row_size;

/** Returns the size of the rows of the attention layers of a spec, which must have some. */
rn_stage_row_size rn_stage_measure_rows(const rn_spec *spec);

/** Memory for the weights of a stage, provided by the caller and possibly shared with other
 * ranks. */
typedef struct rn_weights_memory {
  float *weights; /* [total] */
  void *derived;  /* [rn_stage_derived_bytes], 64-byte aligned; NULL: the stage uses memory of its
                     own */
} rn_weights_memory;

/**
 * Creates a stage of the backend in use, without gradient, slots and decoders, which the calls
 * below create. The workspace of a save policy is allocated with the first slot of the policy. Only
 * calls that create objects allocate memory. Errors: RN_ERR_MEMORY.
 */
rn_status rn_stage_create(rn_err *err, const rn_spec *spec, rn_stage_shape shape, rn_stage **out);
/** Frees the stage. Destroy its slots first. Accepts NULL. */
void rn_stage_destroy(rn_stage **stage);

/** Computes the memory sizes of a stage without creating it, for rn_threads() threads. Errors:
 * RN_ERR_MEMORY. */
rn_status rn_stage_measure(rn_err *err, const rn_spec *spec, rn_stage_shape shape,
                           rn_stage_sizes *out);

/** Returns the parameter table of the stage's weights, which is owned by the stage. */
const rn_param_table *rn_stage_params(const rn_stage *stage);

/**
 * Returns the size in bytes of the data that the stage derives from its weights and that ranks with
 * the same weights may share (on the CPU, the bf16 shadow); 0 if there are none.
 */
size_t rn_stage_derived_bytes(const rn_stage *stage);

/**
 * Offers memory for the weights to the stage.
 *
 * If this returns true, the stage uses `memory` for its weights from now on. The caller still owns
 * the memory and may change the weights while the stage does not compute. After a change, unless
 * rn_stage_derived_bytes is 0, the caller calls rn_stage_write_weights; ranks that share the memory
 * may each write a part of the range. If this returns false, the stage keeps its own weights and
 * does not use `memory`; the caller must pass every change to rn_stage_write_weights. A stage on
 * the CPU has no weights of its own and always returns true.
 */
bool rn_stage_adopt_weights(rn_stage *stage, rn_weights_memory memory);

/**
 * Offers memory for the gradient that the next rn_stage_create_gradient creates: a zeroed, 64-byte
 * aligned array [total] of the gradient's element type.
 *
 * If this returns true, the stage uses `memory`, which the caller still owns and which must outlive
 * the stage; mapping the gradient then returns addresses in it. If this returns false, the stage
 * does not use `memory`.
 */
bool rn_stage_adopt_gradient(rn_stage *stage, void *memory);

/**
 * Creates the gradient of the weights. Must be called before the backward calls and before
 * rn_stage_loss with loss->gradient. For EXACT, `reduction_blocks` is the number of reduction
 * blocks in a step, over all ranks.
 * Errors: RN_ERR_MEMORY.
 */
rn_status rn_stage_create_gradient(rn_err *err, rn_stage *stage, rn_gradient_kind kind,
                                   int64_t reduction_blocks);

/** Creates a slot for units up to the stage's maximum size. Errors: RN_ERR_MEMORY. */
rn_status rn_stage_slot_create(rn_err *err, rn_stage *stage, rn_stage_slot_shape shape,
                               rn_stage_slot **out);
/** Frees the slot. Accepts NULL. */
void rn_stage_slot_destroy(rn_stage *stage, rn_stage_slot **slot);

/**
 * Attaches a port for layer groups (embedding, each layer, head; proto/ports/layer_group_port.h).
 * From now on, forward waits at `port` for each layer group before it reads the group's weights.
 * Backward reports each layer group whose gradient it has accumulated, in order from the last layer
 * to the embedding. For the head's group, the caller waits and reports. The port's wait() may map
 * the group's weights for writing; its added() may map the group's gradient for reading.
 */
void rn_stage_attach(rn_stage *stage, rn_layer_group_port port);

/* ---- the tasks of a unit ---- */

/** Starts a step: sets the gradient to zero. No part of the gradient may be mapped. */
rn_status rn_stage_start_gradient(rn_err *err, rn_stage *stage);

/** True if a gradient sum of this step is not finite or might have overflowed; for
 * RN_GRADIENT_EXACT only. */
bool rn_stage_gradient_overflowed(const rn_stage *stage);

/*
 * The caller leaves the fields params, activations and accumulator of the passes below unset; the
 * CPU backend sets them.
 */

/**
 * Applies the stage's layers to the slot's rows in place; on the first stage, applies them to the
 * unit's tokens and writes the slot's rows. On the last stage, the results are the rows before the
 * final norm.
 *
 * Collective: over the ranks of pass->port and pass->rows (one FORWARD scan per retention layer,
 *             and one exchange per attention layer, in layer order).
 * Errors:     those of pass->port, pass->rows and the layer group port, and of
 *             rn_block_retention_forward.
 */
rn_status rn_stage_forward(rn_err *err, rn_stage *stage, rn_stage_slot *slot, const rn_pass *pass);

/**
 * The loss of all or some rows of a unit: the sum of the losses of the rows, computed in double in
 * row order.
 */
typedef struct rn_unit_loss {
  const rn_unit *unit; /* determines the targets and the number of rows */
  int64_t first_row;   /* index of the first of these rows in the slot */
  bool gradient; /* if true, sets the slot's gradient of these rows to scale * d sum / d rows */
  double scale;
  double sum;        /* output */
  float *token_loss; /* output: loss of each row, in host memory; may be NULL */
} rn_unit_loss;

/**
 * Computes final norm, vocabulary head and cross-entropy on the last stage. With loss->gradient,
 * also accumulates the weight gradients of the head and the final norm.
 */
rn_status rn_stage_loss(rn_err *err, rn_stage *stage, rn_stage_slot *slot, rn_unit_loss *loss);

/** Computes the logits [rn_range_count(rows), N] of rows `rows` of the slot, in host memory. */
rn_status rn_stage_logits(rn_err *err, rn_stage *stage, rn_stage_slot *slot, rn_range rows,
                          float *logits);

/**
 * Computes the gradient of the stage's input from the gradient of its output, in place: both are in
 * the slot's RN_STAGE_ROWS_GRADIENT. Accumulates the gradients of vectors (norms) and, on the first
 * stage, of the embedding. With pass->weights, also accumulates the gradients of matrices.
 *
 * Collective: over the ranks of pass->port and pass->rows (one REVERSE scan per retention layer,
 *             and the exchanges of each attention layer, last layer first).
 * Errors:     those of pass->port and pass->rows.
 */
rn_status rn_stage_backward_input(rn_err *err, rn_stage *stage, rn_stage_slot *slot,
                                  const rn_pass *pass);

/**
 * Accumulates the gradients of the unit's weight matrices; not collective. The slot may be reused
 * afterwards. Call it for units in the same order as backward_input. Does nothing if backward_input
 * has already accumulated these gradients, as it does with pass->weights or RN_SAVE_INPUTS.
 */
rn_status rn_stage_backward_weight(rn_err *err, rn_stage *stage, rn_stage_slot *slot,
                                   const rn_pass *pass);

/** A condition that ends rn_stage_run_waiting_weights, for example the arrival of a message.
 * `reached` is called on the caller's thread before the work begins, and then after each task of
 * that thread, that is, at least every few milliseconds. */
typedef struct rn_stage_until {
  void *self;
  bool (*reached)(void *self);
} rn_stage_until;

/**
 * Computes deferred weight gradients of units whose backward_weight has not been called yet. Stops
 * when until.reached() returns true or no deferred gradient is left. A caller that would otherwise
 * wait can call this, so that backward_weight has less to do. The gradients do not depend on how
 * many of them are computed early. Layer groups are reported only in backward_weight. A backend may
 * return immediately.
 */
rn_status rn_stage_run_waiting_weights(rn_err *err, rn_stage *stage, rn_stage_until until);

/* ---- decoding ---- */

/** A decoder (model/decode/decode.h) of a stage that holds the whole model. */
typedef struct rn_stage_decoder rn_stage_decoder;

/**
 * Creates a decoder; every sequence is at its start. With shape.bf16, first rounds the stage's
 * matrices to bf16 in place, even if the stage has adopted them, so that the stage and the decoder
 * use the same weights. The weights must not change while the decoder exists. Errors:
 * RN_ERR_MEMORY.
 */
rn_status rn_stage_decoder_create(rn_err *err, rn_stage *stage, rn_decoder_shape shape,
                                  rn_stage_decoder **out);
/** Frees the decoder; the stage must still exist. Accepts NULL. */
void rn_stage_decoder_destroy(rn_stage *stage, rn_stage_decoder **decoder);

/** Resets a sequence to its start. */
void rn_stage_decoder_reset(rn_stage *stage, rn_stage_decoder *decoder, int sequence);

/** The next tokens of one sequence; arrays are in host memory. */
typedef struct rn_decoder_prompt {
  int sequence;         /* index of the sequence */
  const int32_t *token; /* [count] */
  int64_t count;        /* at least 1 */
  float *logits;        /* [N], output: logits of the token that follows the last one */
} rn_decoder_prompt;

/** Processes the tokens of a prompt, starting from the current state of the sequence, by forward
 * passes in the memory of `slot`. */
rn_status rn_stage_decoder_prefill(rn_err *err, rn_stage *stage, rn_stage_slot *slot,
                                   rn_stage_decoder *decoder, rn_decoder_prompt prompt);

/** Returns the number of bytes that rn_stage_decoder_save writes for a sequence. */
size_t rn_stage_decoder_saved_bytes(rn_stage *stage, rn_stage_decoder *decoder, int sequence);
/** Writes the state of a sequence to host memory; see rn_decoder_save (model/decode/decode.h). */
rn_status rn_stage_decoder_save(rn_err *err, rn_stage *stage, rn_stage_decoder *decoder,
                                int sequence, void *to);
/** Returns the position of the next token, read from the bytes that rn_stage_decoder_save wrote; a
 * negative number if the bytes contain no valid position. */
int64_t rn_stage_saved_position(const void *saved, size_t bytes);
/** Sets a sequence to a saved state. Errors: the same as for rn_decoder_load. */
rn_status rn_stage_decoder_load(rn_err *err, rn_stage *stage, rn_stage_decoder *decoder,
                                int sequence, const void *from, size_t bytes);

/** The next token of each of several sequences. Shapes: sequence, token [count]; logits [count,
 * N]; all in host memory. */
typedef struct rn_decoder_tokens {
  int count;
  const int *sequence;  /* indices of the sequences; distinct */
  const int32_t *token; /* next token of each sequence */
  float *logits;        /* output: logits of the token that follows `token` */
} rn_decoder_tokens;

/** Processes one token of each sequence in `tokens` and computes the logits. */
rn_status rn_stage_decoder_step(rn_err *err, rn_stage *stage, rn_stage_decoder *decoder,
                                rn_decoder_tokens tokens);

/* ---- backends ---- */

/** The calls of a backend. Each member <name> is documented at the function rn_stage_<name>
 * above. */
struct rn_stage_ops {
  const char *name;
  /** Must also set (*out)->ops and (*out)->table. */
  rn_status (*create)(rn_err *err, const rn_spec *spec, rn_stage_shape shape, rn_stage **out);
  void (*destroy)(rn_stage *stage);
  rn_status (*measure)(rn_err *err, const rn_spec *spec, rn_stage_shape shape, rn_stage_sizes *out);
  size_t (*derived_bytes)(const rn_stage *stage);
  bool (*adopt_weights)(rn_stage *stage, rn_weights_memory memory);
  bool (*adopt_gradient)(rn_stage *stage, void *memory);
  rn_status (*create_gradient)(rn_err *err, rn_stage *stage, rn_gradient_kind kind,
                               int64_t reduction_blocks);
  rn_status (*slot_create)(rn_err *err, rn_stage *stage, rn_stage_slot_shape shape,
                           rn_stage_slot **out);
  void (*slot_destroy)(rn_stage *stage, rn_stage_slot *slot);
  void (*attach)(rn_stage *stage, rn_layer_group_port port);

  rn_status (*map)(rn_err *err, rn_stage *stage, rn_stage_region region, rn_access access,
                   void **out);
  rn_status (*unmap)(rn_err *err, rn_stage *stage, rn_stage_region region, rn_access access);

  rn_status (*start_gradient)(rn_err *err, rn_stage *stage);
  bool (*gradient_overflowed)(const rn_stage *stage);
  rn_status (*forward)(rn_err *err, rn_stage *stage, rn_stage_slot *slot, const rn_pass *pass);
  rn_status (*loss)(rn_err *err, rn_stage *stage, rn_stage_slot *slot, rn_unit_loss *loss);
  rn_status (*logits)(rn_err *err, rn_stage *stage, rn_stage_slot *slot, rn_range rows,
                      float *logits);
  rn_status (*backward_input)(rn_err *err, rn_stage *stage, rn_stage_slot *slot,
                              const rn_pass *pass);
  rn_status (*backward_weight)(rn_err *err, rn_stage *stage, rn_stage_slot *slot,
                               const rn_pass *pass);
  rn_status (*run_waiting_weights)(rn_err *err, rn_stage *stage, rn_stage_until until);

  rn_status (*decoder_create)(rn_err *err, rn_stage *stage, rn_decoder_shape shape,
                              rn_stage_decoder **out);
  void (*decoder_destroy)(rn_stage *stage, rn_stage_decoder *decoder);
  void (*decoder_reset)(rn_stage *stage, rn_stage_decoder *decoder, int sequence);
  rn_status (*decoder_prefill)(rn_err *err, rn_stage *stage, rn_stage_slot *slot,
                               rn_stage_decoder *decoder, rn_decoder_prompt prompt);
  size_t (*decoder_saved_bytes)(rn_stage *stage, rn_stage_decoder *decoder, int sequence);
  rn_status (*decoder_save)(rn_err *err, rn_stage *stage, rn_stage_decoder *decoder, int sequence,
                            void *to);
  rn_status (*decoder_load)(rn_err *err, rn_stage *stage, rn_stage_decoder *decoder, int sequence,
                            const void *from, size_t bytes);
  rn_status (*decoder_step)(rn_err *err, rn_stage *stage, rn_stage_decoder *decoder,
                            rn_decoder_tokens tokens);
};

/** The CPU backend, which is in use unless another one is selected. */
extern const rn_stage_ops rn_stage_cpu;

/** Uses `ops` for stages that are created from now on; returns the previous backend. Existing
 * stages keep their backend. */
const rn_stage_ops *rn_stage_backend_swap(const rn_stage_ops *ops);

#endif

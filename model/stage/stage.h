/**
 * A stage: the layers of one pipeline rank with their weights, gradients and activations, in the
 * memory of the hardware that computes them.
 *
 * Everything above the model uses a stage through this interface only. A new backend begins here:
 * it fills rn_stage_ops, as model/stage/stage_cpu.c does for the CPU, and is chosen by
 * rn_stage_backend_swap. What it must provide is written at each call below; the rest holds for all
 * calls.
 *
 * Memory. The caller never holds a pointer into the memory of a stage, except between rn_stage_map
 * and rn_stage_unmap, and only into the range that it named. On the CPU both cost nothing: map
 * returns the address of the data. A device copies to host memory that it has reserved at creation,
 * and back. Weights may be in memory of the caller (rn_stage_adopt_weights); moments and the
 * optimizer's shards are the caller's alone.
 *
 * States. A stage obtains the states before a segment, and passes on those after it, through the
 * scan port of the pass: begin, end and publish take host memory, which the port uses until its
 * call contract says that it is done (proto/ports/scan_port.h). poll may be called while the stage
 * computes, and in reproducible mode test, end and publish, too.
 *
 * Threads. All calls come from the thread that created the stage, and the stage calls ports from
 * that thread only. While a stage computes, another thread may progress messages, which access
 * mapped ranges; no other thread enters the stage.
 *
 * Units. A unit is (micro-batch, segment): B sequences times the T tokens of one segment. Its
 * arrays in rn_unit are host memory, read during the call. Each unit in flight has a slot: its
 * activations, its rows and the gradient of its rows, [B, T, D]. Tasks of a slot follow one another
 * as forward, loss (last stage), backward_input, backward_weight.
 *
 * Errors. Every call that may compute or copy returns a status; after an error other than
 * RN_ERR_USAGE the stage can only be destroyed.
 */
#ifndef RN_MODEL_STAGE_STAGE_H
#define RN_MODEL_STAGE_STAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/ops/grad_accumulator.h"
#include "model/pass/pass.h"
#include "model/spec/param.h"
#include "model/spec/spec.h"
#include "model/stage/stage_shape.h"
#include "proto/base/range.h"
#include "proto/base/status.h"
#include "proto/ports/layer_group_port.h"

typedef struct rn_stage_ops rn_stage_ops;

/** The part of a stage that all backends have: the first member of a backend's own struct. */
typedef struct rn_stage {
  const rn_stage_ops *ops;
  const rn_param_table *table; /* of the stage's weights; owned by the backend */
} rn_stage;

/** The memory of one unit in flight; each backend has its own struct. */
typedef struct rn_stage_slot rn_stage_slot;

/** How to create a slot. */
typedef struct rn_stage_slot_shape {
  rn_save_policy save;
  bool separate_gradient; /* the gradient of the rows has its own memory; else it replaces them */
  rn_stage_slot *reuse; /* RN_SAVE_NOTHING: uses the memory of this slot, which lives longer. Tasks
                           of either slot invalidate the contents of the other. NULL: own memory */
} rn_stage_slot_shape;

/** How the gradient of the weights is summed over units (model/ops/grad_accumulator.h). */
typedef enum { RN_GRADIENT_FLOAT, RN_GRADIENT_EXACT } rn_gradient_kind;

/* ---- map and unmap ---- */

/** The arrays of a stage that the caller can map. */
typedef enum {
  RN_STAGE_WEIGHTS,        /* float [total] */
  RN_STAGE_GRADIENT,       /* float [total]; with RN_GRADIENT_FLOAT */
  RN_STAGE_EXACT_GRADIENT, /* int64_t [total], multiples of 2^-52; with RN_GRADIENT_EXACT */
  RN_STAGE_ROWS, /* float [B, T, D] of a slot: the stage's input, after forward its output */
  RN_STAGE_ROWS_GRADIENT /* float [B, T, D] of a slot: of the output, after backward_input of the
                            input; the same memory as the rows unless separate_gradient */
} rn_stage_array;

/** Elements `range` of one array. */
typedef struct rn_stage_region {
  rn_stage_array array;
  rn_stage_slot *slot; /* of ROWS and ROWS_GRADIENT; else NULL */
  rn_range range;
} rn_stage_region;

/** Direction of a mapping, as seen by the caller. */
typedef enum {
  RN_ACCESS_READ = 1,      /* the caller reads the stage's data */
  RN_ACCESS_WRITE = 2,     /* the caller writes every element; the old contents are undefined */
  RN_ACCESS_READ_WRITE = 3 /* the caller changes the stage's data in place */
} rn_access;

/**
 * Maps a region for the caller: *out is the address of its first element, valid until
 * rn_stage_unmap with the same region and access.
 *
 * While a region is mapped for reading, the stage may read it and must not be asked to change it;
 * while it is mapped for writing, the stage must not be asked to use it. Regions that do not
 * overlap are independent, and overlapping ones may both be mapped for reading.
 *
 * Errors: those of the device; none on the CPU.
 */
rn_status rn_stage_map(rn_err *err, rn_stage *stage, rn_stage_region region, rn_access access,
                       void **out);

/**
 * Ends a mapping. After a mapping of weights for writing, the stage also updates what it derives
 * from them (on the CPU the bf16 shadow). Errors: those of the device; none on the CPU.
 */
rn_status rn_stage_unmap(rn_err *err, rn_stage *stage, rn_stage_region region, rn_access access);

/**
 * The stage's weights in `range` = weights[range]; `weights` [total] is host memory. Copies unless
 * the stage has adopted `weights`, and updates what it derives from them. Built on map and unmap.
 */
rn_status rn_stage_write_weights(rn_err *err, rn_stage *stage, const float *weights,
                                 rn_range range);

/* ---- creation ---- */

/** Memory for the weights of a stage, given by the caller; other ranks may use the same. */
typedef struct rn_weights_memory {
  float *weights; /* [total] */
  void *derived;  /* rn_stage_derived_bytes, 64-byte aligned; NULL: the stage's own */
} rn_weights_memory;

/**
 * Creates a stage of the backend in use; the gradient, slots and decoders are created by the calls
 * below. The workspace of a save policy is allocated with the first slot that has it. Calls that
 * create nothing do not allocate memory. Errors: RN_ERR_MEMORY.
 */
rn_status rn_stage_create(rn_err *err, const rn_spec *spec, rn_stage_shape shape, rn_stage **out);
/** Frees the stage; its slots must have been destroyed before. Takes NULL. */
void rn_stage_destroy(rn_stage **stage);

/** The sizes of the stage that rn_stage_create would make, for the threads of this process. Errors:
 * RN_ERR_MEMORY. */
rn_status rn_stage_measure(rn_err *err, const rn_spec *spec, rn_stage_shape shape,
                           rn_stage_sizes *out);

/** The parameter table of the stage's weights; owned by the stage. */
const rn_param_table *rn_stage_params(const rn_stage *stage);

/**
 * Bytes that the stage derives from its weights and that ranks with the same weights may share (on
 * the CPU the bf16 shadow); 0: none.
 */
size_t rn_stage_derived_bytes(const rn_stage *stage);

/**
 * Offers memory for the weights. True: the stage uses it instead of its own from now on. The
 * caller keeps it, may change the weights while the stage does not compute, and then calls
 * rn_stage_write_weights, unless rn_stage_derived_bytes is 0; ranks that share the memory may
 * divide the range among them. False: the stage keeps its own weights, and `memory` stays unused:
 * every change must be written to the stage. A stage on the CPU has no weights of its own and
 * always adopts.
 */
bool rn_stage_adopt_weights(rn_stage *stage, rn_weights_memory memory);

/**
 * Creates the gradient of the weights; needed by the loss's gradient and backward. EXACT:
 * `reduction_blocks` is their number in a step, over all ranks. Errors: RN_ERR_MEMORY.
 */
rn_status rn_stage_create_gradient(rn_err *err, rn_stage *stage, rn_gradient_kind kind,
                                   int64_t reduction_blocks);

/** Creates a slot for the stage's largest unit. Errors: RN_ERR_MEMORY. */
rn_status rn_stage_slot_create(rn_err *err, rn_stage *stage, rn_stage_slot_shape shape,
                               rn_stage_slot **out);
/** Takes NULL. */
void rn_stage_slot_destroy(rn_stage *stage, rn_stage_slot **slot);

/**
 * From now on forward waits at `port` for each layer group before it reads the weights, and
 * backward reports each layer group whose gradient it has accumulated: the last layer first, the
 * embedding last. For the head's group the caller waits and reports. In wait the caller may map
 * the group's weights for writing, in added the group's gradient for reading.
 */
void rn_stage_attach(rn_stage *stage, rn_layer_group_port port);

/* ---- the tasks of a unit ---- */

/** Starts a step: sets the gradient to zero. No part of it is mapped. */
rn_status rn_stage_start_gradient(rn_err *err, rn_stage *stage);

/** EXACT: true if a sum of this step is not finite or may not fit. */
bool rn_stage_gradient_overflowed(const rn_stage *stage);

/*
 * In the passes that the caller makes, params, activations and accumulator are not set: they are
 * members that the CPU backend fills in for its layers.
 */

/**
 * The slot's rows = the stage's layers applied to the slot's rows (on a first stage: to the unit's
 * tokens). On a last stage the results are the rows before the final norm.
 *
 * Collective: over the ranks of pass->port (one FORWARD scan per layer, in layer order).
 * Errors:     those of pass->port, of the layer group port, and of rn_block_retention_forward.
 */
rn_status rn_stage_forward(rn_err *err, rn_stage *stage, rn_stage_slot *slot, const rn_pass *pass);

/**
 * The loss of the rows of a unit, or of a part of one: sum of the rows' losses, in double, in row
 * order.
 */
typedef struct rn_unit_loss {
  const rn_unit *unit; /* whose targets and number of rows count */
  int64_t first_row;   /* in the slot */
  bool gradient;       /* the slot's gradient of these rows = scale * d sum / d rows */
  double scale;
  double sum;        /* output */
  float *token_loss; /* output: the loss of each row, in host memory; or NULL */
} rn_unit_loss;

/**
 * Final norm, vocabulary head and cross-entropy of a last stage. With loss->gradient also
 * accumulates the gradients of the weights of the head and the final norm.
 */
rn_status rn_stage_loss(rn_err *err, rn_stage *stage, rn_stage_slot *slot, rn_unit_loss *loss);

/** logits [rn_range_count(rows), N], in host memory, of these rows of the slot. */
rn_status rn_stage_logits(rn_err *err, rn_stage *stage, rn_stage_slot *slot, rn_range rows,
                          float *logits);

/**
 * The gradient of the slot's rows, from that of the stage's output to that of its input.
 * Accumulates the gradients of vectors (norms) and, on a first stage, of the embedding; with
 * pass->weights also those of matrices.
 *
 * Collective: over the ranks of pass->port (one REVERSE scan per layer, last layer first).
 * Errors:     those of pass->port.
 */
rn_status rn_stage_backward_input(rn_err *err, rn_stage *stage, rn_stage_slot *slot,
                                  const rn_pass *pass);

/**
 * Accumulates the gradients of the unit's weight matrices; local. The slot is free afterwards. Does
 * nothing if backward_input has already done so: with pass->weights or RN_SAVE_INPUTS.
 */
rn_status rn_stage_backward_weight(rn_err *err, rn_stage *stage, rn_stage_slot *slot,
                                   const rn_pass *pass);

/* ---- decoding ---- */

/** A decoder of a stage that is a whole model (model/decode/decode.h). */
typedef struct rn_stage_decoder rn_stage_decoder;

/**
 * Creates a decoder for at most `sequences` sequences, each at its start. With `bf16` it first
 * rounds the stage's matrices to bf16, for the stage and the decoder alike (adopted weights, too).
 * The weights must not change while the decoder exists. Errors: RN_ERR_MEMORY.
 */
rn_status rn_stage_decoder_create(rn_err *err, rn_stage *stage, int sequences, bool bf16,
                                  rn_stage_decoder **out);
/** Takes NULL; the stage must still exist. */
void rn_stage_decoder_destroy(rn_stage *stage, rn_stage_decoder **decoder);

/** Sets the state [H, K, V] of a sequence in `layer`, from host memory. */
rn_status rn_stage_decoder_write_state(rn_err *err, rn_stage *stage, rn_stage_decoder *decoder,
                                       int sequence, int layer, const float *state);

/** Sets the position of the sequence's next token; the sequence is one document. */
void rn_stage_decoder_set_position(rn_stage *stage, rn_stage_decoder *decoder, int sequence,
                                   int64_t position);

/** One token for each of several sequences. Shapes: sequence, token [count]; logits [count, N]; all
 * in host memory. */
typedef struct rn_decoder_tokens {
  int count;
  const int *sequence;  /* distinct */
  const int32_t *token; /* the next token of each */
  float *logits;        /* output: the logits after it */
} rn_decoder_tokens;

/** Decodes one token of each of these sequences. */
rn_status rn_stage_decoder_step(rn_err *err, rn_stage *stage, rn_stage_decoder *decoder,
                                rn_decoder_tokens tokens);

/* ---- backends ---- */

/** The calls of a backend. Each does what the function rn_stage_<name> above says. */
struct rn_stage_ops {
  const char *name;
  /** Sets (*out)->ops and (*out)->table, too. */
  rn_status (*create)(rn_err *err, const rn_spec *spec, rn_stage_shape shape, rn_stage **out);
  void (*destroy)(rn_stage *stage);
  rn_status (*measure)(rn_err *err, const rn_spec *spec, rn_stage_shape shape, rn_stage_sizes *out);
  size_t (*derived_bytes)(const rn_stage *stage);
  bool (*adopt_weights)(rn_stage *stage, rn_weights_memory memory);
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

  rn_status (*decoder_create)(rn_err *err, rn_stage *stage, int sequences, bool bf16,
                              rn_stage_decoder **out);
  void (*decoder_destroy)(rn_stage *stage, rn_stage_decoder *decoder);
  rn_status (*decoder_write_state)(rn_err *err, rn_stage *stage, rn_stage_decoder *decoder,
                                   int sequence, int layer, const float *state);
  void (*decoder_set_position)(rn_stage *stage, rn_stage_decoder *decoder, int sequence,
                               int64_t position);
  rn_status (*decoder_step)(rn_err *err, rn_stage *stage, rn_stage_decoder *decoder,
                            rn_decoder_tokens tokens);
};

/** The CPU backend, in use unless another one is chosen. */
extern const rn_stage_ops rn_stage_cpu;

/** Creates stages with `ops` from now on; returns the previous backend. Existing stages keep
 * theirs. */
const rn_stage_ops *rn_stage_backend_swap(const rn_stage_ops *ops);

#endif

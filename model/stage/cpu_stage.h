/** Declares what the files of the CPU backend share: the stage, its slots, and the functions of
 * rn_stage_ops that concern decoders. */
#ifndef RN_MODEL_STAGE_CPU_STAGE_H
#define RN_MODEL_STAGE_CPU_STAGE_H

#include "model/ops/grad_accumulator.h"
#include "model/stage/layer_stack.h"
#include "model/stage/stage.h"

typedef struct rn_cpu_stage {
  rn_stage base;
  rn_layer_stack *layers;
  rn_spec spec;
  int max_tokens;       /* maximum T of a unit */
  size_t slot_elements; /* [B, T, D] */
  float *weights;       /* [total], adopted */
  void *gradient;       /* memory from rn_stage_adopt_gradient; NULL: the stage allocates its own */
  rn_grad_accumulator accumulator;
} rn_cpu_stage;

typedef struct rn_cpu_slot {
  rn_activations *activations;
  float *gradient; /* [B, T, D]; shares the memory of the rows unless `separate_gradient` was set */
} rn_cpu_slot;

/** Casts the stage to the type of the backend. */
static inline rn_cpu_stage *rn_cpu_stage_of(rn_stage *stage) {
  return (rn_cpu_stage *)stage;
}

/** Casts the slot to the type of the backend. */
static inline rn_cpu_slot *rn_cpu_slot_of(rn_stage_slot *slot) {
  return (rn_cpu_slot *)slot;
}

/** Implements rn_stage_decoder_create. */
rn_status rn_cpu_decoder_create(rn_err *err, rn_stage *stage, rn_decoder_shape shape,
                                rn_stage_decoder **out);
/** Implements rn_stage_decoder_destroy. */
void rn_cpu_decoder_destroy(rn_stage *stage, rn_stage_decoder *decoder);
/** Implements rn_stage_decoder_reset. */
void rn_cpu_decoder_reset(rn_stage *stage, rn_stage_decoder *decoder, int sequence);
/** Implements rn_stage_decoder_prefill. */
rn_status rn_cpu_decoder_prefill(rn_err *err, rn_stage *stage, rn_stage_slot *slot,
                                 rn_stage_decoder *decoder, rn_decoder_prompt prompt);
/** Implements rn_stage_decoder_saved_bytes. */
size_t rn_cpu_decoder_saved_bytes(rn_stage *stage, rn_stage_decoder *decoder, int sequence);
/** Implements rn_stage_decoder_save. */
rn_status rn_cpu_decoder_save(rn_err *err, rn_stage *stage, rn_stage_decoder *decoder, int sequence,
                              void *to);
/** Implements rn_stage_decoder_load. */
rn_status rn_cpu_decoder_load(rn_err *err, rn_stage *stage, rn_stage_decoder *decoder, int sequence,
                              const void *from, size_t bytes);
/** Implements rn_stage_decoder_step. */
rn_status rn_cpu_decoder_step(rn_err *err, rn_stage *stage, rn_stage_decoder *decoder,
                              rn_decoder_tokens tokens);

#endif

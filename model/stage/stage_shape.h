/** Defines the shape of a stage, and the sizes of the memory that the stage needs. */
#ifndef RN_MODEL_STAGE_STAGE_SHAPE_H
#define RN_MODEL_STAGE_STAGE_SHAPE_H

#include <stddef.h>
#include <stdint.h>

#include "model/memory/buffer_plan.h"

/** The shape of a stage: layers first_layer .. last_layer - 1, and units of at most B sequences and
 * T tokens. */
typedef struct rn_stage_shape {
  int first_layer, last_layer;
  int max_sequences, max_tokens;
  uint64_t seed; /* seed of dropout */
  /* for the backward of attention layers: number of tokens of the longest sequence; 0: units hold
   * whole sequences */
  int max_keys;
} rn_stage_shape;

/** The memory sizes of a stage. */
typedef struct rn_stage_sizes {
  int64_t parameters;
  size_t work_bytes;
  size_t copy_bytes;                         /* bytes of the copy of the weights in bf16 */
  size_t activation_bytes[RN_SAVE_POLICIES]; /* bytes of one rn_activations */
  size_t workspace_bytes[RN_SAVE_POLICIES];  /* bytes of the workspace; allocated once per stage */
  rn_buffer_plan buffers[RN_SAVE_POLICIES];  /* the buffers in the activations and the workspace */
} rn_stage_sizes;

#endif

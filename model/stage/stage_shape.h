/** The size of a stage, and the memory that it needs. */
#ifndef RN_MODEL_STAGE_STAGE_SHAPE_H
#define RN_MODEL_STAGE_STAGE_SHAPE_H

#include <stddef.h>
#include <stdint.h>

#include "model/memory/buffer_plan.h"

/** The size of a stage: layers first .. last-1, units of at most B sequences, T tokens. */
typedef struct rn_stage_shape {
  int first_layer, last_layer;
  int max_sequences, max_tokens;
  uint64_t seed; /* of dropout */
} rn_stage_shape;

/** Sizes of a stage. */
typedef struct rn_stage_sizes {
  int64_t parameters;
  size_t work_bytes;
  size_t copy_bytes;                         /* of the bf16 shadow */
  size_t activation_bytes[RN_SAVE_POLICIES]; /* of one rn_activations */
  size_t workspace_bytes[RN_SAVE_POLICIES];  /* once per stage, if used by any rn_activations */
  rn_buffer_plan buffers[RN_SAVE_POLICIES];  /* where these bytes go */
} rn_stage_sizes;

#endif

/** Defines the capacity of a decoder. */
#ifndef RN_MODEL_DECODE_DECODER_SHAPE_H
#define RN_MODEL_DECODE_DECODER_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct rn_decoder_shape {
  int slots;          /* number of sequences */
  int64_t max_tokens; /* maximum length of a sequence, including the prompt; the memory of attention
                         layers depends on it */
  bool bf16; /* true: products read weight matrices in bf16, which halves the memory traffic */
} rn_decoder_shape;

#endif

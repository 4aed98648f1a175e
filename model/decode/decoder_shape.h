/** What a decoder has room for. */
#ifndef RN_MODEL_DECODE_DECODER_SHAPE_H
#define RN_MODEL_DECODE_DECODER_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct rn_decoder_shape {
  int slots;          /* number of sequences */
  int64_t max_tokens; /* length of the longest sequence, prompt included; only attention layers
                         need memory for it */
  bool bf16;          /* products read weight matrices in bf16, which halves the memory traffic */
} rn_decoder_shape;

#endif

/** A unit of work of a stage: (micro-batch, segment). */
#ifndef RN_MODEL_PASS_UNIT_H
#define RN_MODEL_PASS_UNIT_H

#include <stdint.h>

/** One segment of a few sequences. Arrays are [B, T] unless noted; not owned. */
typedef struct rn_unit {
  int sequences;                 /* B */
  int tokens;                    /* T of this segment; may be 0 */
  int reduction_block;           /* reproducible mode: tokens of a reduction block; else 0 */
  const int32_t *input;          /* token ids; read by a first stage only */
  const int32_t *target;         /* read by a last stage only */
  const int32_t *doc_position;   /* tokens since the document or sequence began, 0 at its first */
  const int64_t *sequence_index; /* [B]: global index of each sequence, a key of dropout */
  int64_t position;              /* of the segment's first token in its sequence */
  int64_t step;                  /* a key of dropout */
} rn_unit;

#endif

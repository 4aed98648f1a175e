/** A unit of work of a stage: (micro-batch, segment). */
#ifndef RN_MODEL_PASS_UNIT_H
#define RN_MODEL_PASS_UNIT_H

#include <stdint.h>

/** One piece of a few sequences. All arrays are [B, T] unless said; not owned. */
typedef struct rn_unit {
  int sequences;         /* B */
  int tokens;            /* T of this piece; may be 0 */
  int leaf;              /* reproducible mode: tokens of a leaf; 0 elsewhere */
  const int32_t *input;  /* token ids; read by a first stage only */
  const int32_t *target; /* read by a last stage only */
  const int32_t *since;  /* tokens since the document (or the sequence) began, 0 at its first */
  const int64_t *sequence_number; /* [B] global sequence numbers: the key of dropout */
  int64_t position;               /* of the piece's first token in its sequence */
  int64_t step;                   /* the key of dropout */
} rn_unit;

#endif

/** Defines the unit of work of a stage: one segment of one micro-batch. */
#ifndef RN_MODEL_PASS_UNIT_H
#define RN_MODEL_PASS_UNIT_H

#include <stdint.h>

/** A unit: one segment (T consecutive tokens) of each of the B sequences of a micro-batch. Arrays
 * are [B, T] unless noted, and not owned. */
typedef struct rn_unit {
  int sequences;         /* B */
  int tokens;            /* T, the tokens per sequence in this segment; may be 0 */
  int reduction_block;   /* reproducible mode: tokens of a reduction block (rows.h); else 0 */
  const int32_t *input;  /* token ids; read only by the first stage */
  const int32_t *target; /* token ids to predict; read only by the last stage */
  /* tokens since the start of the document or sequence; 0 at the first token */
  const int32_t *doc_position;
  const int64_t *sequence_index; /* [B]: global index of each sequence; part of the dropout key */
  int64_t position;              /* position of the segment's first token in the sequence */
  int64_t step;                  /* optimizer step; part of the dropout key */
} rn_unit;

#endif

/** The tokens of a text that is being generated. */
#ifndef RN_TRAINER_GENERATE_SEQUENCE_H
#define RN_TRAINER_GENERATE_SEQUENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/status.h"

/** Zero-initialise; free with rn_sequence_free. */
typedef struct rn_sequence {
  int32_t *token; /* [count], given and drawn */
  int64_t count;
  size_t capacity;
  int64_t read;  /* number of tokens at the front that the model has read into its state */
  int64_t draws; /* number of tokens that were drawn; selects the random number of the next one */
  bool drawn;    /* the last token was drawn, not given */
  bool ended;    /* the last token is the drawn document token that ended the completion */
  uint64_t seed;
} rn_sequence;

/** Appends a drawn token. Errors: RN_ERR_MEMORY. */
rn_status rn_sequence_draw(rn_err *err, rn_sequence *sequence, int32_t token);

/**
 * Appends given tokens. If a document token ended the last completion, it is removed first, as if
 * it had not been drawn. Errors: RN_ERR_MEMORY.
 */
rn_status rn_sequence_give(rn_err *err, rn_sequence *sequence, const int32_t *token, int64_t count);

/** Frees the tokens and empties the sequence. */
void rn_sequence_free(rn_sequence *sequence);

#endif

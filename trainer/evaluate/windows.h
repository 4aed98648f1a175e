/**
 * The windows in which the tokens of a split are evaluated. Every target is counted once.
 *
 * A text of n targets is cut as Hugging Face's sliding-window perplexity does it: window k begins
 * at token k * stride, has `length` tokens (fewer at the end of the text), and counts the targets
 * that no earlier window counts. With a stride of `length`, windows do not overlap.
 */
#ifndef RN_TRAINER_EVALUATE_WINDOWS_H
#define RN_TRAINER_EVALUATE_WINDOWS_H

#include "data/batch/split.h"
#include "trainer/evaluate/score.h"

/** Zero-initialise; free with rn_windows_free. */
typedef struct rn_windows {
  rn_window *window; /* [count] */
  int64_t count;
  int64_t *text; /* [texts + 1] index of the first window of each text */
  int64_t texts;
  size_t capacity, text_capacity;
} rn_windows;

typedef struct rn_windows_shape {
  int length, stride; /* 1 <= stride <= length */
} rn_windows_shape;

/** Adds a text of `targets` targets (at least 1). Its first input is the token with index `first`
 * in the stream of tokens. Errors: RN_ERR_MEMORY. */
rn_status rn_windows_add(rn_err *err, rn_windows *windows, rn_windows_shape shape, int64_t first,
                         int64_t targets);

/** Adds the whole split as one text. */
rn_status rn_windows_of_split(rn_err *err, const rn_split *split, rn_windows_shape shape,
                              rn_windows *out);

/**
 * Adds every document of the split as a text. The targets of a document are its tokens and the
 * document token after it. Errors: RN_ERR_MEMORY; those of rn_split_read.
 */
rn_status rn_windows_of_documents(rn_err *err, rn_split *split, rn_windows_shape shape,
                                  rn_windows *out);

/** Frees the lists. */
void rn_windows_free(rn_windows *windows);

#endif

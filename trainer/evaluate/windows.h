/**
 * The windows in which the tokens of a split are evaluated. Every target is counted once.
 *
 * A text of n targets is cut as Hugging Face's sliding-window perplexity does it: window k begins
 * at token k * stride, has `length` tokens (fewer at the end of the text), and counts the targets
 * that no earlier window counts. With a stride of `length`, windows do not overlap.
 *
 * Windows are computed when they are needed: memory grows with the number of texts only.
 */
#ifndef RN_TRAINER_EVALUATE_WINDOWS_H
#define RN_TRAINER_EVALUATE_WINDOWS_H

#include "data/batch/split.h"
#include "trainer/evaluate/score.h"

typedef struct rn_windows_shape {
  int length, stride; /* 1 <= stride <= length */
} rn_windows_shape;

/** Where a text begins; it ends where the next one begins. */
typedef struct rn_windows_text {
  int64_t window; /* index of its first window */
  int64_t token;  /* index of its first input in the split */
} rn_windows_text;

/** Zero-initialise; free with rn_windows_free. */
typedef struct rn_windows {
  rn_windows_shape shape;
  rn_windows_text *text; /* [texts + 1]; the last element is the end of the last text */
  int64_t texts;
  int64_t count; /* number of windows */
  size_t capacity;
} rn_windows;

/** Sets *out to the windows of the whole split, which is one text. Errors: RN_ERR_MEMORY. */
rn_status rn_windows_of_split(rn_err *err, const rn_split *split, rn_windows_shape shape,
                              rn_windows *out);

/**
 * Sets *out to the windows of the documents of the split, each of which is a text. The targets of a
 * document are its tokens and the document token after it. Errors: RN_ERR_MEMORY; those of
 * rn_split_read.
 */
rn_status rn_windows_of_documents(rn_err *err, rn_split *split, rn_windows_shape shape,
                                  rn_windows *out);

/** Returns the index of the text to which window `index` belongs. */
int64_t rn_windows_text_of(const rn_windows *windows, int64_t index);

/** Returns window `index`, 0 <= index < count. */
rn_score_window rn_windows_at(const rn_windows *windows, int64_t index);

/** Frees the texts. */
void rn_windows_free(rn_windows *windows);

#endif

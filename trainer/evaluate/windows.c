#include "trainer/evaluate/windows.h"

#include <stdlib.h>

#include "proto/base/arena.h"
#include "proto/base/range.h"

/* Returns the number of windows of a text of `targets` targets (at least 1). */
static int64_t windows_of_text(rn_windows_shape shape, int64_t targets) {
  const int64_t beyond = targets > shape.length ? targets - shape.length : 0;
  return 1 + (beyond + shape.stride - 1) / shape.stride;
}

/* Starts a list without texts. The first text begins at token 0. */
static rn_status begin_texts(rn_err *err, rn_windows_shape shape, rn_windows *out) {
  *out = (rn_windows){.shape = shape};
  RN_TRY(err, rn_grow(err, "texts", 1, sizeof *out->text, &out->text, &out->capacity));
  out->text[0] = (rn_windows_text){0, 0};
  return RN_OK;
}

/* Adds the text that begins where the previous one ends, and whose last target is token `end`. */
static rn_status add_text(rn_err *err, rn_windows *w, int64_t end) {
  const size_t elements = (size_t)w->texts + 2;
  RN_TRY(err, rn_grow(err, "texts", elements, sizeof *w->text, &w->text, &w->capacity));
  w->count += windows_of_text(w->shape, end - w->text[w->texts].token);
  w->text[++w->texts] = (rn_windows_text){w->count, end};
  return RN_OK;
}

rn_status rn_windows_of_split(rn_err *err, const rn_split *split, rn_windows_shape shape,
                              rn_windows *out) {
  RN_TRY(err, begin_texts(err, shape, out));
  return add_text(err, out, split->tokens - 1);
}

/* Adds the documents that end in tokens [at.begin, at.end) of the split; `token` holds these
 * tokens. */
static rn_status close_documents(rn_err *err, rn_windows *w, int32_t document, const int32_t *token,
                                 rn_range at) {
  for (int64_t i = at.begin; i < at.end; i++) {
    if (token[i - at.begin] != document || i == w->text[w->texts].token) continue;
    RN_TRY(err, add_text(err, w, i));
  }
  return RN_OK;
}

rn_status rn_windows_of_documents(rn_err *err, rn_split *split, rn_windows_shape shape,
                                  rn_windows *out) {
  enum { PIECE = 1 << 14 };
  const int32_t document = (int32_t)rn_split_header(split)->document_token;
  int32_t token[PIECE];
  RN_TRY(err, begin_texts(err, shape, out));
  for (int64_t begin = 0; begin < split->tokens; begin += PIECE) {
    const rn_range at = {begin, rn_smaller(begin + PIECE, split->tokens)};
    RN_TRY(err, rn_split_read(err, split, at.begin, rn_range_count(at), token));
    RN_TRY(err, close_documents(err, out, document, token, at));
  }
  /* The last document has no document token after it if the split is a part of a larger split. */
  const int64_t last = split->tokens - 1;
  return last > out->text[out->texts].token ? add_text(err, out, last) : RN_OK;
}

int64_t rn_windows_text_of(const rn_windows *w, int64_t index) {
  int64_t low = 0, high = w->texts - 1;
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    if (w->text[middle].window <= index) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

rn_score_window rn_windows_at(const rn_windows *w, int64_t index) {
  const rn_windows_text *text = &w->text[rn_windows_text_of(w, index)];
  const int64_t targets = text[1].token - text->token;
  const int64_t begin = (index - text->window) * w->shape.stride;
  const int64_t end = rn_smaller(begin + w->shape.length, targets);
  const int64_t counted = begin == 0 ? 0 : begin - w->shape.stride + w->shape.length;
  return (rn_score_window){text->token + begin, (int)(end - begin), (int)(end - counted)};
}

void rn_windows_free(rn_windows *w) {
  free(w->text);
  *w = (rn_windows){.text = NULL};
}

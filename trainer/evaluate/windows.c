#include "trainer/evaluate/windows.h"

#include <stdlib.h>

#include "proto/base/arena.h"
#include "proto/base/range.h"

static rn_status add_window(rn_err *err, rn_windows *w, rn_window window) {
  RN_TRY(err,
         rn_grow(err, "windows", (size_t)w->count + 1, sizeof window, &w->window, &w->capacity));
  w->window[w->count++] = window;
  return RN_OK;
}

static rn_status begin_text(rn_err *err, rn_windows *w) {
  const size_t elements = (size_t)w->texts + 2; /* one per text, and the end of the last text */
  RN_TRY(err, rn_grow(err, "windows", elements, sizeof *w->text, &w->text, &w->text_capacity));
  w->text[w->texts++] = w->count;
  return RN_OK;
}

rn_status rn_windows_add(rn_err *err, rn_windows *w, rn_windows_shape shape, int64_t first,
                         int64_t targets) {
  int64_t counted = 0;
  RN_TRY(err, begin_text(err, w));
  for (int64_t begin = 0; counted < targets; begin += shape.stride) {
    const int64_t end = rn_smaller(begin + shape.length, targets);
    RN_TRY(err, add_window(err, w,
                           (rn_window){first + begin, (int)(end - begin), (int)(end - counted)}));
    counted = end;
  }
  w->text[w->texts] = w->count;
  return RN_OK;
}

rn_status rn_windows_of_split(rn_err *err, const rn_split *split, rn_windows_shape shape,
                              rn_windows *out) {
  return rn_windows_add(err, out, shape, 0, split->tokens - 1);
}

/* Adds the documents that end in tokens [at.begin, at.end) of the split; `token` holds these
 * tokens. On entry and on return, *first is the index of the first token of the document that has
 * not ended yet. */
static rn_status close_documents(rn_err *err, rn_windows *w, rn_windows_shape shape,
                                 int32_t document, const int32_t *token, rn_range at,
                                 int64_t *first) {
  for (int64_t i = at.begin; i < at.end; i++) {
    if (token[i - at.begin] != document || i == *first) continue;
    RN_TRY(err, rn_windows_add(err, w, shape, *first, i - *first));
    *first = i;
  }
  return RN_OK;
}

rn_status rn_windows_of_documents(rn_err *err, rn_split *split, rn_windows_shape shape,
                                  rn_windows *out) {
  enum { PIECE = 1 << 14 };
  const int32_t document = (int32_t)rn_split_header(split)->document_token;
  int32_t token[PIECE];
  int64_t first = 0;
  for (int64_t begin = 0; begin < split->tokens; begin += PIECE) {
    const rn_range at = {begin, rn_smaller(begin + PIECE, split->tokens)};
    RN_TRY(err, rn_split_read(err, split, at.begin, rn_range_count(at), token));
    RN_TRY(err, close_documents(err, out, shape, document, token, at, &first));
  }
  /* The last document has no document token after it if the split is a part of a larger split. */
  const int64_t left = split->tokens - 1 - first;
  return left > 0 ? rn_windows_add(err, out, shape, first, left) : RN_OK;
}

void rn_windows_free(rn_windows *w) {
  free(w->window);
  free(w->text);
  *w = (rn_windows){.window = NULL};
}

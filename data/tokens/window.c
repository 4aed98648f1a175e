#include "data/tokens/window.h"

#include <assert.h>
#include <stdlib.h>

#include "proto/base/arena.h"

rn_status rn_window_create(rn_err *err, const rn_file *file, rn_window *out) {
  *out = (rn_window){.file = file};
  return rn_alloc(err, "file buffer", RN_WINDOW_BYTES, 1, &out->bytes);
}

void rn_window_destroy(rn_window *window) {
  free(window->bytes);
  *window = (rn_window){0};
}

static rn_status load(rn_err *err, rn_window *w, int64_t offset) {
  const int64_t left = w->file->size_bytes - offset;
  const size_t count = left < RN_WINDOW_BYTES ? (size_t)left : RN_WINDOW_BYTES;
  w->count = 0;
  RN_TRY(err, rn_file_read(err, w->file, offset, w->bytes, count));
  w->offset = offset;
  w->count = count;
  return RN_OK;
}

rn_status rn_window_get(rn_err *err, rn_window *w, int64_t offset, size_t bytes,
                        const unsigned char **out) {
  assert(offset >= 0 && bytes <= RN_WINDOW_BYTES);
  assert(offset <= w->file->size_bytes - (int64_t)bytes);
  const bool inside =
      offset >= w->offset && offset + (int64_t)bytes <= w->offset + (int64_t)w->count;
  if (!inside) RN_TRY(err, load(err, w, offset));
  *out = w->bytes + (offset - w->offset);
  return RN_OK;
}

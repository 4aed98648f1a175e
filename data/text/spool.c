#include "data/text/spool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/base/log.h"

enum { LEVEL = 1, TOKEN_BYTES = sizeof(int32_t) + sizeof(uint32_t) };

rn_status rn_spool_open(rn_err *err, const char *path, rn_spool *spool) {
  snprintf(spool->path.text, sizeof spool->path.text, "%s", path);
  return rn_file_create(err, path, &spool->file);
}

void rn_spool_close(rn_spool *spool) {
  if (spool->file.path != NULL) {
    rn_err left = {0};
    rn_file_destroy(&spool->file);
    if (rn_file_remove_tree(&left, spool->path.text) != RN_OK) rn_log_warn("%s", left.text);
  }
  free(spool->extent);
  *spool = (rn_spool){.count = 0};
}

static rn_status out_of_memory(rn_err *err) {
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while storing documents in a temporary file");
}

/* An entry holds the ids of the tokens, then the number of text bytes of each token. */
rn_status rn_spool_add(rn_err *err, rn_spool *spool, const rn_tokens *tokens) {
  const size_t half = tokens->count * sizeof(int32_t);
  RN_TRY(err, rn_grow(err, "documents", (size_t)spool->count + 1, sizeof *spool->extent,
                      &spool->extent, &spool->capacity));
  char *raw = malloc(2 * half + 1);
  if (raw == NULL) return out_of_memory(err);
  if (half > 0) {
    memcpy(raw, tokens->id, half);
    memcpy(raw + half, tokens->text_bytes, half);
  }
  rn_blob_extent *extent = &spool->extent[spool->count];
  const rn_status status =
      rn_blob_write(err, &spool->file, spool->end, (rn_bytes){raw, 2 * half}, LEVEL, extent);
  free(raw);
  if (status != RN_OK) return status;
  spool->end += extent->stored_bytes;
  spool->count++;
  return RN_OK;
}

rn_status rn_spool_get(rn_err *err, const rn_spool *spool, int entry, rn_tokens *tokens) {
  void *raw = NULL;
  size_t bytes = 0;
  rn_file file = spool->file;
  file.size_bytes = spool->end;
  RN_TRY(err, rn_blob_read(err, &file, spool->extent[entry], SIZE_MAX / 2, &raw, &bytes));
  const size_t count = bytes / TOKEN_BYTES, half = bytes / 2;
  rn_status status = RN_OK;
  const int32_t *id = raw;
  const uint32_t *text = (const uint32_t *)(const void *)((const char *)raw + half);
  tokens->count = 0;
  for (size_t i = 0; status == RN_OK && i < count; i++) {
    status = rn_tokens_add(err, tokens, id[i], text[i]);
  }
  free(raw);
  return status;
}

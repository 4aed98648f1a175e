/* Fuzzes the reader of a checkpoint's manifest. Appends a trailer with the right checksum to the
 * input, so that the reader parses the input. */
#include <stdlib.h>
#include <string.h>

#include "data/checkpoint/ckpt_index.h"
#include "data/checkpoint/ckpt_manifest.h"
#include "data/file/blob.h"
#include "data/file/little_endian.h"
#include "tests/fuzz/target.h"

enum { TRAILER_BYTES = 24 };

bool target_run(const uint8_t *data, size_t bytes) {
  rn_err err = {0};
  Retnet__Manifest *manifest = NULL;
  rn_ckpt_index index = {0};
  unsigned char *file = malloc(bytes + TRAILER_BYTES);
  target_require(file != NULL, "memory suffices");
  if (bytes > 0) memcpy(file, data, bytes);
  memcpy(file + bytes, "RNMANIF1", 8);
  rn_put_u64(file + bytes + 8, bytes);
  rn_put_u64(file + bytes + 16, rn_blob_sum(file, bytes));
  const char *path = target_file(file, bytes + TRAILER_BYTES);
  free(file);
  if (!target_is_ok(rn_ckpt_manifest_read(&err, path, &manifest), &err)) return false;
  const rn_status status = rn_ckpt_index_create(&err, path, RN_ERR_FORMAT, manifest, &index);
  const bool accepted = target_is_ok(status, &err);
  if (accepted) rn_ckpt_index_destroy(&index);
  retnet__manifest__free_unpacked(manifest, NULL);
  return accepted;
}

/* Writes a safetensors file: the header, then the tensors in the order of the header; finally
 * renames the file. */
#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/exchange/safetensors.h"
#include "data/file/file.h"
#include "data/file/little_endian.h"

enum { LENGTH_BYTES = 8, ALIGNMENT = 8 };

struct rn_safetensors_writer {
  rn_file file;
  rn_path path; /* final name; until rn_safetensors_finish, the name is <path>.new */
  int64_t written;
  int64_t declared;
};

/* Returns the entry of a tensor in the header, or NULL if out of memory. */
static json_t *tensor_json(const rn_safetensors_tensor *tensor, int64_t *offset) {
  json_t *shape = json_array();
  int64_t bytes = (int64_t)rn_safetensors_type_bytes(tensor->type);
  int failed = 0;
  for (int i = 0; i < tensor->dims; i++) {
    failed |= json_array_append_new(shape, json_integer(tensor->shape[i]));
    bytes *= tensor->shape[i];
  }
  int64_t begin = *offset;
  *offset += bytes;
  if (failed != 0) {
    json_decref(shape);
    return NULL;
  }
  return json_pack("{s:s, s:o, s:[I, I]}", "dtype", rn_safetensors_type_name(tensor->type), "shape",
                   shape, "data_offsets", (json_int_t)begin, (json_int_t)*offset);
}

/* Returns the text of the header, padded with spaces so that the data starts at a multiple of 8
 * bytes. */
static char *header_text(const rn_safetensors_header *header, size_t *length, int64_t *data_bytes) {
  json_t *root = json_object();
  char *text = NULL, *padded = NULL;
  int failed = 0;
  if (header->note_count > 0) {
    json_t *strings = json_object();
    for (int i = 0; i < header->note_count; i++) {
      failed |=
          json_object_set_new(strings, header->notes[i].key, json_string(header->notes[i].value));
    }
    failed |= json_object_set_new(root, "__metadata__", strings);
  }
  *data_bytes = 0;
  for (int i = 0; i < header->count; i++) {
    failed |= json_object_set_new(root, header->tensors[i].name,
                                  tensor_json(&header->tensors[i], data_bytes));
  }
  if (failed == 0) text = json_dumps(root, JSON_COMPACT);
  if (text != NULL) {
    size_t bytes = strlen(text);
    *length = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    padded = malloc(*length + 1);
    if (padded != NULL) snprintf(padded, *length + 1, "%-*s", (int)*length, text);
  }
  free(text);
  json_decref(root);
  return padded;
}

static rn_status write_header(rn_err *err, rn_safetensors_writer *writer, const char *text,
                              size_t length) {
  unsigned char prefix[LENGTH_BYTES];
  rn_put_u64(prefix, length);
  RN_TRY(err, rn_safetensors_append(err, writer, prefix, sizeof prefix));
  return rn_safetensors_append(err, writer, text, length);
}

rn_status rn_safetensors_create(rn_err *err, const char *path, const rn_safetensors_header *header,
                                rn_safetensors_writer **out) {
  rn_status status;
  size_t length = 0;
  int64_t data_bytes = 0;
  char *text = header_text(header, &length, &data_bytes);
  rn_safetensors_writer *writer = calloc(1, sizeof *writer);
  rn_path temporary;
  if (writer == NULL || text == NULL) {
    status = rn_fail(err, RN_ERR_MEMORY, "out of memory while writing the header of %s", path);
    goto fail;
  }
  snprintf(writer->path.text, sizeof writer->path.text, "%s", path);
  snprintf(temporary.text, sizeof temporary.text, "%s.new", path);
  writer->declared = LENGTH_BYTES + (int64_t)length + data_bytes;
  if ((status = rn_file_create(err, temporary.text, &writer->file)) != RN_OK) goto fail;
  if ((status = write_header(err, writer, text, length)) != RN_OK) goto fail;
  free(text);
  *out = writer;
  return RN_OK;
fail:
  free(text);
  rn_safetensors_abandon(&writer);
  return status;
}

rn_status rn_safetensors_append(rn_err *err, rn_safetensors_writer *writer, const void *data,
                                size_t bytes) {
  RN_TRY(err, rn_file_write(err, &writer->file, writer->written, data, bytes));
  writer->written += (int64_t)bytes;
  return RN_OK;
}

rn_status rn_safetensors_finish(rn_err *err, rn_safetensors_writer **writer) {
  rn_safetensors_writer *w = *writer;
  assert(w->written == w->declared && "tensors are missing or have more data than declared");
  rn_status status = rn_file_publish(err, &w->file, w->path.text);
  rn_safetensors_abandon(writer);
  return status;
}

void rn_safetensors_abandon(rn_safetensors_writer **writer) {
  rn_safetensors_writer *w = *writer;
  if (w == NULL) return;
  if (w->file.path != NULL) unlink(w->file.path);
  rn_file_destroy(&w->file);
  free(w);
  *writer = NULL;
}

/* Writes a model as one safetensors file, or as several files of limited size and an index. */
#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/exchange/float_types.h"
#include "data/exchange/tensor_files.h"
#include "data/file/staged_folder.h"

struct rn_tensor_files_writer {
  const rn_safetensors_header *header;
  rn_path path; /* the file if `is_file`, else the folder in which files are staged */
  bool is_file;
  rn_staged_folder folder;
  int *shard;          /* [header->count]: the file of each tensor */
  int shards, written; /* number of files, and number of complete files */
  int tensor;          /* index of the tensor that is being written */
  int64_t elements;    /* number of elements of this tensor written so far */
  rn_safetensors_writer *file;
};

static int64_t bytes_of(const rn_safetensors_tensor *tensor) {
  return tensor->count * (int64_t)rn_safetensors_type_bytes(tensor->type);
}

/* Assigns the tensors to files in order; a new file begins when the next tensor would not fit. */
static void divide(rn_tensor_files_writer *w, int64_t shard_bytes) {
  int64_t used = 0;
  for (int i = 0; i < w->header->count; i++) {
    const int64_t bytes = bytes_of(&w->header->tensors[i]);
    if (shard_bytes > 0 && used > 0 && bytes > shard_bytes - used) {
      w->shards++;
      used = 0;
    }
    used += bytes;
    w->shard[i] = w->shards;
  }
  w->shards++;
}

static rn_path path_of(const rn_tensor_files_writer *w, int shard) {
  char name[64] = RN_TENSOR_FILES_SINGLE;
  if (w->is_file) return w->path;
  if (w->shards > 1) {
    snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", shard + 1, w->shards);
  }
  return rn_path_join(w->path.text, name);
}

static rn_status check_folder(rn_err *err, const rn_tensor_files_writer *w, const char *folder) {
  const rn_path single = rn_path_join(folder, RN_TENSOR_FILES_SINGLE);
  const rn_path index = rn_path_join(folder, RN_TENSOR_FILES_INDEX);
  const rn_path *other = w->shards > 1 ? &single : &index;
  bool exists;
  RN_TRY(err, rn_file_find(err, other->text, &exists));
  if (!exists) return RN_OK;
  return rn_fail(
      err, RN_ERR_MISMATCH,
      "%s belongs to an older model, which readers could load instead of the new one; choose "
      "another folder, or remove this file",
      other->text);
}

/* Checks `folder`, and creates in it the folder in which the files are staged. */
static rn_status prepare_folder(rn_err *err, rn_tensor_files_writer *w, const char *folder) {
  RN_TRY(err, check_folder(err, w, folder));
  RN_TRY(err, rn_staged_folder_create(err, folder, &w->folder));
  w->path = w->folder.staged;
  return RN_OK;
}

static rn_status start_file(rn_err *err, rn_tensor_files_writer *w) {
  int first = 0, count = 0;
  while (w->shard[first] != w->written) first++;
  while (first + count < w->header->count && w->shard[first + count] == w->written) count++;
  const rn_safetensors_header part = {w->header->tensors + first, count, w->header->notes,
                                      w->header->note_count};
  return rn_safetensors_create(err, path_of(w, w->written).text, &part, &w->file);
}

static bool ends_with(const char *text, const char *end) {
  const size_t length = strlen(text), end_length = strlen(end);
  return length > end_length && strcmp(text + length - end_length, end) == 0;
}

rn_status rn_tensor_files_create(rn_err *err, const char *path, const rn_safetensors_header *header,
                                 int64_t shard_bytes, rn_tensor_files_writer **out) {
  assert(header->count > 0);
  rn_status status;
  rn_tensor_files_writer *w = calloc(1, sizeof *w);
  if (w != NULL) w->shard = calloc((size_t)header->count, sizeof *w->shard);
  if (w == NULL || w->shard == NULL) {
    status = rn_fail(err, RN_ERR_MEMORY, "out of memory while creating %s", path);
    goto fail;
  }
  w->header = header;
  w->is_file = ends_with(path, ".safetensors");
  snprintf(w->path.text, sizeof w->path.text, "%s", path);
  divide(w, w->is_file ? 0 : shard_bytes);
  if (!w->is_file && (status = prepare_folder(err, w, path)) != RN_OK) goto fail;
  if ((status = start_file(err, w)) != RN_OK) goto fail;
  *out = w;
  return RN_OK;
fail:
  rn_tensor_files_abandon(&w);
  return status;
}

/* Proceeds to the next tensor. If the current tensor is the last one of its file, completes this
 * file and starts the next one. */
static rn_status next_tensor(rn_err *err, rn_tensor_files_writer *w) {
  w->elements = 0;
  w->tensor++;
  if (w->tensor < w->header->count && w->shard[w->tensor] == w->written) return RN_OK;
  RN_TRY(err, rn_safetensors_finish(err, &w->file));
  w->written++;
  return w->tensor < w->header->count ? start_file(err, w) : RN_OK;
}

rn_status rn_tensor_files_append(rn_err *err, rn_tensor_files_writer *w, const float *values,
                                 int64_t count) {
  enum { PIECE = 8192 };
  char piece[PIECE * sizeof(float)];
  const rn_safetensors_tensor *tensor = &w->header->tensors[w->tensor];
  assert(count <= tensor->count - w->elements);
  for (int64_t done = 0; done < count; done += PIECE) {
    const int64_t now = count - done < PIECE ? count - done : PIECE;
    const int64_t too_large = rn_floats_to(tensor->type, values + done, now, piece);
    if (too_large > 0) {
      return rn_fail(err, RN_ERR_MISMATCH,
                     "%s has values that are too large for %s; choose another --dtype",
                     tensor->name, rn_safetensors_type_name(tensor->type));
    }
    RN_TRY(err, rn_safetensors_append(err, w->file, piece,
                                      (size_t)now * rn_safetensors_type_bytes(tensor->type)));
  }
  w->elements += count;
  return w->elements == tensor->count ? next_tensor(err, w) : RN_OK;
}

/* Returns the text of the index; the caller frees it. NULL: out of memory. */
static char *index_text(const rn_tensor_files_writer *w) {
  json_t *map = json_object();
  json_int_t total = 0;
  int failed = 0;
  for (int i = 0; i < w->header->count; i++) {
    const rn_path path = path_of(w, w->shard[i]);
    failed |= json_object_set_new(map, w->header->tensors[i].name,
                                  json_string(strrchr(path.text, '/') + 1));
    total += bytes_of(&w->header->tensors[i]);
  }
  json_t *index = json_pack("{s:{s:I}, s:o}", "metadata", "total_size", total, "weight_map", map);
  char *text =
      index != NULL && failed == 0 ? json_dumps(index, JSON_INDENT(2) | JSON_SORT_KEYS) : NULL;
  json_decref(index);
  return text;
}

static rn_status write_index(rn_err *err, const rn_tensor_files_writer *w) {
  const rn_path path = rn_path_join(w->path.text, RN_TENSOR_FILES_INDEX);
  char *text = index_text(w);
  if (text == NULL) {
    return rn_fail(err, RN_ERR_MEMORY, "out of memory while writing %s", path.text);
  }
  const rn_status status = rn_file_replace(err, path.text, text, strlen(text));
  free(text);
  return status;
}

const char *rn_tensor_files_folder(const rn_tensor_files_writer *w) {
  return w->is_file ? NULL : w->path.text;
}

rn_status rn_tensor_files_finish(rn_err *err, rn_tensor_files_writer **writer) {
  rn_tensor_files_writer *w = *writer;
  assert(w->written == w->shards && "tensors are missing");
  if (w->shards > 1) RN_TRY(err, write_index(err, w));
  if (!w->is_file) RN_TRY(err, rn_staged_folder_publish(err, &w->folder));
  rn_tensor_files_abandon(writer);
  return RN_OK;
}

void rn_tensor_files_abandon(rn_tensor_files_writer **writer) {
  rn_tensor_files_writer *w = *writer;
  if (w == NULL) return;
  rn_safetensors_abandon(&w->file);
  rn_staged_folder_abandon(&w->folder);
  free(w->shard);
  free(w);
  *writer = NULL;
}

/* Checks that the slices of a manifest cover every tensor exactly once and fill every file. */
#include "data/checkpoint/ckpt_index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "data/checkpoint/ckpt_name.h"
#include "data/file/blob.h"

/* Common arguments of the checks: `where` names the manifest; `status` is returned if a check
 * fails. */
typedef struct check {
  rn_err *err;
  const char *where;
  rn_status status;
} check;

int rn_ckpt_tensor_order(const Retnet__Tensor *a, const Retnet__Tensor *b) {
  if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
  return strcmp(a->name, b->name);
}

int64_t rn_ckpt_elements(const Retnet__Tensor *tensor) {
  int64_t elements = 1;
  for (size_t i = 0; i < tensor->n_shape; i++) elements *= tensor->shape[i];
  return elements;
}

int64_t rn_ckpt_tensor_index(const Retnet__Manifest *manifest, Retnet__TensorKind kind,
                             const char *name) {
  Retnet__Tensor key = {.kind = kind, .name = (char *)name};
  int64_t low = 0, high = (int64_t)manifest->n_tensor;
  while (low < high) {
    int64_t middle = (low + high) / 2;
    int order = rn_ckpt_tensor_order(manifest->tensor[middle], &key);
    if (order == 0) return middle;
    if (order < 0) low = middle + 1;
    if (order > 0) high = middle;
  }
  return -1;
}

static rn_status check_tensor(const check *c, const Retnet__Tensor *tensor) {
  int64_t max_elements = INT64_MAX / 8, elements = 1;
  bool known = tensor->kind >= RETNET__TENSOR_KIND__KIND_WEIGHT &&
               tensor->kind <= RETNET__TENSOR_KIND__KIND_STATE &&
               tensor->type == RETNET__TENSOR_TYPE__TYPE_F32;
  if (!known || tensor->n_shape > RN_CKPT_DIMS) {
    return rn_fail(c->err, c->status,
                   "%s: tensor \"%s\" has a kind, type or shape that this version does not know",
                   c->where, tensor->name);
  }
  for (size_t i = 0; i < tensor->n_shape; i++) {
    int64_t size = tensor->shape[i];
    if (size < 0 || (size > 0 && elements > max_elements / size)) {
      return rn_fail(c->err, c->status, "%s: tensor \"%s\" has an invalid size", c->where,
                     tensor->name);
    }
    elements *= size;
  }
  return RN_OK;
}

static rn_status check_tensors(const check *c, const Retnet__Manifest *manifest) {
  for (size_t i = 0; i < manifest->n_tensor; i++) {
    RN_TRY(c->err, check_tensor(c, manifest->tensor[i]));
    if (i > 0 && rn_ckpt_tensor_order(manifest->tensor[i - 1], manifest->tensor[i]) >= 0) {
      return rn_fail(c->err, c->status, "%s: tensor \"%s\" is out of order or listed twice",
                     c->where, manifest->tensor[i]->name);
    }
  }
  return RN_OK;
}

static bool slice_is_sound(const Retnet__Manifest *manifest, const Retnet__Slice *slice,
                           int64_t offset) {
  if (slice->tensor >= manifest->n_tensor) return false;
  int64_t elements = rn_ckpt_elements(manifest->tensor[slice->tensor]);
  int64_t max_bytes = (int64_t)rn_blob_bound(RN_CKPT_FRAME_ELEMENTS * sizeof(float));
  return slice->count > 0 && slice->count <= RN_CKPT_FRAME_ELEMENTS && slice->first >= 0 &&
         slice->first <= elements - slice->count && slice->offset == offset &&
         slice->stored_bytes > 0 && slice->stored_bytes <= max_bytes &&
         (slice->encoding == RETNET__ENCODING__ENCODING_PLAIN ||
          slice->encoding == RETNET__ENCODING__ENCODING_SHUFFLED);
}

static rn_status check_file(const check *c, const Retnet__Manifest *manifest,
                            const Retnet__CheckpointFile *file) {
  int64_t end = 0;
  for (size_t i = 0; i < file->n_slice; i++) {
    if (!slice_is_sound(manifest, file->slice[i], end)) {
      return rn_fail(c->err, c->status, "%s: slice %zu of %s has an invalid position or size",
                     c->where, i, file->name);
    }
    end += file->slice[i]->stored_bytes;
  }
  if (end != file->bytes) {
    return rn_fail(c->err, c->status, "%s: the slices of %s take %lld bytes, but the file has %lld",
                   c->where, file->name, (long long)end, (long long)file->bytes);
  }
  return RN_OK;
}

static rn_status check_files(const check *c, const Retnet__Manifest *manifest) {
  int last = -1;
  for (size_t i = 0; i < manifest->n_file; i++) {
    const Retnet__CheckpointFile *file = manifest->file[i];
    int file_index = rn_ckpt_file_index(file->name);
    if (file_index <= last) {
      return rn_fail(c->err, c->status,
                     "%s: \"%s\" is not the name of a checkpoint file, or is out of order",
                     c->where, file->name);
    }
    last = file_index;
    RN_TRY(c->err, check_file(c, manifest, file));
  }
  return RN_OK;
}

static int by_tensor(const void *a, const void *b) {
  const Retnet__Slice *x = ((const rn_ckpt_extent *)a)->slice;
  const Retnet__Slice *y = ((const rn_ckpt_extent *)b)->slice;
  if (x->tensor != y->tensor) return x->tensor < y->tensor ? -1 : 1;
  return (x->first > y->first) - (x->first < y->first);
}

static rn_status collect(rn_err *err, const Retnet__Manifest *manifest, rn_ckpt_index *index) {
  size_t total = 0;
  for (size_t i = 0; i < manifest->n_file; i++) total += manifest->file[i]->n_slice;
  index->extent = calloc(total + 1, sizeof *index->extent);
  if (index->extent == NULL) {
    return rn_fail(err, RN_ERR_MEMORY,
                   "out of memory: cannot allocate the table of %zu checkpoint slices", total);
  }
  for (size_t i = 0; i < manifest->n_file; i++) {
    const Retnet__CheckpointFile *file = manifest->file[i];
    for (size_t k = 0; k < file->n_slice; k++) {
      index->extent[index->count++] = (rn_ckpt_extent){file->slice[k], (int)i};
    }
  }
  if (total > 0) qsort(index->extent, total, sizeof *index->extent, by_tensor);
  return RN_OK;
}

static rn_status check_cover(const check *c, const Retnet__Manifest *manifest,
                             const rn_ckpt_index *index) {
  int64_t next = 0;
  for (size_t i = 0; i < manifest->n_tensor; i++) {
    const Retnet__Tensor *tensor = manifest->tensor[i];
    int64_t elements = rn_ckpt_elements(tensor), covered = 0;
    while (next < index->count && index->extent[next].slice->tensor == i &&
           index->extent[next].slice->first == covered) {
      covered += index->extent[next++].slice->count;
    }
    bool again = next < index->count && index->extent[next].slice->tensor == i;
    if (covered != elements || again) {
      return rn_fail(c->err, c->status, "%s: tensor \"%s\" has %s elements near element %lld",
                     c->where, tensor->name, again ? "duplicated or missing" : "missing",
                     (long long)covered);
    }
  }
  return RN_OK;
}

rn_status rn_ckpt_index_create(rn_err *err, const char *where, rn_status status,
                               const Retnet__Manifest *manifest, rn_ckpt_index *out) {
  const check c = {err, where, status};
  rn_ckpt_index index = {0};
  RN_TRY(err, check_tensors(&c, manifest));
  RN_TRY(err, check_files(&c, manifest));
  RN_TRY(err, collect(err, manifest, &index));
  rn_status covered = check_cover(&c, manifest, &index);
  if (covered != RN_OK) {
    rn_ckpt_index_destroy(&index);
    return covered;
  }
  *out = index;
  return RN_OK;
}

void rn_ckpt_index_destroy(rn_ckpt_index *index) {
  free(index->extent);
  *index = (rn_ckpt_index){0};
}

int64_t rn_ckpt_index_find(const rn_ckpt_index *index, int64_t tensor, int64_t element) {
  /* Binary search for the last extent that begins at or before `element`. */
  int64_t low = 0, high = index->count;
  while (high - low > 1) {
    int64_t middle = (low + high) / 2;
    const Retnet__Slice *slice = index->extent[middle].slice;
    bool after = slice->tensor > tensor || (slice->tensor == tensor && slice->first > element);
    if (after) high = middle;
    if (!after) low = middle;
  }
  assert(low < index->count && index->extent[low].slice->tensor == tensor);
  return low;
}

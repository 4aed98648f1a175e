/* Merges reports into one manifest, with one table of all tensors and with the slices grouped by
 * file. */
#include "data/checkpoint/ckpt_merge.h"

#include <stdlib.h>
#include <string.h>

#include "data/checkpoint/ckpt_index.h"
#include "data/checkpoint/ckpt_name.h"
#include "data/file/message.h"

static int by_order(const void *a, const void *b) {
  return rn_ckpt_tensor_order(*(Retnet__Tensor *const *)a, *(Retnet__Tensor *const *)b);
}

/* Compares by file, then by end offset, which is the order in which writers appended to the file.
 */
static int by_end(const void *a, const void *b) {
  const Retnet__CheckpointFile *x = *(Retnet__CheckpointFile *const *)a,
                               *y = *(Retnet__CheckpointFile *const *)b;
  const int m = rn_ckpt_file_index(x->name), n = rn_ckpt_file_index(y->name);
  if (m != n) return m < n ? -1 : 1;
  return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static bool same_shape(const Retnet__Tensor *a, const Retnet__Tensor *b) {
  return a->n_shape == b->n_shape &&
         (a->n_shape == 0 || memcmp(a->shape, b->shape, a->n_shape * sizeof *a->shape) == 0);
}

static rn_status unpack_reports(rn_err *err, const char *where, const rn_ckpt_report *reports,
                                int count, rn_ckpt_merge *merge) {
  merge->report = calloc((size_t)count + 1, sizeof(Retnet__FileReport *));
  if (merge->report == NULL)
    return rn_fail(err, RN_ERR_MEMORY, "out of memory while merging the reports of %s", where);
  merge->count = 0;
  for (int i = 0; i < count; i++) {
    rn_err why = {0};
    const rn_status status =
        rn_message_unpack(&why, where, "", &retnet__file_report__descriptor,
                          (rn_bytes){reports[i].bytes, reports[i].size}, &merge->report[i]);
    merge->count = i + 1;
    if (status == RN_ERR_FORMAT) {
      return rn_fail(err, RN_ERR_MISMATCH,
                     "%s: the report of writer %d of %d was damaged in transfer", where, i, count);
    }
    if (status != RN_OK) return rn_fail(err, status, "%s", why.text);
  }
  return RN_OK;
}

static rn_status collect_tensors(rn_err *err, const char *where, rn_ckpt_merge *merge) {
  Retnet__Manifest *m = &merge->manifest;
  size_t max_tensors = 1;
  for (int i = 0; i < merge->count; i++) max_tensors += merge->report[i]->n_tensor;
  m->n_tensor = 0;
  m->tensor = calloc(max_tensors, sizeof(Retnet__Tensor *));
  if (m->tensor == NULL)
    return rn_fail(err, RN_ERR_MEMORY, "out of memory while merging the reports of %s", where);
  size_t total = 0;
  for (int i = 0; i < merge->count; i++) {
    for (size_t k = 0; k < merge->report[i]->n_tensor; k++) {
      m->tensor[total++] = merge->report[i]->tensor[k];
    }
  }
  if (total > 0) qsort(m->tensor, total, sizeof(Retnet__Tensor *), by_order);
  for (size_t i = 0; i < total; i++) {
    Retnet__Tensor *last = m->n_tensor == 0 ? NULL : m->tensor[m->n_tensor - 1];
    if (last == NULL || rn_ckpt_tensor_order(last, m->tensor[i]) != 0) {
      m->tensor[m->n_tensor++] = m->tensor[i];
    } else if (!same_shape(last, m->tensor[i])) {
      return rn_fail(err, RN_ERR_MISMATCH,
                     "%s: two writers report different shapes for tensor \"%s\"", where,
                     last->name);
    }
  }
  return RN_OK;
}

/* Converts the tensor indices of the slices: on entry they refer to the report's table of tensors,
 * on return to the manifest's. */
static rn_status use_table_of(rn_err *err, const char *where, const Retnet__FileReport *report,
                              const Retnet__Manifest *m) {
  for (size_t k = 0; k < report->file->n_slice; k++) {
    Retnet__Slice *slice = report->file->slice[k];
    if (slice->tensor >= report->n_tensor) {
      return rn_fail(err, RN_ERR_MISMATCH,
                     "%s: the report about %s refers to a tensor that it does not list", where,
                     report->file->name);
    }
    const Retnet__Tensor *tensor = report->tensor[slice->tensor];
    slice->tensor = (uint32_t)rn_ckpt_tensor_index(m, tensor->kind, tensor->name);
  }
  return RN_OK;
}

static rn_status allocate(rn_err *err, const char *where, rn_ckpt_merge *merge) {
  Retnet__Manifest *m = &merge->manifest;
  size_t slices = 1;
  for (int i = 0; i < merge->count; i++) slices += merge->report[i]->file->n_slice;
  m->file = calloc((size_t)merge->count + 1, sizeof(Retnet__CheckpointFile *));
  merge->file = calloc((size_t)merge->count + 1, sizeof(Retnet__CheckpointFile));
  merge->slice = calloc(slices, sizeof(Retnet__Slice *));
  if (m->file != NULL && merge->file != NULL && merge->slice != NULL) return RN_OK;
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while merging the reports of %s", where);
}

/* Merges the reports of each file. rn_ckpt_index_create checks that the slices leave no gaps. */
static void join_files(rn_ckpt_merge *merge, size_t count) {
  Retnet__Manifest *m = &merge->manifest;
  Retnet__Slice **next = merge->slice;
  m->n_file = 0;
  for (size_t i = 0; i < count; i++) {
    const Retnet__CheckpointFile *one = m->file[i];
    Retnet__CheckpointFile *last = m->n_file == 0 ? NULL : &merge->file[m->n_file - 1];
    if (last == NULL || strcmp(last->name, one->name) != 0) {
      last = &merge->file[m->n_file++];
      *last = *one;
      last->slice = next;
      last->n_slice = 0;
    }
    for (size_t k = 0; k < one->n_slice; k++) *next++ = one->slice[k];
    last->n_slice += one->n_slice;
    last->bytes = one->bytes;
  }
  for (size_t i = 0; i < m->n_file; i++) m->file[i] = &merge->file[i];
}

static rn_status collect_files(rn_err *err, const char *where, rn_ckpt_merge *merge) {
  Retnet__Manifest *m = &merge->manifest;
  size_t count = 0;
  m->n_file = 0;
  RN_TRY(err, allocate(err, where, merge));
  for (int i = 0; i < merge->count; i++) {
    if (merge->report[i]->n_tensor == 0) continue;
    RN_TRY(err, use_table_of(err, where, merge->report[i], m));
    m->file[count++] = merge->report[i]->file;
  }
  if (count > 0) qsort(m->file, count, sizeof(Retnet__CheckpointFile *), by_end);
  join_files(merge, count);
  return RN_OK;
}

/* Checks that the tensors written are exactly those that the head lists, if it lists any. */
static rn_status compare_with_head(rn_err *err, const char *where, const Retnet__Manifest *head,
                                   const Retnet__Manifest *m) {
  for (size_t i = 0; i < head->n_tensor; i++) {
    const Retnet__Tensor *want = head->tensor[i];
    int64_t index = rn_ckpt_tensor_index(m, want->kind, want->name);
    if (index < 0 || !same_shape(want, m->tensor[index])) {
      return rn_fail(err, RN_ERR_MISMATCH,
                     "%s: tensor \"%s\" was not written, or not with the expected shape", where,
                     want->name);
    }
  }
  if (head->n_tensor > 0 && head->n_tensor != m->n_tensor) {
    return rn_fail(err, RN_ERR_MISMATCH, "%s: %zu tensors were written, but %zu are expected",
                   where, m->n_tensor, head->n_tensor);
  }
  return RN_OK;
}

rn_status rn_ckpt_merge_create(rn_err *err, const char *where, const Retnet__Manifest *head,
                               const rn_ckpt_report *reports, int count, rn_ckpt_merge *out) {
  rn_ckpt_index index = {0};
  *out = (rn_ckpt_merge){.manifest = *head};
  out->manifest.format = RN_CKPT_FORMAT;
  out->manifest.tensor = NULL;
  out->manifest.file = NULL;
  rn_status status = unpack_reports(err, where, reports, count, out);
  if (status == RN_OK) status = collect_tensors(err, where, out);
  if (status == RN_OK) status = collect_files(err, where, out);
  if (status == RN_OK) status = compare_with_head(err, where, head, &out->manifest);
  if (status == RN_OK) {
    status = rn_ckpt_index_create(err, where, RN_ERR_MISMATCH, &out->manifest, &index);
  }
  rn_ckpt_index_destroy(&index);
  if (status != RN_OK) rn_ckpt_merge_destroy(out);
  return status;
}

void rn_ckpt_merge_destroy(rn_ckpt_merge *merge) {
  for (int i = 0; i < merge->count; i++) {
    if (merge->report[i] != NULL) retnet__file_report__free_unpacked(merge->report[i], NULL);
  }
  free(merge->report);
  free(merge->manifest.tensor);
  free(merge->manifest.file);
  free(merge->file);
  free(merge->slice);
  *merge = (rn_ckpt_merge){0};
}

/* Writes slices as consecutive frames, to a new checkpoint file or at the end of an existing one.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "data/checkpoint/ckpt.h"
#include "data/checkpoint/ckpt_frame.h"
#include "data/checkpoint/ckpt_name.h"
#include "proto/base/fault.h"

/* Bytes between two calls of fsync. A single fsync of a large file may take minutes, during which
 * the watchdog would see no progress. */
#define SYNC_BYTES (INT64_C(256) << 20)

/* State of writing one checkpoint file, with the content of the FileReport about it. */
typedef struct file_writer {
  rn_file file;
  int64_t begin;  /* number of bytes written by earlier writers */
  int64_t synced; /* number of bytes written at the last fsync */
  rn_ckpt_context context;
  Retnet__CheckpointFile described;
  Retnet__Slice *slices; /* one for each frame */
  Retnet__Slice **slice_list;
  Retnet__Tensor *tensors;
  Retnet__Tensor **tensor_list;
} file_writer;

static int64_t frames_of(int64_t elements) {
  return (elements + RN_CKPT_FRAME_ELEMENTS - 1) / RN_CKPT_FRAME_ELEMENTS;
}

static rn_status allocate(rn_err *err, file_writer *w, const rn_ckpt_slice *slices, int count) {
  size_t frames = 1, tensors = (size_t)count + 1;
  int64_t max_elements = 1;
  for (int i = 0; i < count; i++) {
    frames += (size_t)frames_of(slices[i].count);
    if (slices[i].count > max_elements) max_elements = slices[i].count;
  }
  if (max_elements > RN_CKPT_FRAME_ELEMENTS) max_elements = RN_CKPT_FRAME_ELEMENTS;
  w->slices = calloc(frames, sizeof *w->slices);
  w->slice_list = calloc(frames, sizeof *w->slice_list);
  w->tensors = calloc(tensors, sizeof *w->tensors);
  w->tensor_list = calloc(tensors, sizeof *w->tensor_list);
  if (w->slices == NULL || w->slice_list == NULL || w->tensors == NULL || w->tensor_list == NULL) {
    return rn_fail(err, RN_ERR_MEMORY,
                   "out of memory: cannot allocate the table of %zu checkpoint frames", frames);
  }
  return rn_ckpt_context_create(err, max_elements, &w->context);
}

static void free_memory(file_writer *w) {
  rn_file_destroy(&w->file);
  rn_ckpt_context_destroy(&w->context);
  free(w->slices);
  free(w->slice_list);
  free(w->tensors);
  free(w->tensor_list);
}

static rn_status write_frame(rn_err *err, file_writer *w, uint32_t tensor, int64_t first,
                             const float *data, int64_t count) {
  Retnet__Slice *slice = &w->slices[w->described.n_slice];
  size_t stored_bytes = 0;
  retnet__slice__init(slice);
  RN_TRY(err, rn_ckpt_frame_pack(err, &w->context, data, count, &slice->encoding, &stored_bytes));
  if (rn_fault_now("ckpt.write")) return rn_file_fail(err, "write", w->file.path, errno);
  RN_TRY(err, rn_file_write(err, &w->file, w->described.bytes, w->context.stored, stored_bytes));
  slice->tensor = tensor;
  slice->first = first;
  slice->count = count;
  slice->offset = w->described.bytes;
  slice->stored_bytes = (int64_t)stored_bytes;
  slice->sum = rn_blob_sum(w->context.stored, stored_bytes);
  w->described.bytes += slice->stored_bytes;
  w->slice_list[w->described.n_slice++] = slice;
  if (w->described.bytes - w->synced < SYNC_BYTES) return RN_OK;
  w->synced = w->described.bytes;
  return rn_file_sync(err, &w->file);
}

static rn_status write_slice(rn_err *err, file_writer *w, uint32_t tensor,
                             const rn_ckpt_slice *slice) {
  for (int64_t done = 0; done < slice->count; done += RN_CKPT_FRAME_ELEMENTS) {
    int64_t left = slice->count - done;
    int64_t now = left < RN_CKPT_FRAME_ELEMENTS ? left : RN_CKPT_FRAME_ELEMENTS;
    RN_TRY(err, write_frame(err, w, tensor, slice->first + done, slice->data + done, now));
  }
  return RN_OK;
}

/* Describes the tensor of `slice` in *tensor. The slice must outlive *tensor, which points into
 * it. */
static void describe_tensor(Retnet__Tensor *tensor, const rn_ckpt_slice *slice) {
  assert(slice->dims >= 0 && slice->dims <= RN_CKPT_DIMS);
  retnet__tensor__init(tensor);
  tensor->name = (char *)slice->name;
  tensor->kind = slice->kind;
  tensor->type = RETNET__TENSOR_TYPE__TYPE_F32;
  tensor->n_shape = (size_t)slice->dims;
  tensor->shape = (int64_t *)slice->shape;
}

static rn_status open_file(rn_err *err, file_writer *w, const char *path) {
  if (w->begin == 0) return rn_file_create(err, path, &w->file);
  RN_TRY(err, rn_file_open_to_write(err, path, &w->file));
  if (w->file.size_bytes == w->begin) return RN_OK;
  return rn_fail(err, RN_ERR_MISMATCH,
                 "%s has %lld bytes, but this job has written %lld bytes to it so far", path,
                 (long long)w->file.size_bytes, (long long)w->begin);
}

static rn_status write_slices(rn_err *err, file_writer *w, const rn_ckpt_slice *slices, int count,
                              const char *path) {
  RN_TRY(err, open_file(err, w, path));
  for (int i = 0; i < count; i++) {
    RN_TRY(err, write_slice(err, w, (uint32_t)i, &slices[i]));
  }
  if (rn_fault_now("ckpt.fsync")) return rn_file_fail(err, "fsync", path, errno);
  RN_TRY(err, rn_file_sync(err, &w->file));
  return rn_file_close(err, &w->file);
}

static rn_status make_report(rn_err *err, file_writer *w, int count, rn_ckpt_report *out) {
  Retnet__FileReport report = RETNET__FILE_REPORT__INIT;
  w->described.slice = w->slice_list;
  report.file = &w->described;
  report.n_tensor = (size_t)count;
  report.tensor = w->tensor_list;
  size_t size = retnet__file_report__get_packed_size(&report);
  uint8_t *bytes = malloc(size + 1);
  if (bytes == NULL) {
    return rn_fail(err, RN_ERR_MEMORY, "out of memory while writing %s", w->described.name);
  }
  retnet__file_report__pack(&report, bytes);
  *out = (rn_ckpt_report){bytes, size, w->described.bytes - w->begin};
  return RN_OK;
}

rn_status rn_ckpt_write_file(rn_err *err, rn_ckpt_output output, const rn_ckpt_slice *slices,
                             int count, rn_ckpt_report *out) {
  file_writer w = {.begin = output.offset,
                   .synced = output.offset,
                   .context = {.level = output.level},
                   .described = RETNET__CHECKPOINT_FILE__INIT};
  char name[RN_CKPT_NAME_BYTES];
  rn_ckpt_file_name(name, output.index);
  w.described.name = name;
  w.described.bytes = output.offset;
  rn_status status = allocate(err, &w, slices, count);
  if (status != RN_OK) goto done;
  for (int i = 0; i < count; i++) {
    describe_tensor(&w.tensors[i], &slices[i]);
    w.tensor_list[i] = &w.tensors[i];
  }
  if (count > 0) {
    status = write_slices(err, &w, slices, count, rn_path_join(output.stage_path, name).text);
  }
  if (status == RN_OK) status = make_report(err, &w, count, out);
done:
  free_memory(&w);
  return status;
}

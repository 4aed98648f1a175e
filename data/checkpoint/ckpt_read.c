/* Reads any range of any tensor of an open checkpoint from the slices that hold it. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/checkpoint/ckpt.h"
#include "data/checkpoint/ckpt_frame.h"
#include "data/checkpoint/ckpt_index.h"
#include "data/checkpoint/ckpt_manifest.h"
#include "data/checkpoint/ckpt_name.h"
#include "proto/base/fault.h"
#include "proto/base/range.h"

struct rn_ckpt {
  rn_path path;
  Retnet__Manifest *manifest;
  rn_ckpt_index index;
  rn_ckpt_context context;
  rn_file file;         /* the file that was read last */
  int file_index;       /* index of `file`; -1: none */
  float *frame;         /* content of the extent that was read last */
  int64_t extent_index; /* index of that extent; -1: none */
};

rn_status rn_ckpt_open(rn_err *err, const char *step_path, rn_ckpt **out) {
  rn_status status;
  rn_ckpt *ckpt = calloc(1, sizeof *ckpt);
  if (ckpt == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while opening %s", step_path);
  rn_path manifest = rn_path_join(step_path, RN_CKPT_MANIFEST_FILE);
  if (rn_fault_now("ckpt.open")) {
    free(ckpt);
    return rn_file_fail(err, "open", manifest.text, errno);
  }
  snprintf(ckpt->path.text, sizeof ckpt->path.text, "%s", step_path);
  ckpt->file_index = -1;
  ckpt->extent_index = -1;
  status = rn_ckpt_manifest_read(err, manifest.text, &ckpt->manifest);
  if (status != RN_OK) goto fail;
  status = rn_ckpt_index_create(err, manifest.text, RN_ERR_FORMAT, ckpt->manifest, &ckpt->index);
  if (status != RN_OK) goto fail;
  *out = ckpt;
  return RN_OK;
fail:
  rn_ckpt_close(&ckpt);
  return status;
}

void rn_ckpt_close(rn_ckpt **ckpt) {
  rn_ckpt *c = *ckpt;
  if (c == NULL) return;
  rn_file_destroy(&c->file);
  rn_ckpt_index_destroy(&c->index);
  rn_ckpt_context_destroy(&c->context);
  if (c->manifest != NULL) retnet__manifest__free_unpacked(c->manifest, NULL);
  free(c->frame);
  free(c);
  *ckpt = NULL;
}

const Retnet__Manifest *rn_ckpt_manifest(const rn_ckpt *ckpt) {
  return ckpt->manifest;
}

const char *rn_ckpt_path(const rn_ckpt *ckpt) {
  return ckpt->path.text;
}

const Retnet__Tensor *rn_ckpt_tensor(const rn_ckpt *ckpt, Retnet__TensorKind kind,
                                     const char *name) {
  int64_t index = rn_ckpt_tensor_index(ckpt->manifest, kind, name);
  return index < 0 ? NULL : ckpt->manifest->tensor[index];
}

/* On the first read, allocates buffers that are large enough for the largest frame. */
static rn_status allocate_scratch(rn_err *err, rn_ckpt *ckpt) {
  int64_t max_elements = 1;
  if (ckpt->frame != NULL) return RN_OK;
  for (int64_t i = 0; i < ckpt->index.count; i++) {
    const int64_t count = ckpt->index.extent[i].slice->count;
    if (count > max_elements) max_elements = count;
  }
  RN_TRY(err, rn_ckpt_context_create(err, max_elements, &ckpt->context));
  ckpt->frame = malloc((size_t)max_elements * sizeof *ckpt->frame);
  if (ckpt->frame != NULL) return RN_OK;
  rn_ckpt_context_destroy(&ckpt->context);
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while reading %s", ckpt->path.text);
}

static rn_status check_size(rn_err *err, const char *path, int64_t bytes, int64_t wanted) {
  if (bytes == wanted) return RN_OK;
  return rn_fail(err, RN_ERR_FORMAT, "%s is damaged: it has %lld bytes, but the manifest says %lld",
                 path, (long long)bytes, (long long)wanted);
}

static rn_status open_file(rn_err *err, rn_ckpt *ckpt, int index) {
  const Retnet__CheckpointFile *file = ckpt->manifest->file[index];
  if (ckpt->file_index == index) return RN_OK;
  rn_file_destroy(&ckpt->file);
  ckpt->file_index = -1;
  RN_TRY(err, rn_file_open(err, rn_path_join(ckpt->path.text, file->name).text, &ckpt->file));
  RN_TRY(err, check_size(err, ckpt->file.path, ckpt->file.size_bytes, file->bytes));
  ckpt->file_index = index;
  return RN_OK;
}

static rn_status read_extent(rn_err *err, rn_ckpt *ckpt, int64_t index) {
  const rn_ckpt_extent *extent = &ckpt->index.extent[index];
  if (ckpt->extent_index == index) return RN_OK;
  ckpt->extent_index = -1;
  RN_TRY(err, allocate_scratch(err, ckpt));
  RN_TRY(err, open_file(err, ckpt, extent->file));
  RN_TRY(err, rn_ckpt_frame_read(err, &ckpt->context, &ckpt->file, extent->slice, ckpt->frame));
  ckpt->extent_index = index;
  return RN_OK;
}

rn_status rn_ckpt_read(rn_err *err, rn_ckpt *ckpt, Retnet__TensorKind kind, const char *name,
                       rn_range range, float *out) {
  int64_t tensor = rn_ckpt_tensor_index(ckpt->manifest, kind, name);
  if (tensor < 0) {
    return rn_fail(err, RN_ERR_MISMATCH, "%s has no tensor \"%s\" of the required kind",
                   ckpt->path.text, name);
  }
  int64_t elements = rn_ckpt_elements(ckpt->manifest->tensor[tensor]);
  if (range.begin < 0 || range.end < range.begin || range.end > elements) {
    return rn_fail(err, RN_ERR_MISMATCH,
                   "%s: elements %lld to %lld are outside tensor \"%s\", which has %lld elements",
                   ckpt->path.text, (long long)range.begin, (long long)range.end, name,
                   (long long)elements);
  }
  for (int64_t next = range.begin; next < range.end;) {
    int64_t index = rn_ckpt_index_find(&ckpt->index, tensor, next);
    RN_TRY(err, read_extent(err, ckpt, index));
    const Retnet__Slice *slice = ckpt->index.extent[index].slice;
    int64_t begin = next - slice->first;
    int64_t count = rn_smaller(slice->count - begin, range.end - next);
    memcpy(out + (next - range.begin), ckpt->frame + begin, (size_t)count * sizeof *out);
    next += count;
  }
  return RN_OK;
}

/* Checks frames [begin, end) of a file; the range is clipped to the frames of the file. */
static rn_status check_frames(rn_err *err, rn_ckpt *ckpt, int index, int64_t begin, int64_t end) {
  const Retnet__CheckpointFile *file = ckpt->manifest->file[index];
  RN_TRY(err, allocate_scratch(err, ckpt));
  RN_TRY(err, open_file(err, ckpt, index));
  ckpt->extent_index = -1;
  for (int64_t i = begin < 0 ? 0 : begin; i < (int64_t)file->n_slice && i < end; i++) {
    RN_TRY(err, rn_ckpt_frame_read(err, &ckpt->context, &ckpt->file, file->slice[i], ckpt->frame));
  }
  return RN_OK;
}

/* Reader 0 checks the sizes of all files; other readers check only files that hold their frames. */
rn_status rn_ckpt_check(rn_err *err, rn_ckpt *ckpt, int reader, int readers) {
  const rn_range mine = rn_cut(ckpt->index.count, readers, reader);
  int64_t first = 0; /* index of the first frame of file i */
  for (int i = 0; i < (int)ckpt->manifest->n_file; i++) {
    const int64_t next = first + (int64_t)ckpt->manifest->file[i]->n_slice;
    const bool has_frames = first < mine.end && mine.begin < next;
    if (reader == 0 || has_frames) {
      RN_TRY(err, check_frames(err, ckpt, i, mine.begin - first, mine.end - first));
    }
    first = next;
  }
  return RN_OK;
}

rn_status rn_ckpt_check_sizes(rn_err *err, const rn_ckpt *ckpt) {
  for (size_t i = 0; i < ckpt->manifest->n_file; i++) {
    const Retnet__CheckpointFile *file = ckpt->manifest->file[i];
    const rn_path path = rn_path_join(ckpt->path.text, file->name);
    struct stat info;
    if (stat(path.text, &info) != 0) return rn_file_fail(err, "open", path.text, errno);
    RN_TRY(err, check_size(err, path.text, (int64_t)info.st_size, file->bytes));
  }
  return RN_OK;
}

const char *rn_ckpt_fault(rn_status status) {
  return status == RN_ERR_NOT_FOUND ? "incomplete" : "damaged";
}

void rn_ckpt_skipped_text(const char *path, const rn_err *why, char text[RN_CKPT_SKIPPED_BYTES]) {
  snprintf(text, RN_CKPT_SKIPPED_BYTES, "checkpoint %s is %s; trying the previous one: %s", path,
           rn_ckpt_fault(why->status), why->text);
}

static bool belongs(const rn_ckpt *ckpt, const char *name) {
  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return true;
  if (strcmp(name, RN_CKPT_MANIFEST_FILE) == 0) return true;
  for (size_t i = 0; i < ckpt->manifest->n_file; i++) {
    if (strcmp(name, ckpt->manifest->file[i]->name) == 0) return true;
  }
  return false;
}

rn_status rn_ckpt_verify(rn_err *err, rn_ckpt *ckpt) {
  rn_status status = RN_OK;
  const struct dirent *entry;
  RN_TRY(err, rn_ckpt_check(err, ckpt, 0, 1));
  DIR *folder = opendir(ckpt->path.text);
  if (folder == NULL) return rn_file_fail(err, "open directory", ckpt->path.text, errno);
  while (status == RN_OK && (errno = 0, entry = readdir(folder)) != NULL) {
    if (belongs(ckpt, entry->d_name)) continue;
    status = rn_fail(err, RN_ERR_FORMAT, "%s/%s is not part of the checkpoint", ckpt->path.text,
                     entry->d_name);
  }
  if (status == RN_OK && errno != 0) {
    status = rn_file_fail(err, "read directory", ckpt->path.text, errno);
  }
  closedir(folder);
  return status;
}

/* Reads a set of safetensors files; checks all headers, and the index against the headers. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/exchange/float_types.h"
#include "data/exchange/tensor_files.h"
#include "data/file/file.h"
#include "data/file/json_text.h"

enum { MAX_FILES = 512, MAX_INDEX_BYTES = 64 << 20 };

typedef struct file {
  char *path;
  rn_safetensors *tensors;
} file;

/* A tensor and the index of its file. */
typedef struct entry {
  const rn_safetensors_tensor *tensor;
  int file;
} entry;

struct rn_tensor_files {
  file file[MAX_FILES];
  int file_count;
  entry *entry; /* [count], ordered by name */
  int count;
};

static rn_status no_memory(rn_err *err, const char *path) {
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while opening %s", path);
}

static rn_status add_file(rn_err *err, rn_tensor_files *files, const char *path) {
  file *f = &files->file[files->file_count];
  f->path = strdup(path);
  if (f->path == NULL) return no_memory(err, path);
  files->file_count++;
  return rn_safetensors_open(err, path, &f->tensors);
}

/* ---- the index ---- */

/* True for a plain file name: the index must not name files outside its folder. */
static bool is_file_name(const char *name) {
  return name != NULL && name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL &&
         strlen(name) < 256;
}

static int find_file(const rn_tensor_files *files, const char *path) {
  for (int i = 0; i < files->file_count; i++) {
    if (strcmp(files->file[i].path, path) == 0) return i;
  }
  return -1;
}

static rn_status add_files_of_index(rn_err *err, const char *folder, const char *index,
                                    json_t *weight_map, rn_tensor_files *files) {
  const char *tensor;
  json_t *value;
  json_object_foreach(weight_map, tensor, value) {
    const char *name = json_string_value(value);
    if (!is_file_name(name)) {
      return rn_fail(err, RN_ERR_FORMAT,
                     "%s: tensor \"%s\": \"%s\" is not the name of a file in this folder", index,
                     tensor, name != NULL ? name : "");
    }
    const rn_path path = rn_path_join(folder, name);
    if (find_file(files, path.text) >= 0) continue;
    if (files->file_count == MAX_FILES) {
      return rn_fail(err, RN_ERR_FORMAT, "%s: the index names more than %d files", index,
                     MAX_FILES);
    }
    RN_TRY(err, add_file(err, files, path.text));
  }
  return RN_OK;
}

static rn_status check_index(rn_err *err, const char *folder, const char *index, json_t *weight_map,
                             const rn_tensor_files *files) {
  const char *tensor;
  json_t *value;
  json_object_foreach(weight_map, tensor, value) {
    const int found = rn_tensor_files_find(files, tensor);
    const rn_path path = rn_path_join(folder, json_string_value(value));
    if (found >= 0 && strcmp(rn_tensor_files_path(files, found), path.text) == 0) continue;
    return rn_fail(err, RN_ERR_FORMAT, "%s: tensor \"%s\" is not in %s", index, tensor, path.text);
  }
  if (json_object_size(weight_map) == (size_t)files->count) return RN_OK;
  return rn_fail(err, RN_ERR_FORMAT, "%s lists %zu tensors, but the files that it names hold %d",
                 index, json_object_size(weight_map), files->count);
}

/* ---- the table of tensors ---- */

static int by_name(const void *a, const void *b) {
  return strcmp(((const entry *)a)->tensor->name, ((const entry *)b)->tensor->name);
}

static rn_status list_tensors(rn_err *err, const char *path, rn_tensor_files *files) {
  size_t count = 0;
  for (int f = 0; f < files->file_count; f++) {
    count += (size_t)rn_safetensors_count(files->file[f].tensors);
  }
  files->entry = calloc(count + 1, sizeof *files->entry);
  if (files->entry == NULL) return no_memory(err, path);
  for (int f = 0; f < files->file_count; f++) {
    const rn_safetensors *tensors = files->file[f].tensors;
    for (int i = 0; i < rn_safetensors_count(tensors); i++) {
      files->entry[files->count++] = (entry){rn_safetensors_at(tensors, i), f};
    }
  }
  qsort(files->entry, (size_t)files->count, sizeof *files->entry, by_name);
  for (int i = 1; i < files->count; i++) {
    if (by_name(&files->entry[i - 1], &files->entry[i]) != 0) continue;
    return rn_fail(err, RN_ERR_FORMAT, "%s: tensor \"%s\" is also in %s",
                   rn_tensor_files_path(files, i), files->entry[i].tensor->name,
                   rn_tensor_files_path(files, i - 1));
  }
  return RN_OK;
}

/* ---- opening ---- */

static rn_status open_index(rn_err *err, const char *folder, rn_tensor_files *files) {
  const rn_path path = rn_path_join(folder, RN_TENSOR_FILES_INDEX);
  void *text = NULL;
  size_t bytes = 0;
  json_error_t problem = {0};
  RN_TRY(err, rn_file_load(err, path.text, MAX_INDEX_BYTES, &text, &bytes));
  bool no_room;
  json_t *index = rn_json_parse(text, bytes, JSON_REJECT_DUPLICATES, &problem, &no_room);
  json_t *weight_map = json_object_get(index, "weight_map");
  free(text);
  if (no_room) return no_memory(err, path.text);
  rn_status status = RN_OK;
  if (!json_is_object(weight_map) || json_object_size(weight_map) == 0) {
    status = rn_fail(err, RN_ERR_FORMAT, "%s is not a JSON object with a weight_map%s%s", path.text,
                     index == NULL ? ": " : "", index == NULL ? problem.text : "");
  }
  if (status == RN_OK) status = add_files_of_index(err, folder, path.text, weight_map, files);
  if (status == RN_OK) status = list_tensors(err, path.text, files);
  if (status == RN_OK) status = check_index(err, folder, path.text, weight_map, files);
  json_decref(index);
  return status;
}

static rn_status open_files(rn_err *err, const char *path, rn_tensor_files *files) {
  struct stat info;
  rn_path single = {{0}};
  if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) {
    memcpy(single.text, path, strnlen(path, sizeof single.text - 1));
  } else {
    single = rn_path_join(path, RN_TENSOR_FILES_SINGLE);
    bool has_index, has_single;
    RN_TRY(err, rn_file_find(err, rn_path_join(path, RN_TENSOR_FILES_INDEX).text, &has_index));
    RN_TRY(err, rn_file_find(err, single.text, &has_single));
    if (has_index && !has_single) return open_index(err, path, files);
    if (!has_single) {
      return rn_fail(err, RN_ERR_NOT_FOUND,
                     "%s: has no " RN_TENSOR_FILES_SINGLE " and no " RN_TENSOR_FILES_INDEX
                     "; a model in another format, such as pytorch_model.bin, must be saved as "
                     "safetensors first",
                     path);
    }
  }
  RN_TRY(err, add_file(err, files, single.text));
  return list_tensors(err, path, files);
}

rn_status rn_tensor_files_open(rn_err *err, const char *path, rn_tensor_files **out) {
  rn_tensor_files *files = calloc(1, sizeof *files);
  if (files == NULL) return no_memory(err, path);
  const rn_status status = open_files(err, path, files);
  if (status != RN_OK) rn_tensor_files_close(&files);
  *out = files;
  return status;
}

void rn_tensor_files_close(rn_tensor_files **files) {
  rn_tensor_files *f = *files;
  if (f == NULL) return;
  for (int i = 0; i < f->file_count; i++) {
    rn_safetensors_close(&f->file[i].tensors);
    free(f->file[i].path);
  }
  free(f->entry);
  free(f);
  *files = NULL;
}

/* ---- access ---- */

int rn_tensor_files_count(const rn_tensor_files *files) {
  return files->count;
}

const rn_safetensors_tensor *rn_tensor_files_at(const rn_tensor_files *files, int index) {
  return files->entry[index].tensor;
}

int rn_tensor_files_find(const rn_tensor_files *files, const char *name) {
  const rn_safetensors_tensor wanted = {.name = name};
  const entry key = {&wanted, 0};
  if (files->count == 0) return -1;
  const entry *found =
      bsearch(&key, files->entry, (size_t)files->count, sizeof *files->entry, by_name);
  return found != NULL ? (int)(found - files->entry) : -1;
}

const char *rn_tensor_files_path(const rn_tensor_files *files, int index) {
  return files->file[files->entry[index].file].path;
}

const char *rn_tensor_files_metadata(const rn_tensor_files *files, const char *key) {
  return rn_safetensors_metadata(files->file[0].tensors, key);
}

rn_status rn_tensor_files_read(rn_err *err, const rn_tensor_files *files, int index, int64_t first,
                               int64_t count, float *out) {
  enum { PIECE = 8192 };
  char piece[PIECE * sizeof(float)];
  const rn_safetensors_tensor *tensor = files->entry[index].tensor;
  const rn_safetensors *tensors = files->file[files->entry[index].file].tensors;
  if (!rn_floats_has(tensor->type)) {
    return rn_fail(
        err, RN_ERR_FORMAT, "%s: tensor \"%s\" has dtype %s; it must be F32, F16 or BF16",
        rn_tensor_files_path(files, index), tensor->name, rn_safetensors_type_name(tensor->type));
  }
  if (tensor->type == RN_SAFETENSORS_F32) {
    return rn_safetensors_read(err, tensors, tensor, first, count, out);
  }
  for (int64_t done = 0; done < count; done += PIECE) {
    const int64_t now = count - done < PIECE ? count - done : PIECE;
    RN_TRY(err, rn_safetensors_read(err, tensors, tensor, first + done, now, piece));
    rn_floats_from(tensor->type, piece, now, out + done);
  }
  return RN_OK;
}

/* Reads safetensors files; checks the whole header before any tensor is used. */
#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "data/exchange/safetensors.h"
#include "data/file/file.h"
#include "data/file/json_text.h"

enum { LENGTH_BYTES = 8, MAX_HEADER_BYTES = 100000000 };

struct rn_safetensors {
  rn_file file;
  json_t *header; /* owns the names */
  rn_safetensors_tensor *tensors;
  int count;
};

static const struct {
  const char *name;
  size_t bytes;
} types[RN_SAFETENSORS_TYPE_COUNT] = {
#define TYPE_ROW(name, bytes) [RN_SAFETENSORS_##name] = {#name, bytes},
    RN_SAFETENSORS_TYPES(TYPE_ROW)
#undef TYPE_ROW
};

const char *rn_safetensors_type_name(rn_safetensors_type type) {
  return types[type].name;
}

size_t rn_safetensors_type_bytes(rn_safetensors_type type) {
  return types[type].bytes;
}

static rn_status bad(rn_err *err, const rn_safetensors *file, const char *name, const char *what) {
  return rn_fail(err, RN_ERR_FORMAT, "%s: tensor \"%s\": %s", file->file.path, name, what);
}

static rn_status read_type(rn_err *err, const rn_safetensors *file, const json_t *value,
                           rn_safetensors_tensor *tensor) {
  const char *name = json_string_value(value);
  for (int i = 0; name != NULL && i < RN_SAFETENSORS_TYPE_COUNT; i++) {
    if (strcmp(types[i].name, name) == 0) {
      tensor->type = (rn_safetensors_type)i;
      return RN_OK;
    }
  }
  return bad(err, file, tensor->name, "its dtype is missing or unknown");
}

/* Rejects shapes whose size in bytes overflows int64_t. */
static rn_status read_shape(rn_err *err, const rn_safetensors *file, const json_t *value,
                            rn_safetensors_tensor *tensor) {
  if (!json_is_array(value) || json_array_size(value) > RN_SAFETENSORS_DIMS) {
    return bad(err, file, tensor->name, "its shape is missing or has more than 8 dimensions");
  }
  int64_t most = INT64_MAX / 8;
  tensor->dims = (int)json_array_size(value);
  tensor->count = 1;
  for (int i = 0; i < tensor->dims; i++) {
    const json_t *dim = json_array_get(value, (size_t)i);
    int64_t size = json_is_integer(dim) ? json_integer_value(dim) : -1;
    if (size < 0 || (size > 0 && tensor->count > most / size)) {
      return bad(err, file, tensor->name, "its shape has an invalid dimension");
    }
    tensor->shape[i] = size;
    tensor->count *= size;
  }
  return RN_OK;
}

static rn_status read_range(rn_err *err, const rn_safetensors *file, const json_t *value,
                            int64_t data_start, rn_safetensors_tensor *tensor) {
  const json_t *begin = json_array_get(value, 0), *end = json_array_get(value, 1);
  int64_t data_bytes = file->file.size_bytes - data_start;
  if (json_array_size(value) != 2 || !json_is_integer(begin) || !json_is_integer(end)) {
    return bad(err, file, tensor->name, "its data_offsets are not two numbers");
  }
  int64_t first = json_integer_value(begin), last = json_integer_value(end);
  if (first < 0 || last < first || last > data_bytes) {
    return bad(err, file, tensor->name,
               "its data_offsets are outside the file: is the file truncated?");
  }
  if (last - first != tensor->count * (int64_t)types[tensor->type].bytes) {
    return bad(err, file, tensor->name, "its data_offsets do not match its dtype and shape");
  }
  tensor->offset = data_start + first;
  return RN_OK;
}

static rn_status read_tensor(rn_err *err, const rn_safetensors *file, const json_t *value,
                             int64_t data_start, rn_safetensors_tensor *tensor) {
  if (!json_is_object(value)) return bad(err, file, tensor->name, "it is not an object");
  RN_TRY(err, read_type(err, file, json_object_get(value, "dtype"), tensor));
  RN_TRY(err, read_shape(err, file, json_object_get(value, "shape"), tensor));
  return read_range(err, file, json_object_get(value, "data_offsets"), data_start, tensor);
}

static int64_t tensor_bytes(const rn_safetensors_tensor *tensor) {
  return tensor->count * (int64_t)types[tensor->type].bytes;
}

/* Compares by offset; at the same offset, an empty tensor comes before a non-empty one. */
static int by_offset(const void *a, const void *b) {
  const rn_safetensors_tensor *x = a, *y = b;
  if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
  return (tensor_bytes(x) > 0) - (tensor_bytes(y) > 0);
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const rn_safetensors_tensor *)a)->name, ((const rn_safetensors_tensor *)b)->name);
}

static rn_status check_no_holes(rn_err *err, rn_safetensors *file, int64_t data_start) {
  int64_t end = data_start;
  if (file->count > 0) qsort(file->tensors, (size_t)file->count, sizeof *file->tensors, by_offset);
  for (int i = 0; i < file->count; i++) {
    if (file->tensors[i].offset != end) {
      return bad(err, file, file->tensors[i].name,
                 "its bytes overlap another tensor's or leave a gap");
    }
    end += tensor_bytes(&file->tensors[i]);
  }
  if (end != file->file.size_bytes) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: the bytes from %lld on belong to no tensor",
                   file->file.path, (long long)end);
  }
  return RN_OK;
}

static rn_status check_notes(rn_err *err, const rn_safetensors *file, json_t *notes) {
  const char *key;
  json_t *value;
  if (!json_is_object(notes)) return bad(err, file, "__metadata__", "it is not an object");
  json_object_foreach(notes, key, value) {
    if (!json_is_string(value))
      return bad(err, file, "__metadata__", "it contains a value that is not a string");
  }
  return RN_OK;
}

static rn_status read_tensors(rn_err *err, rn_safetensors *file, int64_t data_start) {
  const char *name;
  json_t *value;
  size_t most = json_object_size(file->header);
  file->tensors = calloc(most + 1, sizeof *file->tensors);
  if (file->tensors == NULL) {
    return rn_fail(err, RN_ERR_MEMORY, "out of memory while reading the header of %s",
                   file->file.path);
  }
  json_object_foreach(file->header, name, value) {
    if (strcmp(name, "__metadata__") == 0) {
      RN_TRY(err, check_notes(err, file, value));
      continue;
    }
    rn_safetensors_tensor *tensor = &file->tensors[file->count];
    tensor->name = name;
    RN_TRY(err, read_tensor(err, file, value, data_start, tensor));
    file->count++;
  }
  RN_TRY(err, check_no_holes(err, file, data_start));
  if (file->count > 0) qsort(file->tensors, (size_t)file->count, sizeof *file->tensors, by_name);
  return RN_OK;
}

static rn_status no_memory(rn_err *err, const char *path) {
  return rn_fail(err, RN_ERR_MEMORY, "out of memory while reading the header of %s", path);
}

/* Sets file->header to the JSON object `text`. */
static rn_status parse_header(rn_err *err, rn_safetensors *file, const char *text, size_t bytes) {
  json_error_t problem = {0};
  bool no_room;
  file->header = rn_json_parse(text, bytes, JSON_REJECT_DUPLICATES, &problem, &no_room);
  if (json_is_object(file->header)) return RN_OK;
  if (no_room) return no_memory(err, file->file.path);
  return rn_fail(err, RN_ERR_FORMAT, "%s: the header is not a JSON object (byte %d: %s)",
                 file->file.path, LENGTH_BYTES + problem.position, problem.text);
}

static rn_status read_header(rn_err *err, rn_safetensors *file) {
  unsigned char length[LENGTH_BYTES];
  uint64_t bytes = 0;
  RN_TRY(err, rn_file_read(err, &file->file, 0, length, sizeof length));
  for (int i = LENGTH_BYTES - 1; i >= 0; i--) bytes = bytes << 8 | length[i];
  if (bytes > MAX_HEADER_BYTES || (int64_t)bytes > file->file.size_bytes - LENGTH_BYTES) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s: its header length of %llu bytes is invalid: is it a safetensors file?",
                   file->file.path, (unsigned long long)bytes);
  }
  char *text = malloc((size_t)bytes + 1);
  if (text == NULL) return no_memory(err, file->file.path);
  rn_status status = rn_file_read(err, &file->file, LENGTH_BYTES, text, (size_t)bytes);
  if (status == RN_OK) status = parse_header(err, file, text, (size_t)bytes);
  free(text);
  return status == RN_OK ? read_tensors(err, file, LENGTH_BYTES + (int64_t)bytes) : status;
}

rn_status rn_safetensors_open(rn_err *err, const char *path, rn_safetensors **out) {
  rn_status status;
  rn_safetensors *file = calloc(1, sizeof *file);
  if (file == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while opening %s", path);
  if ((status = rn_file_open(err, path, &file->file)) != RN_OK) goto fail;
  if ((status = read_header(err, file)) != RN_OK) goto fail;
  *out = file;
  return RN_OK;
fail:
  rn_safetensors_close(&file);
  return status;
}

void rn_safetensors_close(rn_safetensors **file) {
  if (*file == NULL) return;
  rn_file_destroy(&(*file)->file);
  json_decref((*file)->header);
  free((*file)->tensors);
  free(*file);
  *file = NULL;
}

int rn_safetensors_count(const rn_safetensors *file) {
  return file->count;
}

const rn_safetensors_tensor *rn_safetensors_at(const rn_safetensors *file, int index) {
  return &file->tensors[index];
}

const rn_safetensors_tensor *rn_safetensors_find(const rn_safetensors *file, const char *name) {
  rn_safetensors_tensor key = {.name = name};
  if (file->count == 0) return NULL;
  return bsearch(&key, file->tensors, (size_t)file->count, sizeof key, by_name);
}

const char *rn_safetensors_metadata(const rn_safetensors *file, const char *key) {
  return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}

rn_status rn_safetensors_read(rn_err *err, const rn_safetensors *file,
                              const rn_safetensors_tensor *tensor, int64_t first, int64_t count,
                              void *out) {
  assert(first >= 0 && count >= 0 && first <= tensor->count && count <= tensor->count - first);
  int64_t each = (int64_t)rn_safetensors_type_bytes(tensor->type);
  return rn_file_read(err, &file->file, tensor->offset + first * each, out, (size_t)(count * each));
}

static double as_double(rn_safetensors_type type, const char *element) {
  float f32;
  double f64;
  int64_t i64;
  int32_t i32;
  switch (type) {
    case RN_SAFETENSORS_F32:
      memcpy(&f32, element, sizeof f32);
      return (double)f32;
    case RN_SAFETENSORS_F64:
      memcpy(&f64, element, sizeof f64);
      return f64;
    case RN_SAFETENSORS_I64:
      memcpy(&i64, element, sizeof i64);
      return (double)i64;
    default:
      memcpy(&i32, element, sizeof i32);
      return (double)i32;
  }
}

rn_status rn_safetensors_read_f64(rn_err *err, const rn_safetensors *file,
                                  const rn_safetensors_tensor *tensor, int64_t first, int64_t count,
                                  double *out) {
  enum { PIECE = 1024 };
  char piece[PIECE * 8];
  if (tensor->type > RN_SAFETENSORS_I32) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s: tensor \"%s\" has dtype %s; it must be F32, F64, I64 or I32",
                   file->file.path, tensor->name, rn_safetensors_type_name(tensor->type));
  }
  size_t each = rn_safetensors_type_bytes(tensor->type);
  for (int64_t done = 0; done < count; done += PIECE) {
    int64_t now = count - done < PIECE ? count - done : PIECE;
    RN_TRY(err, rn_safetensors_read(err, file, tensor, first + done, now, piece));
    for (int64_t i = 0; i < now; i++) {
      out[done + i] = as_double(tensor->type, piece + (size_t)i * each);
    }
  }
  return RN_OK;
}

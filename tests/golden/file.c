/* Opens a case, determines its kind from the names of its arrays, and loads arrays. */
#include <math.h>
#include <stdlib.h>

#include "proto/base/arena.h"
#include "tests/golden/golden.h"

/** A block of memory that a case owns: list pointer and contents. */
struct golden_block {
  struct golden_block *next;
  double bytes[]; /* double: aligned for all element types in use */
};

rn_status golden_take(rn_err *err, golden_case *c, int64_t count, size_t bytes_each, void *out) {
  struct golden_block *block = NULL;
  if (count < 0 || (uint64_t)count > (SIZE_MAX / 2) / bytes_each) {
    return rn_fail(err, RN_ERR_MEMORY, "%s: an array of %lld elements does not fit into memory",
                   c->path, (long long)count);
  }
  RN_TRY(err, rn_alloc(err, c->path, 1, sizeof *block + (size_t)count * bytes_each, &block));
  block->next = c->blocks;
  c->blocks = block;
  *(void **)out = block->bytes;
  return RN_OK;
}

bool golden_has(const golden_case *c, const char *name) {
  return rn_safetensors_find(c->file, name) != NULL;
}

int64_t golden_count(golden_shape shape) {
  int64_t count = 1;
  for (int i = 0; i < shape.dims; i++) count *= shape.n[i];
  return count;
}

bool golden_is_shape(const rn_safetensors_tensor *tensor, golden_shape shape) {
  if (tensor->dims != shape.dims) return false;
  for (int i = 0; i < shape.dims; i++) {
    if (tensor->shape[i] != shape.n[i]) return false;
  }
  return true;
}

static rn_status report_kind(rn_err *err, golden_case *c) {
  static const struct {
    const char *array;
    golden_kind kind;
  } signs[] = {{"in.S0", GOLDEN_CORE},
               {"in.q", GOLDEN_CORE},
               {"in.pos", GOLDEN_ROTARY},
               {"param_init.embed_tokens.weight", GOLDEN_ADAMW},
               {"param.model.embeddings.weight", GOLDEN_FLA},
               {"param.embed_tokens.weight", GOLDEN_MODEL},
               {"param.q_proj.weight", GOLDEN_LAYER}};
  for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++) {
    if (!golden_has(c, signs[i].array)) continue;
    c->kind = signs[i].kind;
    const bool own = json_object_get(c->config, "run_config") != NULL;
    if (c->kind == GOLDEN_MODEL && own) c->kind = GOLDEN_ATTENTION;
    return RN_OK;
  }
  return rn_fail(err, RN_ERR_FORMAT,
                 "%s: no kind of case has these arrays (in.q, in.pos, param.q_proj.weight, "
                 "param.embed_tokens.weight ... are missing)",
                 c->path);
}

static rn_status read_config(rn_err *err, golden_case *c) {
  const char *text = rn_safetensors_metadata(c->file, "config");
  if (text == NULL) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: no config in __metadata__", c->path);
  }
  json_error_t error;
  c->config = json_loads(text, 0, &error);
  if (c->config == NULL || !json_is_object(c->config)) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: config is no JSON object: %s", c->path, error.text);
  }
  return RN_OK;
}

rn_status golden_open(rn_err *err, const char *path, golden_case *out) {
  *out = (golden_case){.path = path};
  RN_TRY(err, rn_safetensors_open(err, path, &out->file));
  RN_TRY(err, read_config(err, out));
  RN_TRY(err, golden_read_tolerances(err, out));
  RN_TRY(err, report_kind(err, out));
  for (int p = 0; p < GOLDEN_PRECISIONS; p++) {
    RN_TRY(err,
           golden_take(err, out, rn_safetensors_count(out->file), sizeof(bool), &out->reached[p]));
  }
  return RN_OK;
}

void golden_close(golden_case *c) {
  rn_safetensors_close(&c->file);
  json_decref(c->own_bounds);
  json_decref(c->table_bounds);
  json_decref(c->config);
  while (c->blocks != NULL) {
    struct golden_block *next = c->blocks->next;
    free(c->blocks);
    c->blocks = next;
  }
  *c = (golden_case){0};
}

rn_status golden_shape_of(rn_err *err, const golden_case *c, const char *name, int dims,
                          golden_shape *out) {
  const rn_safetensors_tensor *tensor = rn_safetensors_find(c->file, name);
  if (tensor == NULL) return rn_fail(err, RN_ERR_FORMAT, "%s: %s is missing", c->path, name);
  if (tensor->dims != dims || tensor->count == 0) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: %s must have %d dimensions, none of 0", c->path, name,
                   dims);
  }
  out->dims = dims;
  for (int i = 0; i < dims; i++) {
    if (tensor->shape[i] > INT32_MAX) {
      return rn_fail(err, RN_ERR_FORMAT, "%s: %s has a dimension of 2^31 or more", c->path, name);
    }
    out->n[i] = tensor->shape[i];
  }
  return RN_OK;
}

rn_status golden_load(rn_err *err, golden_case *c, const char *name, golden_shape shape,
                      const double **out) {
  golden_shape found;
  RN_TRY(err, golden_shape_of(err, c, name, shape.dims, &found));
  if (!golden_is_shape(rn_safetensors_find(c->file, name), shape)) {
    return rn_fail(err, RN_ERR_FORMAT,
                   "%s: %s does not have the shape that config and inputs imply", c->path, name);
  }
  double *values = NULL;
  RN_TRY(err, golden_take(err, c, golden_count(shape), sizeof *values, &values));
  RN_TRY(err, rn_safetensors_read_f64(err, c->file, rn_safetensors_find(c->file, name), 0,
                                      golden_count(shape), values));
  *out = values;
  return RN_OK;
}

rn_status golden_load_ids(rn_err *err, golden_case *c, const char *name, golden_shape shape,
                          int64_t limit, int32_t **out) {
  const double *values;
  RN_TRY(err, golden_load(err, c, name, shape, &values));
  int64_t count = golden_count(shape);
  RN_TRY(err, golden_take(err, c, count, sizeof **out, out));
  for (int64_t i = 0; i < count; i++) {
    if (!(values[i] >= 0 && values[i] < (double)limit && values[i] == floor(values[i]))) {
      return rn_fail(err, RN_ERR_FORMAT, "%s: %s[%lld] = %g is not a whole number below %lld",
                     c->path, name, (long long)i, values[i], (long long)limit);
    }
    (*out)[i] = (int32_t)values[i];
  }
  return RN_OK;
}

#include "trainer/exchange/import_tensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = RN_PARAM_NAME_BYTES + 16 };

typedef struct search {
  const rn_tensor_files *files;
  const rn_exchange_format *format;
  const rn_spec *spec;
  const rn_param_table *table;
  rn_tensor_source *source;
  const char *prefix;
  bool *used; /* [tensors of the files] */
} search;

static rn_status bad(rn_err *err, const search *s, int tensor, const char *what) {
  return rn_fail(err, RN_ERR_MISMATCH, "%s: tensor \"%s\" %s",
                 rn_tensor_files_path(s->files, tensor), rn_tensor_files_at(s->files, tensor)->name,
                 what);
}

/* Returns the index of the other program's tensor for our parameter `ours`, or -1. */
static int find(const search *s, const char *ours) {
  char name[NAME_BYTES], full[2 * NAME_BYTES];
  int found = -1;
  for (int older = 0; older < 2 && found < 0; older++) {
    if (!rn_format_name(s->format, ours, older == 1, name, sizeof name)) continue;
    snprintf(full, sizeof full, "%s%s", s->prefix, name);
    found = rn_tensor_files_find(s->files, full);
  }
  return found;
}

static rn_status check_shape(rn_err *err, const search *s, int tensor, const rn_param *p,
                             int64_t rows) {
  const rn_safetensors_tensor *t = rn_tensor_files_at(s->files, tensor);
  if (t->dims == (p->matrix ? 2 : 1) && t->shape[0] == rows &&
      (!p->matrix || t->shape[1] == p->cols)) {
    return RN_OK;
  }
  char shape[64] = "";
  snprintf(shape, sizeof shape, p->matrix ? "[%lld, %lld]" : "[%lld]", (long long)rows,
           (long long)p->cols);
  return rn_fail(err, RN_ERR_MISMATCH,
                 "%s: the shape of tensor \"%s\" does not match the configuration: expected %s",
                 rn_tensor_files_path(s->files, tensor), t->name, shape);
}

/* Returns the index of the tensor that holds the rows of both fc1 and gate, or -1. `index` is the
 * index of gate in the parameter table, directly after fc1. */
static int find_fused(const search *s, int index) {
  const rn_param *gate = &s->table->param[index];
  if (!s->format->fuses_gate || strstr(gate->name, ".ffn.gate.weight") == NULL) return -1;
  const int tensor = find(s, gate[-1].name);
  if (tensor < 0) return -1;
  const rn_safetensors_tensor *t = rn_tensor_files_at(s->files, tensor);
  return t->dims == 2 && t->shape[0] == 2 * gate->rows ? tensor : -1;
}

static rn_status find_param(rn_err *err, search *s, int index) {
  const rn_param *p = &s->table->param[index];
  rn_tensor_source *source = &s->source[index];
  *source = (rn_tensor_source){find(s, p->name), 0};
  if (source->tensor < 0) *source = (rn_tensor_source){find_fused(s, index), p->rows * p->cols};
  if (source->tensor < 0) {
    char name[NAME_BYTES] = "";
    rn_format_name(s->format, p->name, false, name, sizeof name);
    return rn_fail(err, RN_ERR_MISMATCH, "%s: tensor \"%s%s\" is missing",
                   rn_tensor_files_path(s->files, 0), s->prefix, name);
  }
  s->used[source->tensor] = true;
  return RN_OK;
}

/* Checks the shape of the tensor of every parameter. One tensor may hold two consecutive
 * parameters: fc1 and gate. */
static rn_status check_shapes(rn_err *err, const search *s) {
  for (int i = 0; i < s->table->count; i++) {
    const rn_param *p = &s->table->param[i];
    const int tensor = s->source[i].tensor;
    const bool fused = i + 1 < s->table->count && s->source[i + 1].tensor == tensor;
    RN_TRY(err, check_shape(err, s, tensor, p, fused ? 2 * p->rows : p->rows));
    i += fused;
  }
  return RN_OK;
}

/* ---- tensors that checkpoints do not store ---- */

/* Checks that a table of torchscale equals ours within fp32 rounding, because the official code
 * computes it in fp32. */
static rn_status check_table(rn_err *err, search *s, const char *ours, int count,
                             const double *expected, const char *meaning) {
  const int tensor = find(s, ours);
  float value = 0;
  if (tensor < 0) return RN_OK;
  const rn_safetensors_tensor *t = rn_tensor_files_at(s->files, tensor);
  if (t->dims != 1 || t->count != count) return bad(err, s, tensor, "has an unexpected shape");
  for (int i = 0; i < count; i++) {
    RN_TRY(err, rn_tensor_files_read(err, s->files, tensor, i, 1, &value));
    if (!(fabs((double)value - expected[i]) <= 1e-6)) return bad(err, s, tensor, meaning);
  }
  s->used[tensor] = true;
  return RN_OK;
}

static rn_status check_tables(rn_err *err, search *s) {
  const int width = rn_spec_key_width(s->spec), heads = s->spec->heads;
  double *numbers = calloc((size_t)(2 * width + heads), sizeof *numbers);
  if (numbers == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while importing a model");
  double *angle = numbers + width, *decay = angle + width;
  rn_spec_angles(s->spec->rotary, width, numbers);
  for (int i = 0; i < width; i++) angle[i] = numbers[i / 2];
  rn_spec_log_decay(s->spec, 0, decay);
  rn_status status = check_table(err, s, "retnet_rel_pos.angle", width, angle,
                                 "does not contain the angles of torchscale's rotation");
  if (status == RN_OK) {
    status = check_table(
        err, s, "retnet_rel_pos.decay", heads, decay,
        "does not contain the decays 1 - 2^(-5-h), the only ones that torchscale supports");
  }
  free(numbers);
  return status;
}

/* If the files contain an output projection, checks that it equals the tied embedding. */
static rn_status check_tied(rn_err *err, search *s) {
  enum { PIECE = 4096 };
  float a[PIECE], b[PIECE];
  const int output = find(s, "output_projection.weight"), embed = find(s, "embed_tokens.weight");
  if (!s->spec->tie_embeddings || output < 0) return RN_OK;
  const rn_param *p = rn_param_find(s->table, "embed_tokens.weight");
  RN_TRY(err, check_shape(err, s, output, p, p->rows));
  for (int64_t first = 0; first < p->rows * p->cols; first += PIECE) {
    const int64_t left = p->rows * p->cols - first, count = left < PIECE ? left : PIECE;
    RN_TRY(err, rn_tensor_files_read(err, s->files, output, first, count, a));
    RN_TRY(err, rn_tensor_files_read(err, s->files, embed, first, count, b));
    if (memcmp(a, b, (size_t)count * sizeof *a) != 0) {
      return bad(err, s, output, "differs from the embedding, although the two are tied");
    }
  }
  s->used[output] = true;
  return RN_OK;
}

/* True for rotary embedding tables, which old versions of transformers stored. */
static bool is_ignored(const char *name) {
  const size_t length = strlen(name), end = strlen(".inv_freq");
  return length > end && strcmp(name + length - end, ".inv_freq") == 0;
}

static rn_status check_unused(rn_err *err, const search *s) {
  for (int i = 0; i < rn_tensor_files_count(s->files); i++) {
    if (s->used[i] || is_ignored(rn_tensor_files_at(s->files, i)->name)) continue;
    return bad(err, s, i, "has no counterpart in the model of this configuration");
  }
  return RN_OK;
}

static rn_status find_all(rn_err *err, search *s) {
  for (int i = 0; i < s->table->count; i++) RN_TRY(err, find_param(err, s, i));
  RN_TRY(err, check_shapes(err, s));
  RN_TRY(err, check_tied(err, s));
  if (s->format->has_buffers) RN_TRY(err, check_tables(err, s));
  return check_unused(err, s);
}

rn_status rn_import_find(rn_err *err, const rn_tensor_files *files,
                         const rn_exchange_format *format, const rn_spec *spec,
                         const rn_param_table *table, rn_tensor_source *source) {
  search s = {.files = files,
              .format = format,
              .spec = spec,
              .table = table,
              .source = source,
              .prefix = ""};
  const bool fairseq = rn_tensor_files_find(files, "decoder.embed_tokens.weight") >= 0;
  if (format->names == NULL && fairseq) s.prefix = "decoder.";
  s.used = calloc((size_t)rn_tensor_files_count(files) + 1, sizeof *s.used);
  if (s.used == NULL) return rn_fail(err, RN_ERR_MEMORY, "out of memory while importing a model");
  const rn_status status = find_all(err, &s);
  free(s.used);
  return status;
}

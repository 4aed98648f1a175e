/* Builds the parameter table in one pass over the model, in memory order. */
#include "model/spec/param.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"

/* Maximum numbers of tensors. OUTER_PARAMS: embedding, embedding norm, final norm, output.
 * LAYER_PARAMS: two norms, five matrices and a head norm of retention, three matrices of the
 * feed-forward block. Each norm except the head norm counts twice, for weight and bias. */
enum { OUTER_PARAMS = 6, LAYER_PARAMS = 13 };

static int64_t add(rn_param_table *table, rn_param shape, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Appends a tensor and returns its offset. */
static int64_t add(rn_param_table *table, rn_param shape, const char *format, ...) {
  rn_param *param = &table->param[table->count++];
  *param = shape;
  va_list args;
  va_start(args, format);
  vsnprintf(param->name, sizeof param->name, format, args);
  va_end(args);
  param->offset = table->total;
  table->total += param->rows * param->cols;
  return param->offset;
}

static rn_param vector_of(int64_t width, rn_init init) {
  return (rn_param){.rows = width, .cols = 1, .init = init};
}

/* Returns a matrix with its initialization. `divisor` is deepnorm_divisor() or 1; both kinds of
 * initialization divide the spread by it. */
static rn_param matrix_of(const rn_spec *spec, int64_t rows, int64_t cols, rn_init init,
                          double spread, double divisor) {
  rn_param param = {.rows = rows, .cols = cols, .matrix = true, .init = init, .spread = spread};
  if (spec->init == RN_INIT_NORMAL002) {
    param.init = RN_INIT_NORMAL;
    param.spread = 0.02;
  }
  param.spread /= divisor;
  return param;
}

static double deepnorm_divisor(const rn_spec *spec) {
  return spec->deepnorm ? pow(8.0 * spec->layers, 0.25) : 1.0;
}

/* Returns the bound of Xavier's uniform distribution for a matrix [rows, cols]. */
static double xavier(double gain, int64_t rows, int64_t cols) {
  return gain * sqrt(6.0 / (double)(rows + cols));
}

typedef struct rn_norm_offsets {
  int64_t weight, bias;
} rn_norm_offsets;

static rn_norm_offsets add_norm(const rn_spec *spec, rn_param_table *table, const char *name) {
  rn_norm_offsets at = {add(table, vector_of(spec->dim, RN_INIT_ONES), "%s.weight", name), -1};
  if (spec->block_norm == RN_BLOCK_NORM_LAYER) {
    at.bias = add(table, vector_of(spec->dim, RN_INIT_ZEROS), "%s.bias", name);
  }
  return at;
}

static rn_param projection_of(const rn_spec *spec, int64_t rows, int64_t cols, double gain,
                              double divisor) {
  return matrix_of(spec, rows, cols, RN_INIT_UNIFORM, xavier(gain, rows, cols), divisor);
}

static int64_t add_projection(rn_param_table *table, int layer, const char *block, const char *name,
                              rn_param projection) {
  return add(table, projection, "layers.%d.%s.%s_proj.weight", layer, block, name);
}

/* Adds the parameters of a retention block. Source of the initial values: torchscale
 * MultiScaleRetention.reset_parameters. */
static void add_retention(const rn_spec *spec, rn_param_table *table, int layer,
                          rn_layer_params *at) {
  const double in_gain = exp2(-2.5), out_gain = 0.5, divisor = deepnorm_divisor(spec);
  int64_t dim = spec->dim, value_dim = spec->value_dim;
  const rn_param qk = projection_of(spec, dim, dim, in_gain, 1);
  const rn_param v = projection_of(spec, value_dim, dim, in_gain, divisor);
  const rn_param g = projection_of(spec, value_dim, dim, in_gain, 1);
  const rn_param out = projection_of(spec, dim, value_dim, out_gain, divisor);
  at->k = add_projection(table, layer, "retention", "k", qk);
  at->v = add_projection(table, layer, "retention", "v", v);
  at->q = add_projection(table, layer, "retention", "q", qk);
  at->g = spec->gate ? add_projection(table, layer, "retention", "g", g) : -1;
  at->out = add_projection(table, layer, "retention", "out", out);
  at->head_norm = -1;
  if (spec->head_norm == RN_HEAD_NORM_RMS_AFFINE) {
    at->head_norm = add(table, vector_of(rn_spec_value_width(spec), RN_INIT_ONES),
                        "layers.%d.retention.g_norm.weight", layer);
  }
}

/* Adds the parameters of an attention block. Source of the initial values: torchscale
 * MultiheadAttention.reset_parameters. */
static void add_attention(const rn_spec *spec, rn_param_table *table, int layer,
                          rn_layer_params *at) {
  const double in_gain = sqrt(0.5), divisor = deepnorm_divisor(spec);
  const int64_t dim = spec->dim, kv_dim = (int64_t)spec->kv_heads * rn_spec_attention_width(spec);
  const char *block = "self_attn";
  at->k = add_projection(table, layer, block, "k", projection_of(spec, kv_dim, dim, in_gain, 1));
  at->v =
      add_projection(table, layer, block, "v", projection_of(spec, kv_dim, dim, in_gain, divisor));
  at->q = add_projection(table, layer, block, "q", projection_of(spec, dim, dim, in_gain, 1));
  at->out = add_projection(table, layer, block, "out", projection_of(spec, dim, dim, 1, divisor));
  at->g = at->head_norm = -1;
}

static rn_param linear_of(const rn_spec *spec, int64_t rows, int64_t cols, double divisor) {
  return matrix_of(spec, rows, cols, RN_INIT_UNIFORM, 1.0 / sqrt((double)cols), divisor);
}

static int64_t add_linear(rn_param_table *table, int layer, const char *name, rn_param linear) {
  return add(table, linear, "layers.%d.ffn.%s.weight", layer, name);
}

static void add_ffn(const rn_spec *spec, rn_param_table *table, int layer, rn_layer_params *at) {
  const double divisor = deepnorm_divisor(spec);
  const int64_t dim = spec->dim, ffn_dim = spec->ffn_dim;
  const bool glu = spec->ffn == RN_FFN_GLU;
  at->fc1 = add_linear(table, layer, "fc1", linear_of(spec, ffn_dim, dim, divisor));
  at->gate = glu ? add_linear(table, layer, "gate", linear_of(spec, ffn_dim, dim, 1)) : -1;
  at->fc2 = add_linear(table, layer, "fc2", linear_of(spec, dim, ffn_dim, divisor));
}

static void add_layer(const rn_spec *spec, rn_param_table *table, int layer, rn_layer_params *at) {
  char name[RN_PARAM_NAME_BYTES / 2];
  const bool attends = rn_spec_attends(spec, layer);
  snprintf(name, sizeof name, "layers.%d.%s_layer_norm", layer,
           attends ? "self_attn" : "retention");
  rn_norm_offsets norm = add_norm(spec, table, name);
  at->retention_norm = norm.weight;
  at->retention_norm_bias = norm.bias;
  if (attends) {
    add_attention(spec, table, layer, at);
  } else {
    add_retention(spec, table, layer, at);
  }
  snprintf(name, sizeof name, "layers.%d.final_layer_norm", layer);
  norm = add_norm(spec, table, name);
  at->ffn_norm = norm.weight;
  at->ffn_norm_bias = norm.bias;
  add_ffn(spec, table, layer, at);
}

static int64_t add_vocabulary(const rn_spec *spec, rn_param_table *table, const char *name) {
  double deviation = 1.0 / sqrt((double)spec->dim);
  return add(table, matrix_of(spec, spec->vocab, spec->dim, RN_INIT_NORMAL, deviation, 1), "%s",
             name);
}

static void add_embedding(const rn_spec *spec, rn_param_table *table) {
  table->embedding = add_vocabulary(spec, table, "embed_tokens.weight");
  if (!spec->embedding_norm) return;
  rn_norm_offsets norm = add_norm(spec, table, "layernorm_embedding");
  table->embedding_norm = norm.weight;
  table->embedding_norm_bias = norm.bias;
}

/* Adds the parameters of the head. If embeddings are tied and the stage has no embedding, the head
 * has a copy of the embedding. */
static void add_head(const rn_spec *spec, rn_param_table *table) {
  if (spec->pre_norm) {
    rn_norm_offsets norm = add_norm(spec, table, "layer_norm");
    table->final_norm = norm.weight;
    table->final_norm_bias = norm.bias;
  }
  if (!spec->tie_embeddings) {
    table->output = add_vocabulary(spec, table, "output_projection.weight");
    return;
  }
  if (table->embedding < 0) {
    table->embedding = add_vocabulary(spec, table, "embed_tokens.weight");
    table->param[table->count - 1].copy = true;
  }
  table->output = table->embedding;
}

rn_status rn_param_table_create(rn_err *err, const rn_spec *spec, int first_layer, int last_layer,
                                rn_param_table **out) {
  assert(0 <= first_layer && first_layer <= last_layer && last_layer <= spec->layers);
  size_t layers = (size_t)(last_layer - first_layer);
  rn_param_table *table = NULL;
  rn_status status = rn_alloc(err, "parameter table", 1, sizeof *table, &table);
  if (status != RN_OK) goto fail;
  status = rn_alloc(err, "parameter table", OUTER_PARAMS + layers * LAYER_PARAMS,
                    sizeof table->param[0], &table->param);
  if (status != RN_OK) goto fail;
  status = rn_alloc(err, "parameter table", layers, sizeof table->layer[0], &table->layer);
  if (status != RN_OK) goto fail;
  table->embedding = table->embedding_norm = table->embedding_norm_bias = -1;
  table->final_norm = table->final_norm_bias = table->output = -1;
  if (first_layer == 0) add_embedding(spec, table);
  for (int l = first_layer; l < last_layer; l++) {
    table->layer[l - first_layer].index = l - first_layer;
    table->layer[l - first_layer].attending = rn_spec_attention_layers(spec, first_layer, l);
    add_layer(spec, table, l, &table->layer[l - first_layer]);
  }
  if (last_layer == spec->layers) add_head(spec, table);
  *out = table;
  return RN_OK;
fail:
  rn_param_table_destroy(&table);
  return status;
}

void rn_param_table_destroy(rn_param_table **table) {
  if (*table == NULL) return;
  free((*table)->param);
  free((*table)->layer);
  free(*table);
  *table = NULL;
}

const rn_param *rn_param_find(const rn_param_table *table, const char *name) {
  for (int i = 0; i < table->count; i++) {
    if (strcmp(table->param[i].name, name) == 0) return &table->param[i];
  }
  return NULL;
}

int rn_param_at(const rn_param_table *table, int64_t at) {
  int low = 0, high = table->count;
  while (high - low > 1) {
    const int middle = low + (high - low) / 2;
    if (table->param[middle].offset <= at) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

rn_range rn_param_within(const rn_param *param, rn_range range) {
  const int64_t begin = param->offset, end = begin + param->rows * param->cols;
  rn_range part = {begin > range.begin ? begin : range.begin, end < range.end ? end : range.end};
  if (part.begin >= part.end) part = (rn_range){range.begin, range.begin};
  return part;
}

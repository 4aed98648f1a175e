/**
 * The table of a stage's parameters: names, shapes, offsets, initialization, decay groups.
 *
 * Memory order of a layer: retention norm, k, v, q, g in one block, out, ffn norm, fc1 and gate in
 * one block, fc2 - so that [k;v], [q;g] and [fc1;gate] are each one product. Names and initial
 * values are per tensor and follow torchscale (layers.0.retention.q_proj.weight ...).
 */
#ifndef RN_MODEL_SPEC_PARAM_H
#define RN_MODEL_SPEC_PARAM_H

#include <stdbool.h>
#include <stdint.h>

#include "model/base/precision_names.h"
#include "model/spec/spec.h"
#include "proto/base/range.h"
#include "proto/base/real.h"

enum { RN_PARAM_NAME_BYTES = 96 };

typedef enum { RN_INIT_ONES, RN_INIT_ZEROS, RN_INIT_UNIFORM, RN_INIT_NORMAL } rn_init;

/** One tensor: weights [rows, cols]; vectors have cols 1 and matrix false. */
typedef struct rn_param {
  char name[RN_PARAM_NAME_BYTES];
  int64_t rows, cols;
  bool matrix;    /* in the decay group of optimizer.decay */
  bool copy;      /* tied embedding on the head's stage; the first stage has the original */
  int64_t offset; /* of the first element in the stage's flat parameters */
  rn_init init;
  double spread; /* bound of UNIFORM, standard deviation of NORMAL */
} rn_param;

/** Offsets of a layer's tensors in the flat parameters; -1 if the model has no such tensor. */
typedef struct rn_layer_params {
  int64_t retention_norm, retention_norm_bias, k, v, q, g, out, head_norm;
  int64_t ffn_norm, ffn_norm_bias, fc1, gate, fc2;
  int index; /* of the layer in its stage: identifies its scans */
} rn_layer_params;

/** A matrix [n, k] in the flat parameters, from element `offset` on. */
typedef struct rn_weight {
  int64_t offset;
  int n, k;
} rn_weight;

typedef struct rn_param_table {
  rn_param *param; /* [count], by offset, without gaps */
  int count;
  int64_t total;          /* elements */
  rn_layer_params *layer; /* [last - first] */
  int64_t embedding;      /* embed_tokens.weight, -1 if absent */
  int64_t embedding_norm, embedding_norm_bias;
  int64_t final_norm, final_norm_bias;
  int64_t output; /* output_projection.weight, = embedding when tied */
} rn_param_table;

/** Parameters of layers first .. last-1, with the embedding if first = 0, the head if last = L. */
rn_status rn_param_table_create(rn_err *err, const rn_spec *spec, int first_layer, int last_layer,
                                rn_param_table **out);
void rn_param_table_destroy(rn_param_table **table);

/** The tensor with that name, or NULL. */
const rn_param *rn_param_find(const rn_param_table *table, const char *name);

/** Index of the tensor that contains element `at` of the flat parameters; tensors are contiguous,
 * in table order. */
int rn_param_at(const rn_param_table *table, int64_t at);

/** The intersection of a tensor with a range of the flat parameters; may be empty. */
rn_range rn_param_within(const rn_param *param, rn_range range);

/** Initial values of elements begin .. end-1; element i of a tensor depends on (seed, name, i)
 * only. */
void rn_param_init_values(const rn_param_table *table, uint64_t seed, int64_t begin, int64_t end,
                          rn_real *values /* [end - begin] */);

#endif

/**
 * The parameter table of a stage stores the name, shape, offset and initialization of each tensor,
 * and whether weight decay applies to it.
 *
 * Memory order of a layer: retention norm, k, v, q, g, out, ffn norm, fc1, gate, fc2. An attention
 * layer has no g. Because k and v, q and g, and fc1 and gate are contiguous, one product computes
 * each pair. Each tensor is still separate in name and initialization, which follow torchscale
 * (layers.0.retention.q_proj.weight ...).
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

/** A tensor of weights [rows, cols]. A vector has cols = 1 and matrix = false. */
typedef struct rn_param {
  char name[RN_PARAM_NAME_BYTES];
  int64_t rows, cols;
  bool matrix; /* false for a vector; optimizer.decay can restrict weight decay to matrices */
  bool copy;   /* true for the head's copy of a tied embedding; the first stage has the original */
  int64_t offset; /* offset of the first element in the stage's flat parameters */
  rn_init init;
  double spread; /* UNIFORM: bound; NORMAL: standard deviation */
} rn_param;

/** The offsets of a layer's tensors in the flat parameters; -1 for tensors that the model does not
 * have. */
typedef struct rn_layer_params {
  int64_t retention_norm, retention_norm_bias, k, v, q, g, out, head_norm;
  int64_t ffn_norm, ffn_norm_bias, fc1, gate, fc2;
  int index;     /* index of the layer in its stage; identifies the layer's scans */
  int attending; /* number of attention layers that precede this layer in the stage */
} rn_layer_params;

/** A matrix [n, k] in the flat parameters; its first element is at `offset`. */
typedef struct rn_weight {
  int64_t offset;
  int n, k;
} rn_weight;

typedef struct rn_param_table {
  rn_param *param; /* [count], sorted by offset, without gaps */
  int count;
  int64_t total;          /* number of elements of all tensors */
  rn_layer_params *layer; /* [last - first] */
  int64_t embedding;      /* offset of embed_tokens.weight; -1 if absent */
  int64_t embedding_norm, embedding_norm_bias;
  int64_t final_norm, final_norm_bias;
  int64_t output; /* offset of output_projection.weight; equal to `embedding` if tied */
} rn_param_table;

/** Creates the table of layers first_layer .. last_layer-1, with the embedding if first_layer =
 * 0, and with the head if last_layer = L. */
rn_status rn_param_table_create(rn_err *err, const rn_spec *spec, int first_layer, int last_layer,
                                rn_param_table **out);
void rn_param_table_destroy(rn_param_table **table);

/** Returns the tensor with the given name, or NULL. */
const rn_param *rn_param_find(const rn_param_table *table, const char *name);

/** Returns the index of the tensor that contains element `at` of the flat parameters. Tensors
 * are contiguous, in table order. */
int rn_param_at(const rn_param_table *table, int64_t at);

/** Returns the intersection of a tensor with a range of the flat parameters; may be empty. */
rn_range rn_param_within(const rn_param *param, rn_range range);

/** Computes the initial values of elements begin .. end-1. The value of element i of a tensor
 * depends only on (seed, name, i). */
void rn_param_init_values(const rn_param_table *table, uint64_t seed, int64_t begin, int64_t end,
                          rn_real *values /* [end - begin] */);

#endif

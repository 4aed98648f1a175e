/* Makes a spec from the keys of a config and checks it. */
#include "model/spec/spec.h"

#include <math.h>
#include <stddef.h>

#include "model/spec/preset.h"
#include "model/spec/spec_attention.h"

/* Checks at compile time that an enumerator has the same value in the schema and in the spec. */
#define RN_SAME(a, b) \
  _Static_assert((int)(a) == (int)(b), "schema and spec have different values of an enumerator")
RN_SAME(RN_ARCH_RETNET, RETNET__ARCH__ARCH_RETNET);
RN_SAME(RN_ARCH_TRANSFORMER, RETNET__ARCH__ARCH_TRANSFORMER);
RN_SAME(RN_DECAY_EQ8, RETNET__DECAY__DECAY_EQ8);
RN_SAME(RN_DECAY_PAPER, RETNET__DECAY__DECAY_PAPER);
RN_SAME(RN_DECAY_SINGLE, RETNET__DECAY__DECAY_SINGLE);
RN_SAME(RN_DECAY_NONE, RETNET__DECAY__DECAY_NONE);
RN_SAME(RN_DECAY_LIGHTNING, RETNET__DECAY__DECAY_LIGHTNING);
RN_SAME(RN_ROTARY_TORCHSCALE, RETNET__ROTARY__ROTARY_TORCHSCALE);
RN_SAME(RN_ROTARY_ROPE_HALF, RETNET__ROTARY__ROTARY_ROPE_HALF);
RN_SAME(RN_ROTARY_NONE, RETNET__ROTARY__ROTARY_NONE);
RN_SAME(RN_HEAD_NORM_RMS, RETNET__HEAD_NORM__HEAD_NORM_RMS);
RN_SAME(RN_HEAD_NORM_RMS_AFFINE, RETNET__HEAD_NORM__HEAD_NORM_RMS_AFFINE);
RN_SAME(RN_HEAD_NORM_GROUP, RETNET__HEAD_NORM__HEAD_NORM_GROUP);
RN_SAME(RN_HEAD_NORM_NONE, RETNET__HEAD_NORM__HEAD_NORM_NONE);
RN_SAME(RN_BLOCK_NORM_RMS, RETNET__BLOCK_NORM__BLOCK_NORM_RMS);
RN_SAME(RN_BLOCK_NORM_LAYER, RETNET__BLOCK_NORM__BLOCK_NORM_LAYER);
RN_SAME(RN_FFN_GLU, RETNET__FFN__FFN_GLU);
RN_SAME(RN_FFN_MLP, RETNET__FFN__FFN_MLP);
RN_SAME(RN_ACTIVATION_SWISH, RETNET__ACTIVATION__ACTIVATION_SWISH);
RN_SAME(RN_ACTIVATION_GELU, RETNET__ACTIVATION__ACTIVATION_GELU);
RN_SAME(RN_SCALE_CANONICAL, RETNET__RETENTION_SCALE__RETENTION_SCALE_CANONICAL);
RN_SAME(RN_SCALE_TS_PARALLEL, RETNET__RETENTION_SCALE__RETENTION_SCALE_TS_PARALLEL);
RN_SAME(RN_SCALE_TS_CHUNKWISE, RETNET__RETENTION_SCALE__RETENTION_SCALE_TS_CHUNKWISE);
RN_SAME(RN_SCALE_RAW, RETNET__RETENTION_SCALE__RETENTION_SCALE_RAW);
RN_SAME(RN_INIT_TORCHSCALE, RETNET__INIT__INIT_TORCHSCALE);
RN_SAME(RN_INIT_NORMAL002, RETNET__INIT__INIT_NORMAL002);

/* The keys of the spec, with their types in the spec and in the schema. model.attention_layers is
 * missing because it is a list. */
#define RN_SPEC_KEYS(X)                                          \
  X(arch, rn_arch, Retnet__Arch)                                 \
  X(layers, int, int32_t)                                        \
  X(dim, int, int32_t)                                           \
  X(value_dim, int, int32_t)                                     \
  X(ffn_dim, int, int32_t)                                       \
  X(heads, int, int32_t)                                         \
  X(vocab, int, int32_t)                                         \
  X(decay, rn_decay, Retnet__Decay)                              \
  X(rotary, rn_rotary, Retnet__Rotary)                           \
  X(head_norm, rn_head_norm, Retnet__HeadNorm)                   \
  X(block_norm, rn_block_norm, Retnet__BlockNorm)                \
  X(ffn, rn_ffn, Retnet__Ffn)                                    \
  X(activation, rn_activation, Retnet__Activation)               \
  X(retention_scale, rn_retention_scale, Retnet__RetentionScale) \
  X(init, rn_init_rule, Retnet__Init)                            \
  X(gate, bool, protobuf_c_boolean)                              \
  X(pre_norm, bool, protobuf_c_boolean)                          \
  X(deepnorm, bool, protobuf_c_boolean)                          \
  X(embedding_norm, bool, protobuf_c_boolean)                    \
  X(tie_embeddings, bool, protobuf_c_boolean)                    \
  X(scale_embedding, bool, protobuf_c_boolean)                   \
  X(norm_eps, double, double)                                    \
  X(dropout, double, double)                                     \
  X(chunk, int, int32_t)                                         \
  X(attention_heads, int, int32_t)                               \
  X(kv_heads, int, int32_t)                                      \
  X(attention_window, int, int32_t)                              \
  X(rope_theta, double, double)

/* Copies keys of the model section to the spec: all keys, or only those that were given. */
static void take_keys(const Retnet__Model *model, bool all, rn_spec *spec) {
#define RN_TAKE(key, type, schema_type) \
  if (all || model->has_##key) spec->key = (type)model->key;
  RN_SPEC_KEYS(RN_TAKE)
#undef RN_TAKE
}

void rn_spec_give_keys(const rn_spec *spec, Retnet__Config *config) {
  Retnet__Model *model = config->model;
#define RN_GIVE(key, type, schema_type) \
  model->has_##key = true;              \
  model->key = (schema_type)spec->key;
  RN_SPEC_KEYS(RN_GIVE)
#undef RN_GIVE
}

/* Returns a chunk length of about the width of a head. With shorter chunks, products with states
 * dominate the time; with longer chunks, the masked half of the scores dominates it. */
static int chunk_by_table(const rn_spec *spec) {
  int widths = rn_spec_key_width(spec) + rn_spec_value_width(spec);
  return widths >= 192 ? 128 : 64;
}

static rn_status resolve_vocab(rn_err *err, int data_vocab, rn_spec *spec) {
  if (spec->vocab == 0) spec->vocab = data_vocab;
  if (spec->vocab == 0) {
    return rn_fail(
        err, RN_ERR_USAGE,
        "model.vocab: 0 means the vocabulary size of the data, but no data is given; set a number");
  }
  if (spec->vocab < data_vocab) {
    return rn_fail(
        err, RN_ERR_USAGE,
        "model.vocab: %d is smaller than the vocabulary of the data, which has %d tokens; "
        "set it to 0 or to at least %d",
        spec->vocab, data_vocab, data_vocab);
  }
  return RN_OK;
}

rn_status rn_spec_from_config(rn_err *err, const Retnet__Config *config, int data_vocab,
                              rn_spec *out) {
  const Retnet__Model defaults = RETNET__MODEL__INIT;
  const Retnet__Model *model = config->model != NULL ? config->model : &defaults;
  rn_spec spec = {0};
  take_keys(&defaults, true, &spec);
  if (model->preset != NULL && model->preset[0] != '\0') {
    Retnet__Model preset;
    RN_TRY(err, rn_preset_keys(err, model->preset, &preset));
    take_keys(&preset, false, &spec);
  }
  take_keys(model, false, &spec);
  if (config->data != NULL) spec.flop_tokens = config->data->sequence_length;
  RN_TRY(err, rn_spec_take_attention(err, model, &spec));
  RN_TRY(err, resolve_vocab(err, data_vocab, &spec));
  if (spec.chunk == 0 && spec.retention_scale == RN_SCALE_TS_CHUNKWISE) {
    return rn_fail(err, RN_ERR_USAGE,
                   "model.chunk: set a number, because results with model.retention_scale "
                   "ts_chunkwise depend on it");
  }
  bool by_table = spec.chunk == 0;
  if (by_table) spec.chunk = 1;
  RN_TRY(err, rn_spec_check(err, &spec));
  if (by_table) spec.chunk = chunk_by_table(&spec);
  *out = spec;
  return RN_OK;
}

static rn_status check_positive(rn_err *err, const rn_spec *spec) {
  const struct {
    const char *key;
    int value;
  } sizes[] = {{"layers", spec->layers},   {"dim", spec->dim},     {"value_dim", spec->value_dim},
               {"ffn_dim", spec->ffn_dim}, {"heads", spec->heads}, {"vocab", spec->vocab},
               {"chunk", spec->chunk}};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    if (sizes[i].value > 0) continue;
    return rn_fail(err, RN_ERR_USAGE, "model.%s: %d is invalid: it must be greater than 0",
                   sizes[i].key, sizes[i].value);
  }
  return RN_OK;
}

static rn_status check_widths(rn_err *err, const rn_spec *spec) {
  if (spec->arch == RN_ARCH_TRANSFORMER) return RN_OK;
  if (spec->dim % spec->heads != 0) {
    return rn_fail(err, RN_ERR_USAGE, "model.heads: %d does not divide model.dim (%d)", spec->heads,
                   spec->dim);
  }
  if (rn_spec_key_width(spec) % 2 != 0) {
    return rn_fail(err, RN_ERR_USAGE,
                   "model.dim: %d divided by model.heads (%d) gives %d channels per head, but the "
                   "rotary embedding needs an even number",
                   spec->dim, spec->heads, rn_spec_key_width(spec));
  }
  if (spec->value_dim % spec->heads != 0) {
    return rn_fail(err, RN_ERR_USAGE, "model.value_dim: %d is not divisible by model.heads (%d)",
                   spec->value_dim, spec->heads);
  }
  return RN_OK;
}

rn_status rn_spec_check(rn_err *err, const rn_spec *spec) {
  RN_TRY(err, check_positive(err, spec));
  RN_TRY(err, check_widths(err, spec));
  RN_TRY(err, rn_spec_check_attention(err, spec));
  if (!(spec->norm_eps >= 0 && spec->norm_eps < 1)) {
    return rn_fail(err, RN_ERR_USAGE,
                   "model.norm_eps: %g is invalid: it must be at least 0 and less than 1",
                   spec->norm_eps);
  }
  if (!(spec->dropout >= 0 && spec->dropout < 1)) {
    return rn_fail(err, RN_ERR_USAGE,
                   "model.dropout: %g is invalid: it must be at least 0 and less than 1",
                   spec->dropout);
  }
  return RN_OK;
}

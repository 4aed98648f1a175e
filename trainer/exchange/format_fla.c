/* Describes the format of RetNetForCausalLM of flash-linear-attention (fla), as Hugging Face's
 * transformers load it. Source: fla/models/retnet (configuration_retnet.py, modeling_retnet.py),
 * fla/layers/multiscale_retention.py, fla/modules/mlp.py. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/exchange/fla_attention.h"
#include "trainer/exchange/format.h"

enum { MAX_KEY_WIDTH = 256 };

static const rn_tensor_name names[] = {
    {"retention_layer_norm.weight", "attn_norm.weight", NULL},
    {"self_attn_layer_norm.weight", "attn_norm.weight", NULL},
    {"self_attn.q_proj.weight", "attn.q_proj.weight", NULL},
    {"self_attn.k_proj.weight", "attn.k_proj.weight", NULL},
    {"self_attn.v_proj.weight", "attn.v_proj.weight", NULL},
    {"self_attn.out_proj.weight", "attn.o_proj.weight", NULL},
    {"retention.q_proj.weight", "attn.q_proj.weight", NULL},
    {"retention.k_proj.weight", "attn.k_proj.weight", NULL},
    {"retention.v_proj.weight", "attn.v_proj.weight", NULL},
    {"retention.g_proj.weight", "attn.g_proj.weight", NULL},
    {"retention.out_proj.weight", "attn.o_proj.weight", NULL},
    {"retention.g_norm.weight", "attn.g_norm_swish_gate.weight", "attn.g_norm.weight"},
    {"final_layer_norm.weight", "mlp_norm.weight", NULL},
    {"ffn.fc1.weight", "mlp.gate_proj.weight", NULL},
    {"ffn.gate.weight", "mlp.up_proj.weight", NULL},
    {"ffn.fc2.weight", "mlp.down_proj.weight", NULL},
    {"embed_tokens.weight", "model.embeddings.weight", NULL},
    {"layer_norm.weight", "model.norm.weight", NULL},
    {"output_projection.weight", "lm_head.weight", NULL},
};

static const rn_tensor_names table = {"model.layers.", names, sizeof names / sizeof names[0]};

static rn_status check(rn_err *err, const rn_spec *spec) {
  const bool rms =
      spec->head_norm == RN_HEAD_NORM_RMS || spec->head_norm == RN_HEAD_NORM_RMS_AFFINE;
  const rn_format_limit limits[] = {
      {spec->arch == RN_ARCH_RETNET, "arch", "retnet"},
      {spec->rotary == RN_ROTARY_ROPE_HALF, "rotary", "rope_half"},
      {spec->retention_scale == RN_SCALE_RAW, "retention_scale", "raw"},
      {spec->decay == RN_DECAY_EQ8, "decay", "eq8"},
      {spec->gate, "gate", "true"},
      {rms, "head_norm", "rms or rms_affine"},
      {spec->block_norm == RN_BLOCK_NORM_RMS, "block_norm", "rms"},
      {spec->ffn == RN_FFN_GLU, "ffn", "glu"},
      {spec->activation == RN_ACTIVATION_SWISH, "activation", "swish"},
      {spec->pre_norm, "pre_norm", "true"},
      {!spec->deepnorm, "deepnorm", "false"},
      {!spec->embedding_norm, "embedding_norm", "false"},
      {!spec->scale_embedding, "scale_embedding", "false"},
      {rn_spec_key_width(spec) <= MAX_KEY_WIDTH, "heads",
       "heads of at most 256 channels (model.dim / model.heads)"},
  };
  return rn_format_check(err, "fla", limits, sizeof limits / sizeof limits[0]);
}

/* ---- export ---- */

/* Returns a factor for which Python's int(dim * factor) is value_dim. The quotient value_dim / dim
 * is such a factor, unless rounding makes the product slightly smaller than value_dim; then the
 * result is a factor that is larger by 1e-14. The file may hold the factor with 15 digits, so the
 * product with the rounded factor is checked, too. */
static double expand_v(const rn_spec *spec) {
  const double factor = (double)spec->value_dim / spec->dim;
  char text[40];
  snprintf(text, sizeof text, "%.15g", factor);
  const bool fits = (int)(spec->dim * strtod(text, NULL)) == spec->value_dim &&
                    (int)(spec->dim * factor) == spec->value_dim;
  return fits ? factor : factor * (1 + 1e-14);
}

static json_t *describe(const rn_exchange_model *model, const char *dtype) {
  const rn_spec *s = &model->spec;
  json_t *config = json_pack(
      "{s:[s], s:s, s:s, s:i, s:f, s:f, s:i, s:i, s:i, s:i, s:n, s:n, s:s, s:b, s:b, s:f, s:i}",
      "architectures", "RetNetForCausalLM", "model_type", "retnet", "attn_mode", "chunk",
      "hidden_size", s->dim, "expand_k", 1.0, "expand_v", expand_v(s), "hidden_ratio", 2,
      "intermediate_size", s->ffn_dim, "num_hidden_layers", s->layers, "num_heads", s->heads,
      "num_kv_heads", "feature_map", "hidden_act", "swish", "use_output_gate", (int)s->gate,
      "elementwise_affine", 1, "norm_eps", s->norm_eps, "max_position_embeddings",
      model->sequence_length);
  json_t *rest =
      json_pack("{s:i, s:b, s:b, s:f, s:b, s:b, s:b, s:s, s:n, s:o}", "vocab_size", s->vocab,
                "tie_word_embeddings", (int)s->tie_embeddings, "use_cache", 1, "initializer_range",
                0.02, "fuse_norm", 1, "fuse_swiglu", 1, "fuse_cross_entropy", 1, "torch_dtype",
                dtype, "pad_token_id", "attn", rn_fla_attention_describe(s));
  if (config == NULL || rest == NULL || json_object_update(config, rest) != 0) {
    json_decref(config);
    config = NULL;
  }
  json_decref(rest);
  return config != NULL ? rn_format_give_document(config, model) : NULL;
}

/* ---- import ---- */

static rn_status refuse_others(rn_err *err, const rn_json_fields *c, int heads) {
  const char *act = "";
  int kv_heads;
  double expand_k;
  RN_TRY(err, rn_json_string(err, c, "hidden_act", "swish", &act));
  RN_TRY(err, rn_json_int(err, c, "num_kv_heads", 1 << 20, heads, &kv_heads));
  RN_TRY(err, rn_json_real(err, c, "expand_k", 1e6, 1, &expand_k));
  RN_TRY(err, rn_json_refuse(err, c, "feature_map", "a feature map of queries and keys"));
  RN_TRY(err, rn_json_refuse(err, c, "attnres_block_size", "attention over residuals"));
  const rn_format_limit limits[] = {{strcmp(act, "swish") == 0, "hidden_act", "swish"},
                                    {kv_heads == heads, "num_kv_heads", "the value of num_heads"},
                                    {expand_k == 1, "expand_k", "1"}};
  return rn_format_check_config(err, c, limits, sizeof limits / sizeof limits[0]);
}

/* Reads the width of the feed-forward block, or derives it as fla's GatedMLP does. */
static rn_status read_ffn_dim(rn_err *err, const rn_json_fields *c, int dim, int *out) {
  enum { MULTIPLE = 256 };
  double ratio;
  RN_TRY(err,
         rn_json_real(err, c, "hidden_ratio", 1024,
                      json_is_null(json_object_get(c->object, "hidden_ratio")) ? 4 : 2, &ratio));
  const double width = floor(dim * ratio * 2 / 3);
  const double derived = ceil(width / MULTIPLE) * MULTIPLE;
  const bool given = rn_json_has(c, "intermediate_size");
  if (!given && derived > RN_FORMAT_MAX_FFN_DIM) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: hidden_ratio: %g is too large", c->file, ratio);
  }
  return rn_json_int(err, c, "intermediate_size", RN_FORMAT_MAX_FFN_DIM, given ? 1 : (int)derived,
                     out);
}

static rn_status read_sizes(rn_err *err, const rn_json_fields *c, Retnet__Model *model) {
  enum { MAX_WIDTH = 1 << 20 };
  const int dim = model->dim;
  int ffn_dim;
  double factor;
  RN_TRY(err, rn_json_real(err, c, "expand_v", (double)MAX_WIDTH / dim, 2, &factor));
  RN_TRY(err, read_ffn_dim(err, c, dim, &ffn_dim));
  RN_TRY(err, refuse_others(err, c, model->heads));
  RN_FORMAT_SET(model, value_dim, (int)(dim * factor));
  RN_FORMAT_SET(model, ffn_dim, ffn_dim);
  return RN_OK;
}

static rn_status read_config(rn_err *err, const rn_json_fields *c, Retnet__Config *out) {
  static const rn_format_hf_keys keys = {.heads = "num_heads",
                                         .norm_eps = "norm_eps",
                                         .dim_default = 2048,
                                         .layers_default = 24,
                                         .heads_default = 8};
  Retnet__Model *model = out->model;
  bool gate, affine;
  RN_TRY(err, rn_format_read_hf(err, c, &keys, out));
  RN_TRY(err, read_sizes(err, c, model));
  RN_TRY(err, rn_fla_attention_read(err, c, out));
  RN_TRY(err, rn_json_bool(err, c, "use_output_gate", true, &gate));
  RN_TRY(err,
         rn_json_bool(err, c, "elementwise_affine",
                      !json_is_null(json_object_get(c->object, "elementwise_affine")), &affine));
  RN_FORMAT_SET(model, gate, gate);
  RN_FORMAT_SET(
      model, head_norm,
      affine ? RETNET__HEAD_NORM__HEAD_NORM_RMS_AFFINE : RETNET__HEAD_NORM__HEAD_NORM_RMS);
  RN_FORMAT_SET(model, rotary, RETNET__ROTARY__ROTARY_ROPE_HALF);
  RN_FORMAT_SET(model, retention_scale, RETNET__RETENTION_SCALE__RETENTION_SCALE_RAW);
  return RN_OK;
}

const rn_exchange_format rn_format_fla = {.program = "fla",
                                          .names = &table,
                                          .writes_config = true,
                                          .fuses_gate = true,
                                          .check = check,
                                          .describe = describe,
                                          .read = read_config};

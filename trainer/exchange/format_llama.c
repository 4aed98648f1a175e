/* Describes the format of LlamaForCausalLM of Hugging Face's transformers, which is used for models
 * with arch transformer. Both programs rotate pairs of channels from the two halves of a head, so
 * the rows of q_proj and k_proj keep their order.
 * Source: transformers/models/llama (configuration_llama.py, modeling_llama.py),
 * modeling_rope_utils.py. */
#include <string.h>

#include "trainer/exchange/format.h"

static const rn_tensor_name names[] = {
    {"self_attn_layer_norm.weight", "input_layernorm.weight", NULL},
    {"self_attn.q_proj.weight", "self_attn.q_proj.weight", NULL},
    {"self_attn.k_proj.weight", "self_attn.k_proj.weight", NULL},
    {"self_attn.v_proj.weight", "self_attn.v_proj.weight", NULL},
    {"self_attn.out_proj.weight", "self_attn.o_proj.weight", NULL},
    {"final_layer_norm.weight", "post_attention_layernorm.weight", NULL},
    {"ffn.fc1.weight", "mlp.gate_proj.weight", NULL},
    {"ffn.gate.weight", "mlp.up_proj.weight", NULL},
    {"ffn.fc2.weight", "mlp.down_proj.weight", NULL},
    {"embed_tokens.weight", "model.embed_tokens.weight", NULL},
    {"layer_norm.weight", "model.norm.weight", NULL},
    {"output_projection.weight", "lm_head.weight", NULL},
};

static const rn_tensor_names table = {"model.layers.", names, sizeof names / sizeof names[0]};

static rn_status check(rn_err *err, const rn_spec *spec) {
  const rn_format_limit limits[] = {
      {spec->arch == RN_ARCH_TRANSFORMER, "arch", "transformer"},
      {spec->attention_window == 0, "attention_window", "0"},
      {spec->block_norm == RN_BLOCK_NORM_RMS, "block_norm", "rms"},
      {spec->ffn == RN_FFN_GLU, "ffn", "glu"},
      {spec->pre_norm, "pre_norm", "true"},
      {!spec->deepnorm, "deepnorm", "false"},
      {!spec->embedding_norm, "embedding_norm", "false"},
      {!spec->scale_embedding, "scale_embedding", "false"},
  };
  return rn_format_check(err, "LlamaForCausalLM", limits, sizeof limits / sizeof limits[0]);
}

/* ---- export ---- */

/* head_dim is written although it equals hidden_size / num_attention_heads, because some versions
 * of transformers do not replace null by this quotient. rope_theta and torch_dtype are the names
 * that all versions read. */
static json_t *describe(const rn_exchange_model *model, const char *dtype) {
  const rn_spec *s = &model->spec;
  json_t *config = json_pack(
      "{s:[s], s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:i, s:f, s:f, s:n, s:b, s:b, s:f}",
      "architectures", "LlamaForCausalLM", "model_type", "llama", "vocab_size", s->vocab,
      "hidden_size", s->dim, "intermediate_size", s->ffn_dim, "num_hidden_layers", s->layers,
      "num_attention_heads", s->attention_heads, "num_key_value_heads", s->kv_heads, "head_dim",
      rn_spec_attention_width(s), "hidden_act",
      s->activation == RN_ACTIVATION_SWISH ? "silu" : "gelu", "max_position_embeddings",
      model->sequence_length, "rms_norm_eps", s->norm_eps, "rope_theta", s->rope_theta,
      "rope_scaling", "attention_bias", 0, "mlp_bias", 0, "attention_dropout", 0.0);
  json_t *rest = json_pack("{s:b, s:f, s:b, s:i, s:s, s:n}", "tie_word_embeddings",
                           (int)s->tie_embeddings, "initializer_range", 0.02, "use_cache", 1,
                           "pretraining_tp", 1, "torch_dtype", dtype, "pad_token_id");
  if (config == NULL || rest == NULL || json_object_update(config, rest) != 0) {
    json_decref(config);
    config = NULL;
  }
  json_decref(rest);
  return config != NULL ? rn_format_give_document(config, model) : NULL;
}

/* ---- import ---- */

/* Reads the base of the rotation, which version 5 of transformers writes into rope_parameters, and
 * refuses every other kind of rotation. */
static rn_status read_rope(rn_err *err, const rn_json_fields *c, double *theta) {
  static const char *const places[] = {"rope_parameters", "rope_scaling"};
  RN_TRY(err, rn_json_real(err, c, "rope_theta", 1e300, 10000, theta));
  for (int i = 0; i < 2; i++) {
    const rn_json_fields inner = {json_object_get(c->object, places[i]), c->file};
    const char *type;
    double base, part;
    if (!rn_json_has(c, places[i])) continue;
    if (!json_is_object(inner.object)) {
      return rn_fail(err, RN_ERR_FORMAT, "%s: %s must be an object", c->file, places[i]);
    }
    RN_TRY(err, rn_json_string(err, &inner, "type", "default", &type));
    RN_TRY(err, rn_json_string(err, &inner, "rope_type", type, &type));
    RN_TRY(err, rn_json_real(err, &inner, "rope_theta", 1e300, *theta, &base));
    RN_TRY(err, rn_json_real(err, &inner, "partial_rotary_factor", 1, 1, &part));
    const rn_format_limit limits[] = {
        {strcmp(type, "default") == 0, places[i], "rope_type default"},
        {part == 1, "partial_rotary_factor", "1"},
        {base == *theta || !rn_json_has(c, "rope_theta"), "rope_theta", "one value"}};
    RN_TRY(err, rn_format_check_config(err, c, limits, sizeof limits / sizeof limits[0]));
    *theta = base;
  }
  return RN_OK;
}

static rn_status refuse_others(rn_err *err, const rn_json_fields *c, int head_dim) {
  bool attention_bias, mlp_bias;
  double part;
  int given;
  RN_TRY(err, rn_json_bool(err, c, "attention_bias", false, &attention_bias));
  RN_TRY(err, rn_json_bool(err, c, "mlp_bias", false, &mlp_bias));
  RN_TRY(err, rn_json_real(err, c, "partial_rotary_factor", 1, 1, &part));
  RN_TRY(err, rn_json_int(err, c, "head_dim", 1 << 20, head_dim, &given));
  const rn_format_limit limits[] = {
      {!attention_bias, "attention_bias", "false"},
      {!mlp_bias, "mlp_bias", "false"},
      {part == 1, "partial_rotary_factor", "1"},
      {given == head_dim, "head_dim", "hidden_size / num_attention_heads"}};
  return rn_format_check_config(err, c, limits, sizeof limits / sizeof limits[0]);
}

static rn_status read_activation(rn_err *err, const rn_json_fields *c, Retnet__Model *model) {
  const char *name;
  RN_TRY(err, rn_json_string(err, c, "hidden_act", "silu", &name));
  const bool swish = strcmp(name, "silu") == 0 || strcmp(name, "swish") == 0;
  const rn_format_limit limit = {swish || strcmp(name, "gelu") == 0, "hidden_act", "silu or gelu"};
  RN_TRY(err, rn_format_check_config(err, c, &limit, 1));
  RN_FORMAT_SET(model, activation,
                swish ? RETNET__ACTIVATION__ACTIVATION_SWISH : RETNET__ACTIVATION__ACTIVATION_GELU);
  return RN_OK;
}

static rn_status read_sizes(rn_err *err, const rn_json_fields *c, Retnet__Model *model) {
  enum { MAX_HEADS = 65536 };
  int kv_heads, ffn_dim;
  RN_TRY(err, rn_json_int(err, c, "intermediate_size", RN_FORMAT_MAX_FFN_DIM, 11008, &ffn_dim));
  RN_TRY(err, rn_json_int(err, c, "num_key_value_heads", MAX_HEADS, model->heads, &kv_heads));
  RN_TRY(err, refuse_others(err, c, model->dim / model->heads));
  RN_FORMAT_SET(model, ffn_dim, ffn_dim);
  RN_FORMAT_SET(model, kv_heads, kv_heads);
  return RN_OK;
}

static rn_status read_config(rn_err *err, const rn_json_fields *c, Retnet__Config *out) {
  static const rn_format_hf_keys keys = {.heads = "num_attention_heads",
                                         .norm_eps = "rms_norm_eps",
                                         .dim_default = 4096,
                                         .layers_default = 32,
                                         .heads_default = 32};
  Retnet__Model *model = out->model;
  double theta;
  RN_TRY(err, rn_format_read_hf(err, c, &keys, out));
  RN_TRY(err, read_sizes(err, c, model));
  RN_TRY(err, read_activation(err, c, model));
  RN_TRY(err, read_rope(err, c, &theta));
  RN_FORMAT_SET(model, arch, RETNET__ARCH__ARCH_TRANSFORMER);
  RN_FORMAT_SET(model, rope_theta, theta);
  return RN_OK;
}

const rn_exchange_format rn_format_llama = {.program = "LlamaForCausalLM",
                                            .names = &table,
                                            .writes_config = true,
                                            .check = check,
                                            .describe = describe,
                                            .read = read_config};

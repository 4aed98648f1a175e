/* Describes the format of torchscale's RetNetDecoder. Its state dict has our tensor names and two
 * more tables; its configuration consists of the arguments of RetNetConfig. Source:
 * torchscale/architecture/{config,retnet}.py. */
#include <string.h>

#include "trainer/exchange/format.h"

static rn_status check(rn_err *err, const rn_spec *spec) {
  const rn_format_limit limits[] = {
      {spec->arch == RN_ARCH_RETNET, "arch", "retnet"},
      {rn_spec_attention_layers(spec, 0, spec->layers) == 0, "attention_layers", "[]"},
      {spec->gate, "gate", "true"},
      {spec->ffn == RN_FFN_GLU, "ffn", "glu"},
      {spec->rotary == RN_ROTARY_TORCHSCALE, "rotary", "torchscale"},
      {spec->decay == RN_DECAY_EQ8, "decay", "eq8"},
      {spec->head_norm == RN_HEAD_NORM_RMS, "head_norm", "rms"},
      {spec->block_norm == RN_BLOCK_NORM_RMS, "block_norm", "rms"},
      {spec->retention_scale != RN_SCALE_RAW, "retention_scale",
       "canonical, ts_parallel and ts_chunkwise"},
  };
  return rn_format_check(err, "torchscale", limits, sizeof limits / sizeof limits[0]);
}

static const char *activation_name(rn_activation activation) {
  return activation == RN_ACTIVATION_SWISH ? "swish" : "gelu";
}

static json_t *describe(const rn_exchange_model *model, const char *dtype) {
  const rn_spec *s = &model->spec;
  (void)dtype;
  return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:b, s:b, s:b, s:b, s:b, s:i}",
                   "decoder_layers", s->layers, "decoder_embed_dim", s->dim,
                   "decoder_value_embed_dim", s->value_dim, "decoder_ffn_embed_dim", s->ffn_dim,
                   "decoder_retention_heads", s->heads, "vocab_size", s->vocab, "activation_fn",
                   activation_name(s->activation), "layernorm_eps", s->norm_eps,
                   "decoder_normalize_before", (int)s->pre_norm, "deepnorm", (int)s->deepnorm,
                   "layernorm_embedding", (int)s->embedding_norm, "no_scale_embedding",
                   (int)!s->scale_embedding, "share_decoder_input_output_embed",
                   (int)s->tie_embeddings, "max_target_positions", model->sequence_length);
}

/* ---- import ---- */

static rn_status read_sizes(rn_err *err, const rn_json_fields *c, Retnet__Model *model) {
  enum { MAX_WIDTH = 1 << 20, MAX_FFN_DIM = 1 << 22, MAX_LAYERS = 65536, MAX_VOCAB = 1 << 24 };
  int dim, value_dim, ffn_dim, layers, heads, vocab;
  RN_TRY(err, rn_json_int(err, c, "decoder_embed_dim", MAX_WIDTH, 768, &dim));
  RN_TRY(err, rn_json_int(err, c, "decoder_value_embed_dim", MAX_WIDTH, 1280, &value_dim));
  RN_TRY(err, rn_json_int(err, c, "decoder_ffn_embed_dim", MAX_FFN_DIM, 1280, &ffn_dim));
  RN_TRY(err, rn_json_int(err, c, "decoder_layers", MAX_LAYERS, 12, &layers));
  RN_TRY(err, rn_json_int(err, c, "decoder_retention_heads", MAX_LAYERS, 3, &heads));
  RN_TRY(err, rn_json_int(err, c, "vocab_size", MAX_VOCAB, RN_JSON_REQUIRED, &vocab));
  RN_FORMAT_SET(model, dim, dim);
  RN_FORMAT_SET(model, value_dim, value_dim);
  RN_FORMAT_SET(model, ffn_dim, ffn_dim);
  RN_FORMAT_SET(model, layers, layers);
  RN_FORMAT_SET(model, heads, heads);
  RN_FORMAT_SET(model, vocab, vocab);
  return RN_OK;
}

static rn_status read_activation(rn_err *err, const rn_json_fields *c, Retnet__Model *model) {
  const char *name;
  RN_TRY(err, rn_json_string(err, c, "activation_fn", "gelu", &name));
  const bool known = strcmp(name, "swish") == 0 || strcmp(name, "gelu") == 0;
  const rn_format_limit limit = {known, "activation_fn", "swish or gelu"};
  RN_TRY(err, rn_format_check_config(err, c, &limit, 1));
  RN_FORMAT_SET(
      model, activation,
      name[0] == 's' ? RETNET__ACTIVATION__ACTIVATION_SWISH : RETNET__ACTIVATION__ACTIVATION_GELU);
  return RN_OK;
}

static rn_status read_config(rn_err *err, const rn_json_fields *c, Retnet__Config *out) {
  Retnet__Model *model = out->model;
  bool multiway, unscaled, pre_norm, deepnorm, embedding_norm, tied;
  double eps;
  RN_TRY(err, read_sizes(err, c, model));
  RN_TRY(err, read_activation(err, c, model));
  RN_TRY(err, rn_json_real(err, c, "layernorm_eps", 0.5, 1e-6, &eps));
  RN_TRY(err, rn_json_bool(err, c, "multiway", false, &multiway));
  RN_TRY(err, rn_json_bool(err, c, "no_scale_embedding", true, &unscaled));
  RN_TRY(err, rn_json_bool(err, c, "decoder_normalize_before", true, &pre_norm));
  RN_TRY(err, rn_json_bool(err, c, "deepnorm", false, &deepnorm));
  RN_TRY(err, rn_json_bool(err, c, "layernorm_embedding", false, &embedding_norm));
  RN_TRY(err, rn_json_bool(err, c, "share_decoder_input_output_embed", false, &tied));
  RN_TRY(err,
         rn_json_int(err, c, "max_target_positions", 1 << 30, 1024, &out->data->sequence_length));
  out->data->has_sequence_length = true;
  RN_TRY(err,
         rn_format_check_config(err, c, &(rn_format_limit){!multiway, "multiway", "false"}, 1));
  RN_FORMAT_SET(model, norm_eps, eps);
  RN_FORMAT_SET(model, scale_embedding, !unscaled);
  RN_FORMAT_SET(model, pre_norm, pre_norm);
  RN_FORMAT_SET(model, deepnorm, deepnorm);
  RN_FORMAT_SET(model, embedding_norm, embedding_norm);
  RN_FORMAT_SET(model, tie_embeddings, tied);
  return RN_OK;
}

const rn_exchange_format rn_format_torchscale = {.program = "torchscale",
                                                 .has_buffers = true,
                                                 .check = check,
                                                 .describe = describe,
                                                 .read = read_config};

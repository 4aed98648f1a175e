/* Derives the spec from a torchscale config. */
#include "tests/golden/spec.h"

#include <string.h>

rn_status golden_read_layer(rn_err *err, const golden_case *c, rn_spec *spec) {
  enum { WIDEST = 1 << 20 };
  *spec = (rn_spec){.layers = 1, .ffn_dim = 1, .vocab = 1, .gate = true, .pre_norm = true};
  RN_TRY(err, golden_int(err, c, "decoder_embed_dim", WIDEST, &spec->dim));
  RN_TRY(err, golden_int(err, c, "decoder_value_embed_dim", WIDEST, &spec->value_dim));
  RN_TRY(err, golden_int(err, c, "decoder_retention_heads", WIDEST, &spec->heads));
  RN_TRY(err, golden_int(err, c, "recurrent_chunk_size", WIDEST, &spec->chunk));
  RN_TRY(err, golden_real(err, c->config, "layernorm_eps", &spec->norm_eps));
  RN_TRY(err, rn_spec_check(err, spec));
  return RN_OK;
}

rn_status golden_read_activation(rn_err *err, const golden_case *c, const char *key,
                                 rn_activation *out) {
  const char *word;
  RN_TRY(err, golden_string(err, c->config, key, &word));
  if (strcmp(word, "gelu") != 0 && strcmp(word, "swish") != 0 && strcmp(word, "silu") != 0) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: config.%s: %s is not in this program", c->path, key,
                   word);
  }
  *out = strcmp(word, "gelu") == 0 ? RN_ACTIVATION_GELU : RN_ACTIVATION_SWISH;
  return RN_OK;
}

rn_status golden_read_model(rn_err *err, const golden_case *c, rn_spec *spec) {
  enum { WIDEST = 1 << 20, DEEPEST = 4096 };
  bool plain_embedding;
  if (golden_has_own_config(c)) return golden_read_own(err, c, spec);
  RN_TRY(err, golden_read_layer(err, c, spec));
  RN_TRY(err, golden_int(err, c, "vocab_size", WIDEST, &spec->vocab));
  RN_TRY(err, golden_int(err, c, "decoder_ffn_embed_dim", WIDEST, &spec->ffn_dim));
  RN_TRY(err, golden_int(err, c, "decoder_layers", DEEPEST, &spec->layers));
  RN_TRY(err, golden_flag(err, c, "decoder_normalize_before", &spec->pre_norm));
  RN_TRY(err, golden_flag(err, c, "deepnorm", &spec->deepnorm));
  RN_TRY(err, golden_flag(err, c, "layernorm_embedding", &spec->embedding_norm));
  RN_TRY(err, golden_flag(err, c, "share_decoder_input_output_embed", &spec->tie_embeddings));
  RN_TRY(err, golden_flag(err, c, "no_scale_embedding", &plain_embedding));
  RN_TRY(err, golden_read_activation(err, c, "activation_fn", &spec->activation));
  spec->scale_embedding = !plain_embedding;
  RN_TRY(err, rn_spec_check(err, spec));
  return RN_OK;
}

rn_status golden_scale_of(rn_err *err, const golden_case *c, const char *form, rn_spec *spec,
                          rn_form *out) {
  static const struct {
    const char *word;
    rn_retention_scale scale;
    rn_form form;
  } forms[] = {{"parallel", RN_SCALE_TS_PARALLEL, RN_FORM_PARALLEL},
               {"chunkwise", RN_SCALE_TS_CHUNKWISE, RN_FORM_CHUNKWISE},
               {"recurrent", RN_SCALE_CANONICAL, RN_FORM_CHUNKWISE}};
  for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
    if (strcmp(form, forms[i].word) != 0) continue;
    spec->retention_scale = forms[i].scale;
    *out = forms[i].form;
    return RN_OK;
  }
  return rn_fail(err, RN_ERR_FORMAT, "%s: config: form %s is unknown", c->path, form);
}

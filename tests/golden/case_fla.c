/* Checks a model with the names and formulas of fla: raw scale, half-split rotation, head norm
 * with weights. */
#include <stdio.h>
#include <string.h>

#include "tests/golden/run.h"
#include "tests/golden/spec.h"

/* Pairs of names of the same tensor of a layer: {name in this program, name in fla}. */
static const char *const layer_names[][2] = {
    {"retention_layer_norm.weight", "attn_norm.weight"},
    {"retention.q_proj.weight", "attn.q_proj.weight"},
    {"retention.k_proj.weight", "attn.k_proj.weight"},
    {"retention.v_proj.weight", "attn.v_proj.weight"},
    {"retention.g_proj.weight", "attn.g_proj.weight"},
    {"retention.out_proj.weight", "attn.o_proj.weight"},
    {"retention.g_norm.weight", "attn.g_norm_swish_gate.weight"},
    {"final_layer_norm.weight", "mlp_norm.weight"},
    {"ffn.fc1.weight", "mlp.gate_proj.weight"},
    {"ffn.gate.weight", "mlp.up_proj.weight"},
    {"ffn.fc2.weight", "mlp.down_proj.weight"},
};

static const char *const outer_names[][2] = {
    {"embed_tokens.weight", "model.embeddings.weight"},
    {"layer_norm.weight", "model.norm.weight"},
    {"output_projection.weight", "lm_head.weight"},
};

static void fla_name(const char *ours, char *theirs, size_t bytes) {
  int layer, inside = 0;
  snprintf(theirs, bytes, "%s", ours);
  if (sscanf(ours, "layers.%d.%n", &layer, &inside) == 1 && inside > 0) {
    for (size_t i = 0; i < sizeof layer_names / sizeof layer_names[0]; i++) {
      if (strcmp(ours + inside, layer_names[i][0]) != 0) continue;
      snprintf(theirs, bytes, "model.layers.%d.%s", layer, layer_names[i][1]);
    }
    return;
  }
  for (size_t i = 0; i < sizeof outer_names / sizeof outer_names[0]; i++) {
    if (strcmp(ours, outer_names[i][0]) == 0) snprintf(theirs, bytes, "%s", outer_names[i][1]);
  }
}

static rn_status read_value_width(rn_err *err, const golden_case *c, rn_spec *spec) {
  double expand_k, expand_v;
  RN_TRY(err, golden_real(err, c->config, "expand_k", &expand_k));
  RN_TRY(err, golden_real(err, c->config, "expand_v", &expand_v));
  const double value_dim = spec->dim * expand_v;
  if (expand_k != 1 || !(value_dim >= 1 && value_dim <= 1 << 20) ||
      value_dim != (double)(int)value_dim) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: config: expand_k must be 1, expand_v whole widths",
                   c->path);
  }
  spec->value_dim = (int)value_dim;
  return RN_OK;
}

static rn_status read_fla(rn_err *err, const golden_case *c, rn_spec *spec) {
  enum { WIDEST = 1 << 20, DEEPEST = 4096, CHUNK = 16 };
  bool affine, tied;
  *spec = (rn_spec){.rotary = RN_ROTARY_ROPE_HALF,
                    .retention_scale = RN_SCALE_RAW,
                    .pre_norm = true,
                    .chunk = CHUNK};
  RN_TRY(err, golden_int(err, c, "vocab_size", WIDEST, &spec->vocab));
  RN_TRY(err, golden_int(err, c, "hidden_size", WIDEST, &spec->dim));
  RN_TRY(err, golden_int(err, c, "num_heads", WIDEST, &spec->heads));
  RN_TRY(err, golden_int(err, c, "num_hidden_layers", DEEPEST, &spec->layers));
  RN_TRY(err, golden_int(err, c, "intermediate_size", WIDEST, &spec->ffn_dim));
  RN_TRY(err, golden_real(err, c->config, "norm_eps", &spec->norm_eps));
  RN_TRY(err, golden_flag(err, c, "elementwise_affine", &affine));
  RN_TRY(err, golden_flag(err, c, "use_output_gate", &spec->gate));
  RN_TRY(err, golden_flag(err, c, "tie_word_embeddings", &tied));
  RN_TRY(err, golden_read_activation(err, c, "hidden_act", &spec->activation));
  RN_TRY(err, read_value_width(err, c, spec));
  spec->head_norm = affine ? RN_HEAD_NORM_RMS_AFFINE : RN_HEAD_NORM_RMS;
  spec->tie_embeddings = tied;
  RN_TRY(err, rn_spec_check(err, spec));
  return RN_OK;
}

typedef struct fla_case {
  golden_case *c;
  rn_spec spec;
  int B, T;
  rn_real *params;
  int32_t *input;            /* [B, T] */
  int32_t *context, *target; /* [B, T - 1]: all tokens but the last, and all but the first */
} fla_case;

static rn_status load_fla(rn_err *err, golden_case *c, fla_case *x) {
  golden_shape shape;
  rn_param_table *table;
  RN_TRY(err, read_fla(err, c, &x->spec));
  RN_TRY(err, rn_param_table_create(err, &x->spec, 0, x->spec.layers, &table));
  rn_status status = golden_params(err, c, table, "param.", fla_name, &x->params);
  rn_param_table_destroy(&table);
  if (status != RN_OK) return rn_trace(err, status, __FILE__, __LINE__);
  RN_TRY(err, golden_shape_of(err, c, "in.tokens", 2, &shape));
  x->B = (int)shape.n[0], x->T = (int)shape.n[1];
  if (x->T < 2) return rn_fail(err, RN_ERR_FORMAT, "%s: in.tokens: too short", c->path);
  RN_TRY(err, golden_load_ids(err, c, "in.tokens", shape, x->spec.vocab, &x->input));
  const int pairs = x->T - 1;
  RN_TRY(err, golden_take(err, c, (int64_t)x->B * pairs, sizeof *x->context, &x->context));
  RN_TRY(err, golden_take(err, c, (int64_t)x->B * pairs, sizeof *x->target, &x->target));
  for (int b = 0; b < x->B; b++) {
    const size_t bytes = (size_t)pairs * sizeof *x->input;
    memcpy(x->context + b * pairs, x->input + b * x->T, bytes);
    memcpy(x->target + b * pairs, x->input + b * x->T + 1, bytes);
  }
  return RN_OK;
}

static rn_status check_logits(rn_err *err, const fla_case *x, const rn_spec *spec, rn_form form,
                              const char *variant) {
  golden_model m;
  rn_status status = golden_model_open(err, x->c, spec, x->B, x->T, x->params, &m);
  if (status == RN_OK) status = golden_model_forward(err, &m, form, x->input, x->T, 0, x->T);
  if (status == RN_OK) status = golden_check_logits(err, x->c, &m, variant, "logits");
  golden_model_close(&m);
  return status;
}

/* Checks loss and gradient. Both are means over all tokens except the last one, which has no
 * target. */
static rn_status check_gradient(rn_err *err, const fla_case *x, const rn_spec *spec, rn_form form,
                                const char *variant) {
  golden_model m;
  double loss = 0;
  rn_status status = golden_model_open(err, x->c, spec, x->B, x->T - 1, x->params, &m);
  if (status == RN_OK) {
    status = golden_model_step(err, &m, form, x->context, x->target, true, &loss);
  }
  if (status == RN_OK) status = golden_check_number(err, x->c, variant, loss, "loss");
  if (status == RN_OK) {
    status = golden_check_params(err, x->c, variant, m.table, m.gradient, "grad.", fla_name);
  }
  golden_model_close(&m);
  return status;
}

rn_status RN_NAME(golden_run_fla)(rn_err *err, golden_case *c) {
  fla_case x = {.c = c};
  RN_TRY(err, load_fla(err, c, &x));
  rn_spec spec = x.spec;
  const int chunks[] = {x.spec.chunk, 7, x.T};
  for (int i = 0; i < 3; i++) {
    char variant[32];
    spec.chunk = chunks[i];
    snprintf(variant, sizeof variant, "chunk %d", chunks[i]);
    RN_TRY(err, check_logits(err, &x, &spec, RN_FORM_CHUNKWISE, variant));
    RN_TRY(err, check_gradient(err, &x, &spec, RN_FORM_CHUNKWISE, variant));
  }
  RN_TRY(err, check_logits(err, &x, &spec, RN_FORM_PARALLEL, "parallel"));
  RN_TRY(err, check_gradient(err, &x, &spec, RN_FORM_PARALLEL, "parallel"));
  RN_TRY(err, check_logits(err, &x, &spec, RN_FORM_RECURRENT, "recurrent"));
  return RN_OK;
}

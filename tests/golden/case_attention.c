/* Checks a model with softmax attention, also with packed documents: logits, loss, all gradients
 * and hidden rows. Then checks logits of a prefix and states of retention layers. The decoder must
 * give the same logits and states; its keys, values and greedy continuation are checked too. */
#include <stdio.h>
#include <string.h>

#include "tests/golden/run.h"
#include "tests/golden/spec.h"

typedef struct attention_case {
  golden_case *c;
  rn_spec spec;
  int B, T;
  rn_real *params;
  int32_t *input, *target, *since; /* [B, T]; `since` is doc_position */
} attention_case;

static rn_status load(rn_err *err, golden_case *c, attention_case *x) {
  golden_shape shape;
  rn_param_table *table;
  RN_TRY(err, golden_read_model(err, c, &x->spec));
  RN_TRY(err, rn_param_table_create(err, &x->spec, 0, x->spec.layers, &table));
  rn_status status = golden_params(err, c, table, "param.", NULL, &x->params);
  rn_param_table_destroy(&table);
  if (status != RN_OK) return rn_trace(err, status, __FILE__, __LINE__);
  RN_TRY(err, golden_shape_of(err, c, "in.tokens", 2, &shape));
  RN_TRY(err, golden_load_ids(err, c, "in.tokens", shape, x->spec.vocab, &x->input));
  RN_TRY(err, golden_load_ids(err, c, "in.targets", shape, x->spec.vocab, &x->target));
  RN_TRY(err, golden_load_ids(err, c, "in.since", shape, INT32_MAX, &x->since));
  x->B = (int)shape.n[0];
  x->T = (int)shape.n[1];
  return RN_OK;
}

static rn_status check_whole(rn_err *err, const attention_case *x, golden_model *m,
                             const char *variant) {
  double loss;
  m->since = x->since;
  RN_TRY(err, golden_model_forward(err, m, RN_FORM_CHUNKWISE, x->input, x->T, 0, x->T));
  for (int layer = 0; layer <= x->spec.layers; layer++) {
    RN_TRY(err, golden_check(err, x->c, variant, rn_layer_stack_hidden(m->activations, layer),
                             GOLDEN_SHAPE_3(x->B, x->T, x->spec.dim), "hidden.%d", layer));
  }
  RN_TRY(err, golden_check_logits(err, x->c, m, variant, "logits"));
  RN_TRY(err, golden_model_loss(err, m, x->target, true, &loss));
  RN_TRY(err, golden_check_number(err, x->c, variant, loss, "loss"));
  RN_TRY(err, golden_check_params(err, x->c, variant, m->table, m->gradient, "grad.", NULL));
  return RN_OK;
}

static rn_status run_whole(rn_err *err, const attention_case *x, int chunk) {
  char variant[32];
  golden_model m;
  rn_spec spec = x->spec;
  spec.chunk = chunk;
  snprintf(variant, sizeof variant, "chunk %d", chunk);
  rn_status status = golden_model_open(err, x->c, &spec, x->B, x->T, x->params, &m);
  if (status == RN_OK) status = check_whole(err, x, &m, variant);
  golden_model_close(&m);
  return status;
}

static rn_status check_states(rn_err *err, const attention_case *x, golden_model *m, int steps) {
  double *scale;
  char state[32], name[32];
  RN_TRY(err, golden_take(err, x->c, x->spec.heads, sizeof *scale, &scale));
  RN_TRY(err, golden_scales_after(err, x->c, &x->spec, steps, scale));
  for (int layer = 0; layer < x->spec.layers; layer++) {
    if (rn_spec_attends(&x->spec, layer)) continue;
    snprintf(state, sizeof state, "decode.state.%d", layer);
    snprintf(name, sizeof name, "decode.scale.%d", layer);
    RN_TRY(err, golden_check_state(err, x->c, "prefix", &x->spec, x->B,
                                   rn_local_state_state(m->local_state, RN_SCAN_FORWARD, layer),
                                   scale, state, name));
  }
  return RN_OK;
}

/* Checks logits and states of the first tokens. Treats them as one document and ignores the
 * document boundaries in in.since. */
static rn_status check_prefix(rn_err *err, const attention_case *x, golden_model *m) {
  golden_shape logits;
  RN_TRY(err, golden_shape_of(err, x->c, "decode.logits.f64", 3, &logits));
  const int steps = (int)logits.n[1];
  if (steps > x->T) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: decode.* is longer than in.tokens", x->c->path);
  }
  RN_TRY(err, golden_model_forward(err, m, RN_FORM_CHUNKWISE, x->input, x->T, 0, steps));
  RN_TRY(err, golden_check_logits(err, x->c, m, "prefix", "decode.logits"));
  RN_TRY(err, check_states(err, x, m, steps));
  return RN_OK;
}

rn_status RN_NAME(golden_run_attention)(rn_err *err, golden_case *c) {
  attention_case x = {.c = c};
  golden_model m;
  RN_TRY(err, load(err, c, &x));
  RN_TRY(err, run_whole(err, &x, x.spec.chunk));
  RN_TRY(err, run_whole(err, &x, 7));
  if (!golden_has(c, "decode.logits.f64")) return RN_OK;
  rn_status status = golden_model_open(err, c, &x.spec, x.B, x.T, x.params, &m);
  if (status == RN_OK) status = check_prefix(err, &x, &m);
  golden_model_close(&m);
  if (status != RN_OK) return rn_trace(err, status, __FILE__, __LINE__);
  RN_TRY(err, golden_check_decoder(err, c, &x.spec, x.params, x.input, x.B, x.T));
  return RN_OK;
}

/* Checks logits, loss, all gradients and hidden rows of a whole model, then decoding. */
#include <stdio.h>
#include <string.h>

#include "tests/golden/run.h"
#include "tests/golden/spec.h"

typedef struct model_case {
  golden_case *c;
  rn_spec spec;
  int B, T;
  rn_real *params;
  int32_t *input, *target; /* [B, T] */
} model_case;

static rn_status load_model(rn_err *err, golden_case *c, model_case *x) {
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
  x->B = (int)shape.n[0];
  x->T = (int)shape.n[1];
  return RN_OK;
}

static rn_status check_hidden(rn_err *err, const model_case *x, const golden_model *m,
                              const char *variant) {
  for (int layer = 0; layer <= x->spec.layers; layer++) {
    RN_TRY(err, golden_check(err, x->c, variant, rn_layer_stack_hidden(m->activations, layer),
                             GOLDEN_SHAPE_3(x->B, x->T, x->spec.dim), "hidden.%d", layer));
  }
  return RN_OK;
}

/* Computes the model with the form `form` of retention and checks it against the official form
 * `official`. The file's hidden rows are those of the parallel form. */
static rn_status check_form(rn_err *err, const model_case *x, golden_model *m, rn_form form,
                            const char *official, const char *variant) {
  char base[64];
  double loss;
  rn_local_state_reset(m->local_state);
  RN_TRY(err, golden_model_forward(err, m, form, x->input, x->T, 0, x->T));
  if (strcmp(official, "parallel") == 0) RN_TRY(err, check_hidden(err, x, m, variant));
  snprintf(base, sizeof base, "logits.%s", official);
  RN_TRY(err, golden_check_logits(err, x->c, m, variant, base));
  RN_TRY(err, golden_model_loss(err, m, x->target, form != RN_FORM_RECURRENT, &loss));
  snprintf(base, sizeof base, "loss.%s", official);
  RN_TRY(err, golden_check_number(err, x->c, variant, loss, base));
  if (form == RN_FORM_RECURRENT) return RN_OK;
  snprintf(base, sizeof base, "grad.%s.", official);
  RN_TRY(err, golden_check_params(err, x->c, variant, m->table, m->gradient, base, NULL));
  return RN_OK;
}

static rn_status run_form(rn_err *err, const model_case *x, const rn_spec *spec, rn_form form,
                          const char *official) {
  char variant[32] = "parallel";
  if (form == RN_FORM_RECURRENT) snprintf(variant, sizeof variant, "recurrent");
  if (form == RN_FORM_CHUNKWISE) snprintf(variant, sizeof variant, "chunk %d", spec->chunk);
  golden_model m;
  rn_status status = golden_model_open(err, x->c, spec, x->B, x->T, x->params, &m);
  if (status == RN_OK) status = check_form(err, x, &m, form, official, variant);
  golden_model_close(&m);
  if (status != RN_OK) return rn_trace(err, status, __FILE__, __LINE__);
  return RN_OK;
}

rn_status RN_NAME(golden_run_model)(rn_err *err, golden_case *c) {
  model_case x = {.c = c};
  RN_TRY(err, load_model(err, c, &x));
  rn_spec spec = x.spec;
  spec.retention_scale = RN_SCALE_TS_PARALLEL;
  RN_TRY(err, run_form(err, &x, &spec, RN_FORM_PARALLEL, "parallel"));
  spec.chunk = x.T;
  RN_TRY(err, run_form(err, &x, &spec, RN_FORM_CHUNKWISE, "parallel"));
  spec.chunk = x.spec.chunk;
  spec.retention_scale = RN_SCALE_TS_CHUNKWISE;
  RN_TRY(err, run_form(err, &x, &spec, RN_FORM_CHUNKWISE, "chunkwise"));
  spec.retention_scale = RN_SCALE_CANONICAL;
  RN_TRY(err, run_form(err, &x, &spec, RN_FORM_RECURRENT, "recurrent"));
  const int chunks[] = {x.spec.chunk, 1, 5, x.T};
  for (int i = 0; i < 4; i++) {
    spec.chunk = chunks[i];
    RN_TRY(err, run_form(err, &x, &spec, RN_FORM_CHUNKWISE, "recurrent"));
  }
  spec.chunk = x.spec.chunk;
  RN_TRY(err, golden_check_decode(err, c, &spec, x.params, x.input, x.B, x.T));
  return RN_OK;
}

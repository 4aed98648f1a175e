/* Checks losses, gradient norms, learning rates, weights and moments of a few training steps. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/golden/run.h"
#include "tests/golden/spec.h"
#include "trainer/optimizer/adamw.h"
#include "trainer/optimizer/lr.h"

typedef struct adamw_case {
  golden_case *c;
  rn_spec spec;
  rn_form form;
  int steps, B, T;
  rn_adamw adamw;
  rn_lr_schedule schedule;
  double clip;
  int32_t *input, *target, *since; /* [steps, B, T]; `since` is doc_position, or NULL */
  rn_real *params, *exp_avg, *exp_avg_sq;
  double *losses, *norms, *rates; /* [steps] */
} adamw_case;

static rn_status read_betas(rn_err *err, const json_t *optimizer, rn_adamw *out) {
  const json_t *betas = json_object_get(optimizer, "betas");
  const json_t *first = json_array_get(betas, 0), *second = json_array_get(betas, 1);
  if (json_array_size(betas) != 2 || !json_is_number(first) || !json_is_number(second)) {
    return rn_fail(err, RN_ERR_FORMAT, "config: optimizer.betas must be two numbers");
  }
  out->beta1 = json_number_value(first);
  out->beta2 = json_number_value(second);
  return RN_OK;
}

static rn_status read_optimizer(rn_err *err, adamw_case *x) {
  const json_t *optimizer = json_object_get(x->c->config, "optimizer");
  const char *type;
  double warmup;
  RN_TRY(err, golden_string(err, optimizer, "type", &type));
  if (strncmp(type, "torch.optim.AdamW", strlen("torch.optim.AdamW")) != 0) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: config: optimizer %s is not in this program",
                   x->c->path, type);
  }
  x->adamw.eps_mode = RN_EPS_TORCH;
  RN_TRY(err, read_betas(err, optimizer, &x->adamw));
  RN_TRY(err, golden_real(err, optimizer, "eps", &x->adamw.eps));
  RN_TRY(err, golden_real(err, optimizer, "weight_decay", &x->adamw.weight_decay));
  RN_TRY(err, golden_real(err, optimizer, "clip_global_norm", &x->clip));
  RN_TRY(err, golden_real(err, optimizer, "peak_lr", &x->schedule.peak));
  RN_TRY(err, golden_real(err, optimizer, "warmup", &warmup));
  if (!(warmup >= 0 && warmup <= x->steps)) {
    return rn_fail(err, RN_ERR_FORMAT, "%s: config: optimizer.warmup must lie in 0 .. steps",
                   x->c->path);
  }
  x->schedule.rule = RN_LR_LINEAR;
  x->schedule.warmup_steps = (int64_t)warmup;
  x->schedule.decay_steps = x->steps;
  return RN_OK;
}

static rn_status load_training(rn_err *err, adamw_case *x) {
  golden_case *c = x->c;
  golden_shape shape;
  const char *form;
  rn_param_table *table;
  RN_TRY(err, golden_read_model(err, c, &x->spec));
  if (!golden_has_own_config(c)) {
    RN_TRY(err, golden_string(err, c->config, "form", &form));
    RN_TRY(err, golden_scale_of(err, c, form, &x->spec, &x->form));
  }
  RN_TRY(err, golden_shape_of(err, c, "in.tokens", 3, &shape));
  if (golden_has(c, "in.since")) {
    RN_TRY(err, golden_load_ids(err, c, "in.since", shape, INT32_MAX, &x->since));
  }
  RN_TRY(err, golden_load_ids(err, c, "in.tokens", shape, x->spec.vocab, &x->input));
  RN_TRY(err, golden_load_ids(err, c, "in.targets", shape, x->spec.vocab, &x->target));
  x->steps = (int)shape.n[0], x->B = (int)shape.n[1], x->T = (int)shape.n[2];
  RN_TRY(err, read_optimizer(err, x));
  RN_TRY(err, rn_param_table_create(err, &x->spec, 0, x->spec.layers, &table));
  const int64_t total = table->total;
  rn_status status = golden_params(err, c, table, "param_init.", NULL, &x->params);
  rn_param_table_destroy(&table);
  if (status != RN_OK) return rn_trace(err, status, __FILE__, __LINE__);
  RN_TRY(err, golden_take(err, c, total, sizeof(rn_real), &x->exp_avg));
  RN_TRY(err, golden_take(err, c, total, sizeof(rn_real), &x->exp_avg_sq));
  RN_TRY(err, golden_take(err, c, x->steps, sizeof(double), &x->losses));
  RN_TRY(err, golden_take(err, c, x->steps, sizeof(double), &x->norms));
  RN_TRY(err, golden_take(err, c, x->steps, sizeof(double), &x->rates));
  return RN_OK;
}

/* Checks weights and moments at `time`: "after<k>" (after step k) or "final". */
static rn_status check_time(rn_err *err, const adamw_case *x, const golden_model *m,
                            const char *variant, const char *time) {
  const rn_real *values[] = {x->params, x->exp_avg, x->exp_avg_sq};
  static const char *const words[] = {"param", "exp_avg", "exp_avg_sq"};
  for (int i = 0; i < 3; i++) {
    char prefix[48];
    snprintf(prefix, sizeof prefix, "%s_%s.", words[i], time);
    RN_TRY(err, golden_check_params(err, x->c, variant, m->table, values[i], prefix, NULL));
  }
  return RN_OK;
}

static rn_status train(rn_err *err, adamw_case *x, golden_model *m, const char *variant) {
  const int64_t batch = (int64_t)x->B * x->T, total = m->table->total;
  for (int k = 0; k < x->steps; k++) {
    char time[32];
    m->since = x->since != NULL ? x->since + k * batch : NULL;
    RN_TRY(err, golden_model_step(err, m, x->form, x->input + k * batch, x->target + k * batch,
                                  true, &x->losses[k]));
    x->norms[k] = sqrt(rn_sum_of_squares(total, m->gradient));
    x->rates[k] = rn_lr(&x->schedule, k + 1);
    const rn_adamw_step step = {.lr = x->rates[k],
                                .update = k + 1,
                                .clip = rn_clip_coefficient(x->norms[k], x->clip),
                                .decay = true};
    rn_adamw_update(&x->adamw, step, total, m->gradient,
                    (rn_adamw_state){x->params, x->exp_avg, x->exp_avg_sq});
    snprintf(time, sizeof time, "after%d", k + 1);
    RN_TRY(err, check_time(err, x, m, variant, time));
  }
  return RN_OK;
}

static rn_status check_training(rn_err *err, adamw_case *x, golden_model *m, const char *variant) {
  const golden_precision here = sizeof(rn_real) == sizeof(float) ? GOLDEN_F32 : GOLDEN_F64;
  const golden_shape steps = GOLDEN_SHAPE_1(x->steps);
  const int64_t batch = (int64_t)x->B * x->T;
  RN_TRY(err, train(err, x, m, variant));
  RN_TRY(err, golden_compare(err, x->c, here, "schedule", x->rates, steps, "lr"));
  RN_TRY(err, golden_compare(err, x->c, here, variant, x->losses, steps, "losses"));
  RN_TRY(err, golden_compare(err, x->c, here, variant, x->norms, steps, "grad_norms"));
  RN_TRY(err, check_time(err, x, m, variant, "final"));
  for (int k = 0; k < x->steps; k++) {
    char base[48];
    double loss;
    snprintf(base, sizeof base, "final_loss_on_batch%d", k);
    m->since = x->since != NULL ? x->since + k * batch : NULL;
    RN_TRY(err, golden_model_step(err, m, x->form, x->input + k * batch, x->target + k * batch,
                                  false, &loss));
    RN_TRY(err, golden_check_number(err, x->c, variant, loss, base));
  }
  return RN_OK;
}

rn_status RN_NAME(golden_run_adamw)(rn_err *err, golden_case *c) {
  static const char *const variants[] = {"chunkwise", "parallel", "recurrent"};
  adamw_case x = {.c = c};
  golden_model m;
  RN_TRY(err, load_training(err, &x));
  rn_status status = golden_model_open(err, c, &x.spec, x.B, x.T, x.params, &m);
  if (status == RN_OK) status = check_training(err, &x, &m, variants[x.form]);
  golden_model_close(&m);
  if (status != RN_OK) return rn_trace(err, status, __FILE__, __LINE__);
  return RN_OK;
}

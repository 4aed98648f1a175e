#include "trainer/run/settings.h"

#include "model/base/threads.h"
#include "model/kernel/gemm.h"
#include "proto/base/log.h"
#include "trainer/launch/gemm_agree.h"
#include "trainer/plan/message_core.h"

/*
 * Rejects data.carry_state and data.reset_at_documents for model.retention_scale ts_*: these scales
 * normalize over the whole sequence, so they allow neither an initial state nor a reset within it.
 */
static rn_status check_documents(rn_err *err, const rn_run_settings *s) {
  const bool by_weights = s->spec.retention_scale == RN_SCALE_TS_PARALLEL ||
                          s->spec.retention_scale == RN_SCALE_TS_CHUNKWISE;
  if (by_weights && s->config->data->carry_state) {
    return rn_fail(
        err, RN_ERR_USAGE,
        "model.retention_scale ts_* needs whole sequences: set data.carry_state to false");
  }
  if (!by_weights || !s->config->data->reset_at_documents) return RN_OK;
  return rn_fail(err, RN_ERR_USAGE,
                 "model.retention_scale ts_* cannot reset at documents: set "
                 "data.reset_at_documents to false");
}

rn_status rn_run_settings_create(rn_err *err, const Retnet__Config *given, int vocabulary,
                                 int ranks, rn_machine machine, rn_run_settings *out) {
  *out = (rn_run_settings){.given = given, .machine = machine};
  RN_TRY(err, rn_effective_create(err, given, vocabulary, &out->effective));
  const Retnet__Config *c = out->config = out->effective.config;
  out->spec = out->effective.spec;
  RN_TRY(err, check_documents(err, out));
  RN_TRY(err, rn_message_core_apply(err, c, &out->spec, ranks, &out->machine));
  rn_threads_start(out->machine.threads);
  const char *lack = NULL;
  RN_TRY(err, rn_gemm_backend_use(err, c->model->products, c->train->precision, &lack));
  if (lack != NULL) rn_log_warn("train.precision bf16: %s; matrix products use fp32", lack);
  return RN_OK;
}

static rn_status make_plan(rn_err *err, rn_world *world, rn_run_settings *s) {
  const int ranks = rn_world_size(world);
  rn_status status = rn_plan_create(err, s->config, &s->spec, ranks, s->machine, &s->plan);
  RN_TRY(err, rn_agree(err, world, status));
  return rn_plan_check_same(err, world, &s->plan);
}

rn_status rn_run_settings_plan(rn_err *err, rn_world *world, rn_run_settings *s) {
  RN_TRY(err, rn_gemm_agree(err, world));
  RN_TRY(err, rn_machine_agree_threads(err, world, &s->machine));
  RN_TRY(err, make_plan(err, world, s));
  return rn_agree(err, world, rn_layout_fit_chunk(err, s->config, &s->plan.layout, &s->spec));
}

rn_status rn_run_settings_keep_choices(rn_err *err, const rn_choices *choices, rn_world *world,
                                       rn_run_settings *s) {
  int chunk = s->spec.chunk;
  if (choices == NULL) return RN_OK;
  const rn_choices_now now = {s->config, &s->plan.layout};
  RN_TRY(err, rn_choices_apply(err, world, choices, now, &chunk));
  if (chunk == s->spec.chunk) return RN_OK;
  s->spec.chunk = chunk;
  rn_plan_destroy(&s->plan);
  return make_plan(err, world, s);
}

void rn_run_settings_destroy(rn_run_settings *settings) {
  rn_plan_destroy(&settings->plan);
  rn_effective_destroy(&settings->effective);
  *settings = (rn_run_settings){.given = NULL};
}

#include "trainer/run/step.h"

#include <math.h>
#include <stdio.h>

#include "model/base/threads.h"
#include "proto/base/fault.h"
#include "proto/base/log.h"
#include "proto/base/progress.h"
#include "proto/base/span.h"

/* ---- sums over all ranks ---- */

/* Sums of a step over all ranks; the same on every rank. */
typedef struct step_sums {
  double loss, squares; /* sum of the targets' losses; squared norm of the gradient */
} step_sums;

static double sum_of(int64_t count, const double *values) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += values[i];
  return sum;
}

static rn_status sum_plainly(rn_err *err, const rn_grid *grid, double loss, const rn_optimizer *o,
                             step_sums *out) {
  double sums[2] = {loss, sum_of(o->blocks.total, o->block_squares)};
  RN_TRY(err, rn_sum_doubles(err, grid, sums, 2));
  *out = (step_sums){.loss = sums[0], .squares = sums[1]};
  return RN_OK;
}

/*
 * Reproducible mode: adds the losses and the squares of all ranks in block order. The element after
 * the last loss is nonzero if a gradient sum has overflowed.
 */
static rn_status sum_in_order(rn_err *err, const rn_grid *grid, rn_local_model *model,
                              rn_optimizer *o, step_sums *out) {
  const int64_t blocks = model->reduction_blocks;
  double *loss = model->loss.block;
  loss[blocks] = rn_stage_gradient_overflowed(model->pipeline.stage) ? 1 : 0;
  RN_TRY(err, rn_gather_ordered(err, grid, loss, blocks + 1));
  RN_TRY(err, rn_gather_ordered(err, grid, o->block_squares, o->blocks.total));
  out->loss = sum_of(blocks, loss);
  out->squares = loss[blocks] != 0 ? INFINITY : sum_of(o->blocks.total, o->block_squares);
  return RN_OK;
}

/* ---- the step ---- */

/* Computes the gradient of the batch, multiplied by `scale`, and the sums over all ranks. */
static rn_status train_batch(rn_err *err, rn_run *run, double scale, step_sums *out) {
  rn_local_model *model = &run->model;
  rn_parallel_context *parallel = &run->parallel;
  RN_TRY(err, rn_optimizer_release_gradient(err, &run->optimizer));
  RN_TRY(err, rn_local_model_train(err, model, &run->data, &parallel->scan, scale));
  rn_span_phase("gradient reduction");
  rn_progress_phase("sum gradients");
  RN_TRY(err, rn_optimizer_sum_gradients(err, &run->optimizer, parallel->p2p));
  RN_TRY(err, rn_replica_check_gradients(err, &run->replicas, rn_run_checked_state(run)));
  RN_TRY(err, rn_replica_check_verify(err, &run->replicas, rn_run_checked_state(run)));
  rn_span_phase("gradient norm");
  rn_optimizer_square_blocks(&run->optimizer);
  rn_span_phase("wait for loss and norm of all ranks");
  if (rn_local_model_is_exact(model)) {
    return sum_in_order(err, parallel->grid, model, &run->optimizer, out);
  }
  return sum_plainly(err, parallel->grid, model->loss.sum, &run->optimizer, out);
}

/* Computes the mean over all ranks of the time that a rank waited for states. */
static rn_status mean_wait(rn_err *err, const rn_parallel_context *parallel, double own_s,
                           double *mean_s) {
  *mean_s = 0;
  if (rn_grid_sequence_size(parallel->grid) == 1) return RN_OK;
  double sum_s = own_s;
  RN_TRY(err, rn_sum_doubles(err, parallel->grid, &sum_s, 1));
  *mean_s = sum_s / rn_world_size(parallel->world);
  return RN_OK;
}

/* Updates this rank's weights and starts to fetch the weights that other ranks update. */
static rn_status update(rn_err *err, rn_run *run, const rn_step_result *r) {
  rn_weights *weights = &run->model.weights;
  rn_span_phase("update");
  rn_progress_phase("update");
  rn_optimizer_update(&run->optimizer, r->lr, r->grad_norm, run->counters.updates + 1,
                      weights->params);
  rn_replica_check_record(&run->replicas, rn_run_checked_state(run), run->counters.step + 1);
  rn_span_phase("weight all-gather");
  return rn_weights_start_fetch(err, weights);
}

static void count_step(rn_step_counters *c, const Retnet__Data *data,
                       const rn_step_result *result) {
  const bool skipped = result->skipped, spike = result->spike.what != NULL;
  c->step++;
  c->tokens += (int64_t)data->batch_sequences * data->sequence_length;
  c->next_sequence += data->batch_sequences;
  c->updates += !skipped;
  c->bad_steps = skipped ? c->bad_steps + 1 : 0;
  c->bad_spikes = skipped ? c->bad_spikes + spike : 0;
}

/* Reports a spike; fails if it must end the run. */
static rn_status handle_spike(rn_err *err, const Retnet__Train *train, const rn_run *run,
                              const rn_spike *spike) {
  char text[200];
  if (spike->what == NULL) return RN_OK;
  snprintf(text, sizeof text,
           "step %lld: the %s is %.6g, above the limit of %.6g for the last %d steps "
           "(train.spike_sigma %g)",
           (long long)run->counters.step, spike->what, spike->value, spike->limit, spike->steps,
           train->spike_sigma);
  if (train->spike_action == RETNET__SPIKE_ACTION__SPIKE_ACTION_STOP) {
    return rn_fail(err, RN_ERR_NUMERICS, "%s", text);
  }
  rn_log_warn("%s: the weights are not updated", text);
  return RN_OK;
}

bool rn_step_rolls_back(const Retnet__Train *train, const rn_step_result *result) {
  return result->spike.what != NULL &&
         train->spike_action == RETNET__SPIKE_ACTION__SPIKE_ACTION_ROLLBACK;
}

rn_status rn_step_check_bad_steps(rn_err *err, const rn_run *run) {
  const rn_step_counters *c = &run->counters;
  if (c->bad_steps == 0 || c->bad_steps < run->settings.config->train->max_bad_steps) return RN_OK;
  return rn_fail(err, RN_ERR_NUMERICS,
                 "step %lld: the loss or gradient norm %s in %d consecutive steps "
                 "(train.max_bad_steps)",
                 (long long)c->step, rn_step_counters_reason(c), c->bad_steps);
}

static rn_status finish_step(rn_err *err, rn_run *run, const rn_step_result *result) {
  const Retnet__Config *config = run->settings.config;
  const bool skipped = result->skipped;
  rn_step_counters *c = &run->counters;
  count_step(c, config->data, result);
  if (!skipped) rn_spike_guard_add(&run->spikes, config->train, result->loss, result->grad_norm);
  if (config->data->carry_state && skipped && c->bad_steps == 1) {
    rn_log_warn("step %lld is skipped: TBPTT states are reset to zero", (long long)c->step);
  }
  RN_TRY(err, rn_data_stream_advance(err, &run->data, run->parallel.grid, skipped));
  RN_TRY(err, handle_spike(err, config->train, run, &result->spike));
  /* The caller rolls back first, and calls rn_step_check_bad_steps only if it cannot. */
  if (rn_step_rolls_back(config->train, result)) return RN_OK;
  return rn_step_check_bad_steps(err, run);
}

static double scan_wait_s(const rn_scan *scan) {
  return rn_scan_wait_s(scan, RN_SCAN_FORWARD) + rn_scan_wait_s(scan, RN_SCAN_REVERSE);
}

rn_status rn_step(rn_err *err, rn_run *run, rn_step_result *out) {
  const Retnet__Data *data = run->settings.config->data;
  const rn_scan *scan = run->parallel.scan.scan;
  const double targets = (double)data->batch_sequences * data->sequence_length;
  const double waited_s = scan_wait_s(scan);
  const int64_t sent_bytes = rn_scan_bytes_sent(scan), step = run->counters.step + 1;
  step_sums sums = {0};
  rn_threads_keep_bound();
  rn_span_begin("step");
  rn_span_phase("data");
  rn_progress_begin("read data", step);
  RN_TRY(err,
         rn_agree(err, run->parallel.world, rn_data_stream_read(err, &run->data, &run->counters)));
  rn_span_phase("zero gradients");
  RN_TRY(err, train_batch(err, run, 1 / targets, &sums));
  if (rn_fault_now("step.loss")) sums.loss = NAN;
  if (rn_fault_now("step.spike")) sums.loss *= 1000;
  *out = (rn_step_result){.loss = sums.loss / targets,
                          .grad_norm = sqrt(sums.squares),
                          .lr = rn_optimizer_lr(&run->optimizer, step),
                          .scan_bytes = rn_scan_bytes_sent(scan) - sent_bytes};
  RN_TRY(err, mean_wait(err, &run->parallel, scan_wait_s(scan) - waited_s, &out->scan_wait_s));
  out->skipped = !isfinite(out->loss) || !isfinite(out->grad_norm);
  if (!out->skipped) {
    out->spike =
        rn_spike_find(&run->spikes, run->settings.config->train, out->loss, out->grad_norm);
    out->skipped = out->spike.what != NULL;
  }
  if (!out->skipped) RN_TRY(err, update(err, run, out));
  rn_span_end();
  return finish_step(err, run, out);
}
